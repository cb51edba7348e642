"""Checkpoints: everything that a run needs to continue as if it had never stopped.

A checkpoint is a folder such as ``step-00000040``. It is written beside its name and then renamed, so it is never
half-written. It has:

- the trainable weights and AdamW's moments (tensors.py): each rank writes its parts, and any other mesh of any other
  number of ranks can read them;
- ``state.json``: step, tokens, seconds, the last losses, the fingerprint of the run, and the state of every logical
  stream (of all rows, so that another number of ranks can take them);
- ``checksums.json``: of every other file, written last.

The newest two are kept. Before a checkpoint is used, all its files are compared with their checksums. If it is
damaged, all ranks resume from the one before. A person may also delete the newest, say after a spike in the loss.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from codecascade.ground.diff import changed_values
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import disk_errors, recover_folder
from codecascade.training.checkpoints.agreement import Agreement
from codecascade.training.checkpoints.room import has_room_for_copies
from codecascade.training.checkpoints.state import (
    TENSORS,
    State,
    TrainingProgress,
    read_state,
    read_sums,
)
from codecascade.training.checkpoints.tensors import (
    BackgroundWriter,
    Tensors,
    local_bytes,
    read_tensors,
    tensors_of,
    when_written,
    write_tensors,
)
from codecascade.training.checkpoints.writing import UnfinishedCheckpoint
from codecascade.training.checksums import damages
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.shared_folder import check_shared

logger = logging.getLogger(__name__)

KEPT = 2
_ASIDE = "damaged-"

Status = Literal["idle", "writing", "failed"]


class Checkpoints:
    """The checkpoints of one run in ``folder``, which must be on a file system that all ranks share."""

    def __init__(self, folder: Path, world: World, fingerprint: Mapping[str, Any]) -> None:
        self.folder, self.world, self.fingerprint = folder, world, fingerprint
        self._agreement = Agreement(world)
        self._in_flight: Future[None] | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._writer: BackgroundWriter | None = None
        self._room: bool | None = None

    def latest(self) -> Path | None:
        """The newest, which may be damaged; None if there is none."""
        return max(_all(self.folder), default=None)

    # ---- saving

    @property
    def status(self) -> Status:
        """Of the checkpoint that this rank writes in the background. A failure is raised by :meth:`wait`."""
        if self._in_flight is None:
            return "idle"
        if not self._in_flight.done():
            return "writing"
        return "idle" if self._in_flight.exception() is None else "failed"

    def save(
        self,
        progress: TrainingProgress,
        model: nn.Module,
        adamw: torch.optim.Optimizer,
        stream: Mapping[str, Any],
        *,
        background: bool = False,
    ) -> None:
        """Write the checkpoint of ``progress.step``, then delete all but the newest two. All ranks must call this.

        One that is still being written is waited for, so that at most one is.

        Args:
            stream: states of this rank's logical streams by row.
            background: return as soon as the tensors are copied. Where the host has no memory for the copy, it is
                written before this returns.

        Raises:
            UserError, OSError, RunFailed: it, or the one before, can't be written; on all ranks.
        """
        self.wait()
        rows: dict[str, Any] = {}
        for states in self.world.gather(dict(stream)):
            rows |= states
        state = {
            **asdict(progress),
            "stream": rows,
            "fingerprint": self.fingerprint,
            "torch": torch.__version__,
        }
        tensors = tensors_of(model, adamw)
        unfinished = UnfinishedCheckpoint(self.folder / f"step-{progress.step:08d}", self._agreement)
        group, tensor_folder = self._agreement.group, unfinished.folder / TENSORS
        if not (background and self._has_room(tensors)):
            unfinished.finish(lambda: write_tensors(tensors, tensor_folder, group), state)
            self._delete_old()
            return
        self._writer = self._writer or BackgroundWriter(self.world.device)
        self._thread = self._thread or ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        written = self._writer.write(tensors, tensor_folder, group)
        self._in_flight = self._thread.submit(self._finish, unfinished, written, state)

    def wait(self) -> None:
        """Wait until no checkpoint is being written.

        Raises:
            UserError, OSError, RunFailed: the one that was being written has failed.
        """
        if self._in_flight is not None:
            in_flight, self._in_flight = self._in_flight, None
            in_flight.result()

    def close(self) -> None:
        """Wait as :meth:`wait`, but only log a failure: the run ends for another reason already."""
        try:
            self.wait()
        except Exception as error:
            logger.warning("the checkpoint that was being written has failed: %s", error)
        finally:
            if self._thread is not None:
                self._thread.shutdown()
            if self._writer is not None:
                self._writer.close()

    def _finish(self, unfinished: UnfinishedCheckpoint, written: Future[Any], state: dict[str, Any]) -> None:
        unfinished.finish(lambda: when_written(written), state)
        self._delete_old()

    def _has_room(self, tensors: Tensors) -> bool:
        if self._room is None:
            self._room = has_room_for_copies(self.world, local_bytes(tensors))
        return self._room

    def _delete_old(self) -> None:
        if self.world.first:
            for old in sorted(_all(self.folder))[:-KEPT]:
                _remove(old)

    # ---- loading

    def load(
        self, model: nn.Module, adamw: torch.optim.Optimizer
    ) -> tuple[TrainingProgress, dict[str, Any]] | None:
        """Load the newest undamaged checkpoint into ``model`` and ``adamw``; None if there is no checkpoint.

        Damaged ones are named in a warning and renamed to ``damaged-step-...``. All ranks must call this.

        Returns:
            The progress, and the states of all logical streams by row.

        Raises:
            UserError: the settings, the data or the base have changed since it was written, all are damaged, or a
                rank does not see the folder.
        """
        if self.world.size > 1:
            self.world.from_first(self._make_folder)
            check_shared(self.folder, self.world)
        if self.world.first:
            # a process that died while saving may have left something
            for left_over in self.folder.glob(".step-*"):
                recover_folder(self.folder / left_over.name.split(".")[1])
        paths = self.world.broadcast(sorted(_all(self.folder), reverse=True))
        damaged: dict[Path, str] = {}
        for path in paths:
            state, problem = self._examine(path)
            if state is not None:
                self._refuse_another_run(state)
                problem = self._read(path, model, adamw)
            if state is not None and problem is None:
                self._put_aside(damaged, path)
                logger.info("continuing after step %d (%s)", state.step, path)
                return state.progress, state.stream
            damaged[path] = problem or "can't be used"
        if damaged:
            problems = "; ".join(f"{path.name}: {problem}" for path, problem in damaged.items())
            raise UserError(
                f"holds no checkpoint that can be used ({problems}). Put back a copy of one, or delete this "
                "folder to train from the first step",
                file=self.folder,
            )
        return None

    def _make_folder(self) -> None:
        with disk_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def _examine(self, path: Path) -> tuple[State | None, str | None]:
        """A checkpoint's state if all its files are undamaged, else what is wrong; the same on all ranks.

        Each rank checks a share of the files, because to read large ones takes minutes.
        """
        expected, problem = self.world.broadcast(read_sums(path) if self.world.first else None)
        if problem is None:
            share = dict(sorted(expected.items())[self.world.rank :: self.world.size])
            found = [
                one for found_by_rank in self.world.gather(damages(path, share)) for one in found_by_rank
            ]
            problem = "; ".join(found) or None
        state: State | None = None
        if problem is None:
            state, problem = self.world.broadcast(read_state(path) if self.world.first else None)
        return state, problem

    def _refuse_another_run(self, state: State) -> None:
        changed = list(changed_values(state.fingerprint, self.fingerprint))
        if changed:
            raise UserError(
                f"can't continue, the run has changed: {'; '.join(changed)}. "
                "Restore the old values, or delete this folder to start again",
                file=self.folder,
            )

    def _read(self, path: Path, model: nn.Module, adamw: torch.optim.Optimizer) -> str | None:
        """Load the tensors; returns what is wrong with them, the same on all ranks, or None."""
        problem = read_tensors(path / TENSORS, model, adamw, alone=self.world.size == 1)
        return next((one for one in self.world.gather(problem) if one is not None), None)

    def _put_aside(self, damaged: Mapping[Path, str], used: Path) -> None:
        """Rename the damaged checkpoints, and say what is damaged and how many steps are lost."""
        if not self.world.first or not damaged:
            return
        newest = max(damaged)
        lost = _step(newest) - _step(used)
        for path, problem in damaged.items():
            logger.warning("checkpoint %s is damaged: %s", path, problem)
            aside = path.with_name(_ASIDE + path.name)
            _remove(aside)
            path.rename(aside)
        logger.warning("going on from %s: %d steps are taken again", used.name, lost)


def last_step(folder: Path) -> int:
    """The step of the newest checkpoint in a folder, which may be damaged; 0 if there is none."""
    return max(map(_step, _all(folder)), default=0)


def _all(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name))


def _step(path: Path) -> int:
    return int(path.name.removeprefix("step-"))


def _remove(path: Path) -> None:
    """Remove a folder, or a link or file in its place; nothing if nothing is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
