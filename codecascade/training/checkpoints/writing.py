"""Writes a checkpoint: all ranks into one folder, which gets its name when everything in it is whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from codecascade.ground.files.atomic import atomic_folder, disk_errors, write_json
from codecascade.training.checkpoints.agreement import Agreement
from codecascade.training.checkpoints.state import METADATA, STATE, SUMS, TENSORS
from codecascade.training.checksums import Sums, checksums


class UnfinishedCheckpoint:
    """A folder beside ``path`` that all ranks write to. Every rank must make one at the same time."""

    def __init__(self, path: Path, agreement: Agreement) -> None:
        self.path, self.agreement = path, agreement
        self._open = ExitStack()
        own = agreement.each(self._enter if agreement.world.first else lambda: None)
        assert own[0] is not None
        self.folder: Path = own[0]

    def _enter(self) -> Path:
        return self._open.enter_context(atomic_folder(self.path))

    def finish(self, write: Callable[[], None], state: Mapping[str, Any]) -> None:
        """Have ``write`` write this rank's tensors, add state and checksums, and give the folder its name.

        Raises:
            OSError, UserError, RunFailed: on every rank, whichever it concerns. Nothing is left.
        """
        agreement = self.agreement
        try:
            with disk_errors(self.path):
                agreement.each(write)
                # each rank hashes the files that it has just written, which are still in its machine's memory
                sums = agreement.each(self._own_checksums)

                def describe() -> None:
                    write_json(self.folder / STATE, state)
                    parts = [*sums, checksums(self.folder, [STATE, METADATA])]
                    write_json(
                        self.folder / SUMS, {name: one for part in parts for name, one in part.items()}
                    )

                agreement.first(describe)
        except BaseException as error:
            self._open.__exit__(type(error), error, error.__traceback__)
            raise
        # on the first rank this renames it
        agreement.each(self._open.close)

    def _own_checksums(self) -> Sums:
        own = (self.folder / TENSORS).glob(f"__{self.agreement.world.rank}_*")
        return checksums(self.folder, [f"{TENSORS}/{path.name}" for path in own])
