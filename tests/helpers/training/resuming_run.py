"""Takes some steps of several tiny runs, each from its newest checkpoint, with the ranks that there are.

``python resuming_run.py RUNS``: a file of JSON, a list of ``{"folder", "settings", "until"}``. ``until`` is the step
after which a run stops, as by a signal.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from tiny_run import tiny_model, tiny_settings, tiny_train

from codecascade.ground.errors import Stopped
from codecascade.training.logs import StepReport


def take_steps(folder: Path, settings: dict[str, Any], until: int) -> None:
    def progress(report: StepReport) -> None:
        if report.step == until - 1:
            # it is seen in the next step, whose checkpoint is the last
            signal.raise_signal(signal.SIGTERM)

    # the mesh is no part of what a run is
    known = tiny_settings(**{name: value for name, value in settings.items() if name != "parallel"})
    with suppress(Stopped):
        tiny_train(
            folder,
            tiny_settings(**settings),
            # untied, so that the head is a table of its own
            model=tiny_model(tied=False),
            new_token_ids=(90, 91, 92, 93),
            fingerprint={"settings": known.model_dump(mode="json")},
            progress=progress,
        )


def main() -> None:
    torch.set_num_threads(1)
    for run in json.loads(Path(sys.argv[1]).read_text()):
        take_steps(Path(run["folder"]), run["settings"], run["until"])


if __name__ == "__main__":
    main()
