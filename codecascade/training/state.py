"""Checkpoints: everything that a run needs to go on as if it had never stopped.

A checkpoint is a folder ``step-00000040`` that appears whole or not at all:

- the trainable weights and AdamW's moments, in torch.distributed.checkpoint's format: each rank writes its shards,
  and any other number of ranks can read them;
- ``state.json``: step, tokens, seconds, the last losses, the fingerprint of the run, and the state of every logical
  stream (all rows, so that the rows can be shared out anew).

The newest two are kept: the older one is for a person who deletes the newer, say after a spike in the loss.
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
from torch import nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from codecascade.errors import RunFailed, UserError
from codecascade.files import atomic_folder, read_json, recover_folder, write_json
from codecascade.training.parallel import World

logger = logging.getLogger(__name__)

KEPT = 2
_OPTIONS = StateDictOptions(ignore_frozen_params=True, strict=False)


@dataclass
class Progress:
    """How far a run is: what changes from step to step beside the weights."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    losses: list[float] = field(default_factory=list)  # the latest, for the detection of spikes


class Checkpoints:
    """The checkpoints of one run in ``folder`` (on a file system that all ranks share)."""

    def __init__(self, folder: Path, world: World, fingerprint: Mapping[str, Any]) -> None:
        self.folder, self.world, self.fingerprint = folder, world, fingerprint

    def latest(self) -> Path | None:
        return max(self._all(), default=None)

    def save(
        self, progress: Progress, model: nn.Module, adamw: torch.optim.Optimizer, stream: Mapping[str, Any]
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
                save(
                    _tensors(model, adamw), checkpoint_id=folder / "tensors", no_dist=self.world.mesh is None
                )
            if self.world.first:
                write_json(
                    folder / "state.json",
                    {
                        **asdict(progress),
                        "stream": rows,
                        "fingerprint": self.fingerprint,
                        "torch": torch.__version__,
                    },
                )
        if self.world.first:
            for old in sorted(self._all())[:-KEPT]:
                shutil.rmtree(old)

    def load(self, model: nn.Module, adamw: torch.optim.Optimizer) -> tuple[Progress, dict[str, Any]] | None:
        """Put the newest checkpoint into ``model`` and ``adamw``; returns its progress and all streams' states.

        Raises:
            UserError: it is of another run: the settings, the data or the base have changed.
        """
        if self.world.first:  # what a process left that died while saving
            for left_over in self.folder.glob(".step-*"):
                recover_folder(self.folder / left_over.name.split(".")[1])
        path = self.world.broadcast(self.latest())
        if path is None:
            return None
        state = read_json(path / "state.json")
        changes = list(differences(state["fingerprint"], self.fingerprint))
        if changes:
            raise UserError(
                f"can't continue, the run has changed: {'; '.join(changes)}. "
                "Restore the old values, or delete this folder to start again",
                file=self.folder,
            )
        tensors = _tensors(model, adamw)
        with _readable_errors():
            load(tensors, checkpoint_id=path / "tensors", no_dist=self.world.mesh is None)
        set_state_dict(
            model,
            adamw,
            model_state_dict=tensors["model"],
            optim_state_dict=tensors["optimizer"],
            options=_OPTIONS,
        )
        torch.set_rng_state(tensors["random"])
        progress = Progress(state["step"], state["tokens"], state["seconds"], state["losses"])
        logger.info("continuing after step %d (%s)", progress.step, path)
        return progress, state["stream"]

    def _all(self) -> Iterator[Path]:
        return (path for path in self.folder.glob("step-*") if re.fullmatch(r"step-\d{8,}", path.name))

    @contextmanager
    def _shared_folder(self, path: Path) -> Iterator[Path]:
        """An atomic folder that all ranks write to."""
        with ExitStack() as stack:
            own = stack.enter_context(atomic_folder(path)) if self.world.first else None
            yield self.world.broadcast(own)
            self.world.barrier()  # all have written: rank 0 may rename it
        self.world.barrier()


def _tensors(model: nn.Module, adamw: torch.optim.Optimizer) -> dict[str, Any]:
    weights, moments = get_state_dict(model, adamw, options=_OPTIONS)
    return {"model": weights, "optimizer": moments, "random": torch.get_rng_state()}


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Bring to light the OSError (a full disk, say) that torch.distributed.checkpoint wraps many times."""
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


def differences(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """``key: old -> new`` for every leaf of two nested dictionaries (as JSON has them) that differs."""
    for key in sorted({*old, *new}):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            yield from differences(before, after, f"{prefix}{key}.")
        elif _json_form(before) != _json_form(after):
            yield f"{prefix}{key}: {before!r} -> {after!r}"


def _json_form(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json_form(item) for key, item in value.items()}
    return [_json_form(item) for item in value] if isinstance(value, list | tuple) else value
