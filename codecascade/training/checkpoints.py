"""Checkpoints: everything that a run needs to continue as if it had never stopped.

A checkpoint is a folder such as ``step-00000040``. It is written beside its name and then renamed, so it is never
half-written. It has:

- the trainable weights and AdamW's moments, in torch.distributed.checkpoint's format: each rank writes its shards,
  and any other number of ranks can read them;
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
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from codecascade.ground.diff import changed_values
from codecascade.ground.errors import RunFailed, UserError
from codecascade.ground.files.atomic import atomic_folder, recover_folder, write_json
from codecascade.ground.files.reading import read_json
from codecascade.training.checksums import checksums, damages
from codecascade.training.parallel.ranks import World

logger = logging.getLogger(__name__)

KEPT = 2
_STATE, _SUMS, _TENSORS = "state.json", "checksums.json", "tensors"
_ASIDE = "damaged-"
_OPTIONS = StateDictOptions(ignore_frozen_params=True, strict=False)


@dataclass
class TrainingProgress:
    """How far a run is.

    Attributes:
        seconds: of training, without pauses.
        losses: the last ones, for the detection of spikes.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)


class _State(BaseModel):
    """``state.json``."""

    model_config = ConfigDict(strict=True)

    step: int = Field(ge=0)
    tokens: int = Field(ge=0)
    seconds: float = Field(ge=0)
    losses: list[float]
    stream: dict[str, Any]
    fingerprint: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run in ``folder``, which must be on a file system that all ranks share."""

    def __init__(self, folder: Path, world: World, fingerprint: Mapping[str, Any]) -> None:
        self.folder, self.world, self.fingerprint = folder, world, fingerprint

    def latest(self) -> Path | None:
        """The newest, which may be damaged; None if there is none."""
        return max(self._all(), default=None)

    def save(
        self,
        progress: TrainingProgress,
        model: nn.Module,
        adamw: torch.optim.Optimizer,
        stream: Mapping[str, Any],
    ) -> None:
        """Write the checkpoint of ``progress.step``, then delete all but the newest two.

        Args:
            stream: states of this rank's logical streams by row.
        """
        rows: dict[str, Any] = {}
        for states in self.world.gather(dict(stream)):
            rows |= states
        with self._shared_folder(self.folder / f"step-{progress.step:08d}") as folder:
            with _readable_errors():
                save(_tensors(model, adamw), checkpoint_id=folder / _TENSORS, no_dist=self.world.mesh is None)
            # each rank hashes the files that it has just written, which are still in its machine's memory
            own = (folder / _TENSORS).glob(f"__{self.world.rank}_*")
            sums = checksums(folder, [f"{_TENSORS}/{path.name}" for path in own])
            parts = self.world.gather(sums)
            if self.world.first:
                state = {
                    **asdict(progress),
                    "stream": rows,
                    "fingerprint": self.fingerprint,
                    "torch": torch.__version__,
                }
                write_json(folder / _STATE, state)
                parts.append(checksums(folder, [_STATE, f"{_TENSORS}/.metadata"]))
                write_json(folder / _SUMS, {name: one for part in parts for name, one in part.items()})
        if self.world.first:
            for old in sorted(self._all())[:-KEPT]:
                _remove(old)

    def load(
        self, model: nn.Module, adamw: torch.optim.Optimizer
    ) -> tuple[TrainingProgress, dict[str, Any]] | None:
        """Load the newest undamaged checkpoint into ``model`` and ``adamw``; None if there is no checkpoint.

        Damaged ones are named in a warning and renamed to ``damaged-step-...``.

        Returns:
            The progress, and the states of all logical streams by row.

        Raises:
            UserError: the settings, the data or the base have changed since it was written, or all are damaged.
        """
        if self.world.first:
            # a process that died while saving may have left something
            for left_over in self.folder.glob(".step-*"):
                recover_folder(self.folder / left_over.name.split(".")[1])
        paths = self.world.broadcast(sorted(self._all(), reverse=True))
        damaged: dict[Path, str] = {}
        for path in paths:
            state, problem = self._examine(path)
            if state is not None:
                self._refuse_another_run(state)
                problem = self._read(path, model, adamw)
            if state is not None and problem is None:
                self._put_aside(damaged, path)
                progress = TrainingProgress(state.step, state.tokens, state.seconds, state.losses)
                logger.info("continuing after step %d (%s)", progress.step, path)
                return progress, state.stream
            damaged[path] = problem or "can't be used"
        if damaged:
            problems = "; ".join(f"{path.name}: {problem}" for path, problem in damaged.items())
            raise UserError(
                f"holds no checkpoint that can be used ({problems}). Put back a copy of one, or delete this "
                "folder to train from the first step",
                file=self.folder,
            )
        return None

    def _examine(self, path: Path) -> tuple[_State | None, str | None]:
        """A checkpoint's state if all its files are undamaged, else what is wrong; the same on all ranks.

        Each rank checks a share of the files, because to read large ones takes minutes.
        """
        expected, problem = self.world.broadcast(_sums(path) if self.world.first else None)
        if problem is None:
            share = dict(sorted(expected.items())[self.world.rank :: self.world.size])
            found = [
                one for found_by_rank in self.world.gather(damages(path, share)) for one in found_by_rank
            ]
            problem = "; ".join(found) or None
        state: _State | None = None
        if problem is None:
            state, problem = self.world.broadcast(_state(path) if self.world.first else None)
        return state, problem

    def _refuse_another_run(self, state: _State) -> None:
        changed = list(changed_values(state.fingerprint, self.fingerprint))
        if changed:
            raise UserError(
                f"can't continue, the run has changed: {'; '.join(changed)}. "
                "Restore the old values, or delete this folder to start again",
                file=self.folder,
            )

    def _read(self, path: Path, model: nn.Module, adamw: torch.optim.Optimizer) -> str | None:
        """Load the tensors; returns what is wrong with them, the same on all ranks, or None."""
        problem = None
        try:
            tensors = _tensors(model, adamw)
            with _readable_errors():
                load(tensors, checkpoint_id=path / _TENSORS, no_dist=self.world.mesh is None)
            set_state_dict(
                model,
                adamw,
                model_state_dict=tensors["model"],
                optim_state_dict=tensors["optimizer"],
                options=_OPTIONS,
            )
            torch.set_rng_state(tensors["random"])
        except (RunFailed, KeyError, ValueError, OSError) as error:
            problem = f"its tensors can't be read ({error})"
        return next((one for one in self.world.gather(problem) if one is not None), None)

    def _put_aside(self, damaged: Mapping[Path, str], used: Path) -> None:
        """Rename the damaged checkpoints, and say what is damaged and how many steps are lost."""
        if not self.world.first or not damaged:
            return
        newest = max(damaged)
        lost = int(newest.name.removeprefix("step-")) - int(used.name.removeprefix("step-"))
        for path, problem in damaged.items():
            logger.warning("checkpoint %s is damaged: %s", path, problem)
            aside = path.with_name(_ASIDE + path.name)
            _remove(aside)
            path.rename(aside)
        logger.warning("going on from %s: %d steps are taken again", used.name, lost)

    def _all(self) -> Iterator[Path]:
        return (path for path in self.folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name))

    @contextmanager
    def _shared_folder(self, path: Path) -> Iterator[Path]:
        """An atomic folder that all ranks write to."""
        with ExitStack() as stack:
            own = stack.enter_context(atomic_folder(path)) if self.world.first else None
            yield self.world.broadcast(own)
            # rank 0 renames it, once all have written
            self.world.barrier()
        self.world.barrier()


def _remove(path: Path) -> None:
    """Remove a folder, or a link or file in its place; nothing if nothing is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sums(path: Path) -> tuple[dict[str, Any], str | None]:
    """The content of a checkpoint's ``checksums.json``, or what is wrong with it."""
    try:
        found = read_json(path / _SUMS)
    except (UserError, OSError, RecursionError) as error:
        return {}, f"{_SUMS} {error.message if isinstance(error, UserError) else error}"
    needed = {_STATE, f"{_TENSORS}/.metadata"}
    if not isinstance(found, dict) or not needed <= found.keys():
        return {}, f"{_SUMS} does not name {' and '.join(sorted(needed))}"
    return found, None


