"""codecascade: specialise a Llama-architecture model for code, measure it, and use it.

The packages import one way only, in the order of the data (see ``docs/architecture.md``)::

    tokens -> model -> sandbox -> corpus -> training -> generation -> instruct -> evaluation
           -> recipe -> plan -> cascade -> cli
"""

__version__ = "0.1.0"
