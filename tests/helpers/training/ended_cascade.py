"""The command ``codecascade run RECIPE -o FOLDER``, ended by a signal that it sends itself behind one of its steps.

``ended_cascade.py RECIPE FOLDER STEP SIGNAL``. So it ends there however fast or slow the machine is.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from codecascade.cascade.display import RunDisplay
from codecascade.cli import main
from codecascade.training.logs import StepReport


def end_behind(step: int, signum: int) -> None:
    """Have every training of this process ended behind this step."""
    shown = RunDisplay.training

    @contextmanager
    def ending(self: RunDisplay, stage: str) -> Iterator[Callable[[StepReport], None]]:
        with shown(self, stage) as show:

            def report(report: StepReport) -> None:
                show(report)
                if report.step == step:
                    os.kill(os.getpid(), signum)

            yield report

    RunDisplay.training = ending  # type: ignore[method-assign]


if __name__ == "__main__":
    recipe, folder, step, signum = sys.argv[1:]
    end_behind(int(step), int(signum))
    main(["run", recipe, "-o", folder])
