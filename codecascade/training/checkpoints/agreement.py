"""What the ranks settle about a checkpoint, also in a thread beside the training.

A process group must not be used by two threads at a time, so checkpoints have one of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch.distributed as dist

from codecascade.ground.errors import RunFailed, UserError
from codecascade.training.parallel.ranks import World, group_for_checkpoints

Result = TypeVar("Result")


class Agreement:
    """Exchanges small values between all ranks. The first use on all ranks must be at the same time."""

    def __init__(self, world: World) -> None:
        self.world = world

    @property
    def group(self) -> dist.ProcessGroup | None:
        """The process group of all ranks; None for a process on its own."""
        return None if self.world.size == 1 else group_for_checkpoints()

    def gather(self, value: Any) -> list[Any]:
        """The (picklable) values of all ranks, on all ranks."""
        if self.world.size == 1:
            return [value]
        values: list[Any] = [None] * self.world.size
        dist.all_gather_object(values, value, group=self.group)
        return values

    def each(self, work: Callable[[], Result]) -> list[Result]:
        """What ``work`` returns on each rank.

        Raises:
            OSError, UserError, RunFailed: raised on any rank, on every rank; so none waits for one that has failed.
        """
        result: Result | None = None
        error: Exception | None = None
        try:
            result = work()
        except (OSError, UserError, RunFailed) as caught:
            error = caught
        found = self.gather((result, error))
        for failure in (error, *(each for _, each in found)):
            if failure is not None:
                raise failure
        return [each for each, _ in found]

    def first(self, work: Callable[[], None]) -> None:
        """Have the first rank do ``work``. Raises as :meth:`each`."""
        self.each(work if self.world.first else _nothing)


def _nothing() -> None:
    pass
