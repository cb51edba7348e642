"""The ranks that ``torchrun`` started, and what they exchange.

The name World is torch.distributed's, whose default process group it wraps. A process without torchrun is a world of
one, and needs no process group.
"""

from __future__ import annotations

import atexit
import gc
import itertools
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.rendezvous import rendezvous

from codecascade.ground.errors import Stopped, UserError
from codecascade.ground.format import listed
from codecascade.training.failures.store import attempt, noted_stop

Decision = TypeVar("Decision")

_stores: list[Any] = []
"""The store of this attempt's ranks, once they have joined."""
_barriers = itertools.count()
_CHECKPOINT_LIMIT = timedelta(hours=1)
"""How long a rank waits in the background for the others to write their parts of a checkpoint."""
_checkpoint_groups: list[dist.ProcessGroup] = []
"""The process group of :func:`group_for_checkpoints`, once it is made."""
_meshes: dict[tuple[Any, ...], DeviceMesh] = {}
"""Every mesh that was made, by shape and names; :func:`_leave_world` takes the process groups out of them."""


@dataclass(frozen=True)
class World:
    """This process's rank of ``size``, and its device. ``mesh`` is None for a process on its own."""

    rank: int
    size: int
    device: torch.device
    mesh: DeviceMesh | None

    @property
    def first(self) -> bool:
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Each value summed over the ranks."""
        if self.mesh is None:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def gather(self, value: Any) -> list[Any]:
        """The (small, picklable) values of all ranks, on all ranks."""
        if self.mesh is None:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, returned on all ranks."""
        return self.gather(value)[0]

    def from_first(self, decide: Callable[[], Decision]) -> Decision:
        """What ``decide`` returns on rank 0, returned on all ranks. Only rank 0 calls it.

        Whatever looks at files that rank 0 will change must be decided here.

        Raises:
            UserError: rank 0's, on every rank.
        """
        decision: Decision | UserError | None = None
        if self.first:
            try:
                decision = decide()
            except UserError as error:
                decision = error
        self.wait_for_all()
        decision = self.broadcast(decision)
        if isinstance(decision, UserError):
            raise decision
        return decision

    def on_all(self, work: Callable[[], Decision]) -> Decision:
        """What ``work`` returns on this rank, once it has ended on all of them.

        Whatever may fail on one rank alone is done here, because the others would wait for that rank. ``work`` itself
        must wait for no other rank.

        Raises:
            UserError: that of some ranks, on every rank. It says on which, if not all have the same.
        """
        result: Decision | None = None
        problem: UserError | None = None
        try:
            result = work()
        except UserError as error:
            problem = error
        except OSError as error:
            problem = UserError(error.strerror or str(error), file=error.filename)
        problems = self.gather((problem, platform.node()) if problem is not None else None)
        failed = [rank for rank, one in enumerate(problems) if one is not None]
        if failed:
            first: UserError = problems[failed[0]][0]
            alike = [rank for rank in failed if str(problems[rank][0]) == str(first)]
            if len(alike) == self.size:
                raise first
            machines = listed(sorted({problems[rank][1] for rank in alike}))
            ranks = listed([str(rank) for rank in alike])
            where = f"on rank{'s' * (len(alike) > 1)} {ranks} of {self.size}, machine {machines}"
            raise UserError(f"{first.message} ({where})", file=first.file, key=first.key)
        return cast(Decision, result)

    def wait_for_all(self) -> None:
        """Wait until all ranks are here, however long it takes.

        The first rank may measure for days while the others wait, and no limit of the process group must end that.
        If a rank dies meanwhile, torchrun ends the others.
        """
        if self.mesh is None:
            return
        if not _stores:
            # Somebody else made the process group.
            self.gather(None)
            return
        key = f"barrier {next(_barriers)}"
        start = time.monotonic()
        arrived = _stores[0].add(key, 1)
        while arrived < self.size:
            # A wait is found to be over after a tenth more of its time, or a second.
            time.sleep(min(1.0, 0.005 + (time.monotonic() - start) / 10))
            arrived = _stores[0].add(key, 0)


def release_memory() -> None:
    """Give this rank's device memory back that no tensor holds any more, so that another process can have it."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def join_world() -> World:
    """The world that torchrun's environment describes, joined at the first call. Without torchrun, a world of one.

    Raises:
        Stopped: a signal stopped the run, and torchrun has started the ranks again nevertheless.
    """
    size = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_RANK", 0))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if not dist.is_initialized() and (signum := noted_stop()) is not None:
        raise Stopped(signum)
    if size == 1:
        return World(0, 1, device, None)
    if not dist.is_initialized():
        _join_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
        atexit.register(_leave_world)
    return World(dist.get_rank(), size, device, device_mesh(device.type, (size,), ("world",)))


def device_mesh(kind: str, shape: tuple[int, ...], names: tuple[str, ...]) -> DeviceMesh:
    """The mesh of all ranks in this shape. All ranks must ask for their meshes in the same order.

    Each is made once, because its process groups stay until the end.
    """
    key = (kind, shape, names)
    if key not in _meshes:
        _meshes[key] = init_device_mesh(kind, shape, mesh_dim_names=names)
    return _meshes[key]


def group_for_checkpoints() -> dist.ProcessGroup:
    """A process group of all ranks beside the default one, for a thread that writes checkpoints during the training.

    All ranks must make the first call at the same time. It exchanges CPU tensors only.
    """
    if not _checkpoint_groups:
        group = dist.new_group(backend="gloo", timeout=_CHECKPOINT_LIMIT)
        assert isinstance(group, dist.ProcessGroup)
        _checkpoint_groups.append(group)
    return _checkpoint_groups[0]


def _join_group(backends: str) -> None:
    # A bound for what all ranks do at the same time. Work of the first rank alone, such as measuring, is waited for
    # without one (wait_for_all), and a step that hangs is found long before (failures/step_watch.py).
    timeout = timedelta(hours=12)
    store, rank, size = next(rendezvous("env://", timeout=timeout))
    store.set_timeout(timeout)
    # torchrun's store outlives the ranks. Ranks that are started again must not find the addresses of earlier ones.
    store = dist.PrefixStore(f"attempt {attempt()}", store)  # type: ignore[attr-defined]
    _stores.append(store)
    dist.init_process_group(backends, store=store, rank=rank, world_size=size, timeout=timeout)


def _leave_world() -> None:
    """End the process group and its threads while the interpreter still works.

    A thread of the group that outlives the interpreter may still ask for Python's lock, and C++ then aborts the
    process ("terminate called without an active exception"). The threads end with the last reference to the group.
    ``destroy_process_group`` drops torch's own. Each device mesh has others, and the mesh itself stays, because
    DTensor's caches refer to it. Models that are sharded over the mesh have more, and refer to themselves in circles.
    """
    if dist.is_initialized():
        _checkpoint_groups.clear()
        dist.destroy_process_group()
        # A table that tracing of compiled models uses, of no use any more. Other versions of PyTorch have none.
        for mesh in _meshes.values():
            getattr(mesh, "_pg_registry", {}).clear()
        _meshes.clear()
        gc.collect()
