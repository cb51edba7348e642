"""Counts a simulated step: memory by kind at the peak, and the bytes that a rank sends.

The count is torch's own (``FSDPMemTracker``). This adds the bytes that are sent.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.distributed._tools.fake_collectives import CollectiveOp, collective_ops, sync_ops
from torch.distributed._tools.fsdp2_mem_tracker import FSDPMemTracker, _FSDPRefType
from torch.distributed._tools.mem_tracker import MemTracker
from torch.distributed.fsdp import FSDPModule

_TOTAL = "Total"
_GATHER = torch.ops.c10d._allgather_base_.default
_SCATTER = torch.ops.c10d._reduce_scatter_base_.default
"""FSDP's; other kinds of parallelism use functional collectives."""
_SENDING = collective_ops - sync_ops
_TIMES = {"allreduce": 2.0, "all_reduce": 2.0, "all_to_all_single": 0.5, "shard_dim_alltoall": 0.5}
"""How often a collective's bytes are sent, where it is not once: an exchange is counted in and out."""

KINDS = {
    "Sharded Param": "weights",
    "Sharded Grad": "gradients",
    "OptState": "moments",
    "Activation": "activations",
    "Temp": "activations",
    "Inputs": "activations",
    "Buffer": "weights",
    "Unsharded Param": "communication",
    "Unsharded Grad": "communication",
    "All Gather": "communication",
    "Reduce Scatter": "communication",
    "Parameter": "weights",
    "Gradient": "gradients",
    "Optstate": "moments",
    "Other": "activations",
}
"""The kinds of memory of torch's trackers, and ours: what FSDP gathers and reduces is communication."""


def _sent(func: Any, result: Any, args: tuple[Any, ...]) -> tuple[str, float]:
    """A collective's process group, and the bytes that a rank of its ring sends."""
    group = CollectiveOp.get_process_group(func, args)
    size = CollectiveOp.get_comm_tensor_size(func, result, args, {})
    times = _TIMES.get(func._schema.name.partition("::")[2].strip("_"), 1.0)
    return group.group_name, times * size * (group.size() - 1) / group.size()


class StepTracker(MemTracker):
    """The peak of a step and what is sent in it.

    Attributes:
        sent: bytes a rank sends, by the name of the process group.
    """

    sent: dict[str, float]

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
        if func in _SENDING and result is not NotImplemented:
            self._count(func, args, result)
        return result

    def _count(self, func: Any, args: tuple[Any, ...], result: Any) -> None:
        """Count what the collective ``func`` sends."""
        group, count = _sent(func, result, args)
        self.sent[group] += count

    def peak(self) -> dict[str, int]:
        """Bytes by kind at the peak."""
        found: dict[str, int] = defaultdict(int)
        for snapshot in self.get_tracker_snapshot("peak").values():
            for kind, count in snapshot.items():
                if kind != _TOTAL:
                    found[KINDS[getattr(kind, "value", kind)]] += count
        return dict(found)

    def now(self) -> int:
        """Bytes in use."""
        return sum(snapshot[_TOTAL] for snapshot in self.get_tracker_snapshot().values())

    def start_again(self) -> None:
        """Forget the peak and what was sent: what a first step does only once does not count."""
        self.reset_mod_stats()
        self._peak_mem_snap = self.get_tracker_snapshot()
        self._peak_mem = {device: snapshot[_TOTAL] for device, snapshot in self._peak_mem_snap.items()}
        self.sent.clear()

    def _update_peak_stats(self, peak_state: Any) -> None:
        """The peak of all. That of each module, which the base class also looks for, takes most of its time."""
        for device, snapshot in self._curr_mem_snap.items():
            if self._peak_mem.get(device, 0) < snapshot[_TOTAL]:
                self._peak_mem[device] = snapshot[_TOTAL]
                self._peak_mem_snap[device] = dict(snapshot)


class _OfOneDevice(StepTracker):  # type: ignore[no-untyped-call]
    """Of a model that is not sharded."""


class _OfShards(StepTracker, FSDPMemTracker):  # type: ignore[no-untyped-call]
    """Of a model that FSDP shards."""

    def _count(self, func: Any, args: tuple[Any, ...], result: Any) -> None:
        super()._count(func, args, result)
        # the base class does not see those that are prefetched
        for operation, buffer, kind in (
            (_GATHER, 0, _FSDPRefType.ALL_GATHER),
            (_SCATTER, 1, _FSDPRefType.REDUCE_SCATTER),
        ):
            if func is operation:
                self._update_and_maybe_create_winfos(args[buffer], kind)


def tracker_of(model: nn.Module, adamw: torch.optim.Optimizer) -> StepTracker:
    """The tracker for a step of ``model``, sharded or not."""
    tracker: StepTracker
    if isinstance(model, FSDPModule):
        tracker = _OfShards(model, adamw)
    else:
        tracker = _OfOneDevice()
        tracker.track_external(model, adamw)
    tracker.sent = defaultdict(float)
    return tracker