def _state(path: Path) -> tuple[_State | None, str | None]:
    """The content of a checkpoint's ``state.json``, or what is wrong with it."""
    try:
        state = _State.model_validate(read_json(path / _STATE))
    except ValidationError as error:
        first = error.errors()[0]
        return None, f"{_STATE}: {'.'.join(map(str, first['loc']))}: {first['msg']}"
    except (UserError, OSError, RecursionError) as error:
        return None, f"{_STATE} {error.message if isinstance(error, UserError) else error}"
    if path.name != f"step-{state.step:08d}":
        return None, f"{_STATE} is of step {state.step}"
    return state, None


def _tensors(model: nn.Module, adamw: torch.optim.Optimizer) -> dict[str, Any]:
    weights, moments = get_state_dict(model, adamw, options=_OPTIONS)
    return {"model": weights, "optimizer": moments, "random": torch.get_rng_state()}


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Raise the OSError (of a full disk, say) that torch.distributed.checkpoint wraps in its own exceptions."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            yield
    except CheckpointException as error:
        for failure, _ in error.failures.values():
            cause: BaseException | None = failure
            while cause is not None:
                if isinstance(cause, OSError):
                    raise cause from None
                cause = cause.__cause__ or cause.__context__
        raise RunFailed(f"the checkpoint could not be written or read: {error}") from error
