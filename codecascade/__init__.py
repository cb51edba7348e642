"""codecascade: specialise a Llama-architecture model for code, measure it, and use it.

The packages import one way only, in the order of the data (see ``docs/architecture.md``)::

    ground -> tokens -> model -> sandbox -> corpus -> training -> generation -> instruct -> evaluation
           -> reports -> recipe -> plan -> cascade -> cli
"""

import os

__version__ = "0.1.0"

# OpenMP threads that wait by spinning keep a busy machine's other work from running, and then wait for it: with one
# other process on two cores, steps were 20 times slower than with threads that sleep. Read when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# They sleep only after a while, though. A pass of a model that decodes has hundreds of short regions of threads, and
# to wake a thread takes longer than most of them: 0.1 ms on a virtual machine. GNU's OpenMP counts turns of the wait.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")
