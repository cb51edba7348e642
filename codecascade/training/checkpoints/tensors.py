"""A checkpoint's tensors, in the format of torch.distributed.checkpoint.

Each rank writes the parts that it holds. The format names them by parameter and offset, so a model that is sharded in
any other way, over any other number of ranks, can read what it needs of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save, save
from torch.distributed.tensor import DTensor

from codecascade.ground.errors import RunFailed

Tensors = dict[str, Any]
"""``model``: the trainable weights; ``optimizer``: AdamW's moments; ``random``: the random state."""

_OPTIONS = StateDictOptions(ignore_frozen_params=True, strict=False)

# A process on its own needs no process group. (Set once: a thread that saves must not change the filters for a time.)
warnings.filterwarnings("ignore", message="torch.distributed is disabled")


def tensors_of(model: nn.Module, adamw: torch.optim.Optimizer) -> Tensors:
    """What a checkpoint has of ``model`` and ``adamw``. The tensors share their memory."""
    weights, moments = get_state_dict(model, adamw, options=_OPTIONS)
    return {"model": weights, "optimizer": moments, "random": torch.get_rng_state()}


def local_bytes(tensors: Any) -> int:
    """The memory of this rank's parts of all tensors in nested dictionaries and lists."""
    if isinstance(tensors, Tensor):
        local = tensors.to_local() if isinstance(tensors, DTensor) else tensors
        return local.nbytes
    if isinstance(tensors, dict):
        return sum(local_bytes(value) for value in tensors.values())
    return sum(local_bytes(value) for value in tensors) if isinstance(tensors, list | tuple) else 0


def write_tensors(tensors: Tensors, folder: Path, group: dist.ProcessGroup | None) -> None:
    """Write them. Every rank of ``group`` must call this; None is for a process on its own.

    Raises:
        OSError: a file can't be written, on any rank.
        RunFailed: it failed for another reason.
    """
    with _readable_errors():
        save(tensors, checkpoint_id=folder, process_group=group, no_dist=group is None)


class BackgroundWriter:
    """Copies tensors to the host's memory, and writes the copy in a thread.

    On a GPU the copy goes to pinned memory, which is kept for the next one. On a CPU its memory is given back.
    """

    def __init__(self, device: torch.device) -> None:
        pinned = StagingOptions(
            use_pinned_memory=True,
            use_shared_memory=False,
            use_async_staging=False,
            use_non_blocking_copy=True,
        )
        self._stager = DefaultStager(pinned) if device.type == "cuda" else None

    def write(self, tensors: Tensors, folder: Path, group: dist.ProcessGroup | None) -> Future[Any]:
        """:func:`write_tensors`, but returns when the copy is made.

        Args:
            group: one that nothing else uses until the future is done. It must be able to exchange CPU tensors.
        """
        return async_save(  # type: ignore[return-value]
            tensors,
            checkpoint_id=folder,
            process_group=group,
            async_stager=self._stager,
            no_dist=group is None,
        )

    def close(self) -> None:
        if self._stager is not None:
            self._stager.close()


def when_written(written: Future[Any]) -> None:
    """Wait for a :class:`BackgroundWriter`. Raises as :func:`write_tensors`."""
    with _readable_errors():
        written.result()


def read_tensors(folder: Path, model: nn.Module, adamw: torch.optim.Optimizer, *, alone: bool) -> str | None:
    """Load them into ``model`` and ``adamw``; returns what is wrong with them, or None.

    Every rank must call this, unless the process is ``alone``.
    """
    try:
        tensors = tensors_of(model, adamw)
        with _readable_errors():
            load(tensors, checkpoint_id=folder, no_dist=alone)
        set_state_dict(
            model,
            adamw,
            model_state_dict=tensors["model"],
            optim_state_dict=tensors["optimizer"],
            options=_OPTIONS,
        )
        torch.set_rng_state(tensors["random"])
    except (RunFailed, KeyError, ValueError, OSError) as error:
        return f"its tensors can't be read ({error})"
    return None


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Raise the OSError (of a full disk, say) that torch.distributed.checkpoint wraps in its own exceptions."""
    try:
        yield
    except CheckpointException as error:
        for failure, _ in error.failures.values():
            cause: BaseException | None = failure
            while cause is not None:
                if isinstance(cause, OSError):
                    raise cause from None
                cause = cause.__cause__ or cause.__context__
        raise RunFailed(f"the checkpoint could not be written or read: {error}") from error
