"""The ranks that ``torchrun`` started, and what they exchange.

The name World is torch.distributed's, whose default process group it wraps. A process without torchrun is a world of
one, and needs no process group.
"""

from __future__ import annotations

import atexit
import gc
import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.rendezvous import rendezvous

from codecascade.ground.errors import UserError
from codecascade.ground.format import listed

Decision = TypeVar("Decision")

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

    def barrier(self) -> None:
        self.gather(None)


def join_world() -> World:
    """The world that torchrun's environment describes, joined at the first call. Without torchrun, a world of one."""
    size = int(os.environ.get("WORLD_SIZE", 1))
    local = int(os.environ.get("LOCAL_RANK", 0))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)
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


def _join_group(backends: str) -> None:
    # hours, because the other ranks wait while the first one evaluates and writes reports
    timeout = timedelta(hours=12)
    store, rank, size = next(rendezvous("env://", timeout=timeout))
    store.set_timeout(timeout)
    # torchrun's store outlives the ranks. Ranks that are started again must not find the addresses of earlier ones.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    store = dist.PrefixStore(f"attempt {attempt}", store)  # type: ignore[attr-defined]
    dist.init_process_group(backends, store=store, rank=rank, world_size=size, timeout=timeout)


def _leave_world() -> None:
    """End the process group and its threads while the interpreter still works.

    A thread of the group that outlives the interpreter may still ask for Python's lock, and C++ then aborts the
    process ("terminate called without an active exception"). The threads end with the last reference to the group.
    ``destroy_process_group`` drops torch's own. Each device mesh has others, and the mesh itself stays, because
    DTensor's caches refer to it. Models that are sharded over the mesh have more, and refer to themselves in circles.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
        # A table that tracing of compiled models uses, of no use any more. Other versions of PyTorch have none.
        for mesh in _meshes.values():
            getattr(mesh, "_pg_registry", {}).clear()
        _meshes.clear()
        gc.collect()
