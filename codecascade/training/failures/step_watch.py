"""Ends the ranks when a step takes too long, and says which rank the others wait for.

A rank that hangs makes all others wait inside a collective operation, where they hear of nothing. So each rank has a
thread that tells the store of the ranks (store.py) every few seconds where its main thread is. When a step
has taken longer than its limit, the threads compare what all have told: a rank of which nothing new is heard has
stopped; else the one that is least far in its step holds the others up; else the one that waits for nobody. Each
thread then ends its process, whose main thread can't be interrupted, so that torchrun can start all ranks again.
"""

from __future__ import annotations

import json
import logging
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING

from codecascade.training.failures.store import attempt, open_store
from codecascade.training.parallel.ranks import World

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

logger = logging.getLogger(__name__)

FIRST_STEP, CHECKPOINT, SHORTEST = 3600.0, 3600.0, 300.0
"""Seconds: limits of a process's first step, which compiles, and of a checkpoint; the shortest of other steps."""
TIMES = 10
"""A step may take so many times as long as the slowest before."""
EXIT_CODE = 1
PHASES = ("reads its batch", "computes", "exchanges the step's figures", "writes a checkpoint")
"""What a rank does in a step, in this order."""
READING, COMPUTING, EXCHANGING, SAVING = range(4)


@dataclass(frozen=True)
class Whereabouts:
    """What a rank tells of itself.

    Attributes:
        beat: counts upwards as long as the process runs.
        place: of the main thread: file, line and function, or "" if it waits for other ranks.
    """

    host: str
    beat: int
    step: int
    phase: int
    place: str


class StepWatch:
    """Watches the steps of this rank while the context is open; a process on its own is not watched.

    Args:
        limit: seconds of a step; None: by the steps that were measured.
        end: is given the message when a step has taken too long. The default logs it and ends the process.
    """

    def __init__(
        self,
        world: World,
        limit: float | None,
        *,
        end: Callable[[str], None] | None = None,
        interval: float = 5.0,
        open_store: Callable[[str], Store | None] = open_store,
    ) -> None:
        self.world, self.limit = world, limit
        self._end, self._interval, self._open_store = end or self._end_process, interval, open_store
        self._first: float | None = None
        self._slowest = 0.0
        # written by the main thread only: step and phase
        self._at = (0, READING)
        self._since = time.monotonic()
        self._watched = False
        self._beat = 0
        self._stop = threading.Event()
        self._main = threading.get_ident()
        self._thread = threading.Thread(target=self._watch, name="step watch", daemon=True)
        self._store: Store | None = None

    def __enter__(self) -> StepWatch:
        if self.world.size > 1:
            self._store = self._open_store(f"steps/{attempt()}/")
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def at(self, step: int, phase: int) -> None:
        """The main thread begins a phase of a step. The limit counts from the first, and anew for a checkpoint."""
        if phase in (READING, SAVING):
            self._since, self._watched = time.monotonic(), True
        self._at = (step, phase)

    def done(self, seconds: float) -> None:
        """A step has ended that took so long. Until the next begins, nothing is watched."""
        if self._first is None:
            self._first = seconds
        else:
            self._slowest = max(self._slowest, seconds)
        self._watched = False

    @contextmanager
    def saving(self, step: int) -> Iterator[None]:
        """Watch a checkpoint that this rank writes, with a limit of its own."""
        self.at(step, SAVING)
        try:
            yield
        finally:
            self._watched = False

    def current_limit(self) -> float:
        """Seconds that the current phase may take."""
        if self._at[1] == SAVING:
            return max(CHECKPOINT, self.limit or 0)
        if self.limit is not None:
            return self.limit * (TIMES if self._first is None else 1)
        # the first step compiles: it is no measure for the others, but one of them may compile again
        return FIRST_STEP if self._first is None else max(SHORTEST, self._first, TIMES * self._slowest)

    # ---- the thread

    def _watch(self) -> None:
        while not self._stop.wait(min(self._interval, self.current_limit() / 10)):
            self._tell()
            over = time.monotonic() - self._since
            if self._watched and over > self.current_limit():
                message = self._find_out(over)
                if message is not None:
                    self._end(message)
                    return

    def _tell(self) -> Whereabouts:
        """Tell the store where this rank is, and that its process runs."""
        self._beat += 1
        step, phase = self._at
        now = Whereabouts(platform.node(), self._beat, step, phase, self._place())
        with suppress(RuntimeError):
            if self._store is not None:
                self._store.set(str(self.world.rank), json.dumps(asdict(now)))
        return now

    def _find_out(self, seconds: float) -> str | None:
        """The message; None if the main thread has gone on."""
        late, before = self._tell(), self._read()
        # long enough for the thread of every rank that runs to tell again
        for _ in range(3):
            if self._stop.wait(self._interval):
                return None
            self._tell()
        if self._at != (late.step, late.phase):
            return None
        return describe(before, self._read(), self.world.size, late, seconds)

    def _read(self) -> dict[int, Whereabouts]:
        """What the ranks have told, without those that can't be read."""
        found: dict[int, Whereabouts] = {}
        with suppress(RuntimeError):
            for rank in range(self.world.size if self._store is not None else 0):
                if self._store is not None and self._store.check([str(rank)]):
                    found[rank] = Whereabouts(**json.loads(self._store.get(str(rank))))
        return found

    def _place(self) -> str:
        frame = sys._current_frames().get(self._main)
        return "" if frame is None else place_of(frame)

    def _end_process(self, message: str) -> None:
        """Print the message on one rank, and end this process once it is printed."""
        with suppress(RuntimeError):
            if self._store is None or self._store.add("told", 1) == 1:
                logger.error("%s", message)
                if self._store is not None:
                    self._store.set("printed", "")
            else:
                self._store.wait(["printed"])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(EXIT_CODE)


def place_of(frame: FrameType | None) -> str:
    """The innermost place of our own code; "" if the frame is inside torch.distributed, so it waits for others."""
    package = str(Path(__file__).parents[2])
    inner = frame
    while frame is not None:
        file = frame.f_code.co_filename
        if f"{os.sep}torch{os.sep}distributed{os.sep}" in file:
            return ""
        if file.startswith(package):
            name = Path(file).relative_to(Path(package).parent)
            return f"{name}:{frame.f_lineno} ({frame.f_code.co_name})"
        frame = frame.f_back
    return "" if inner is None else f"{inner.f_code.co_filename}:{inner.f_lineno}"


def describe(
    before: Mapping[int, Whereabouts],
    after: Mapping[int, Whereabouts],
    size: int,
    own: Whereabouts,
    seconds: float,
) -> str:
    """Which ranks the others wait for, by what all have told at two times.

    Args:
        own: of the rank that asks.
        seconds: that it has spent in its step.
    """
    what = "its checkpoint" if own.phase == SAVING else "the step"
    begin = f"step {own.step}: {what} has not ended after {seconds:,.0f} s; "
    end = ". The same command continues from the last checkpoint; torchrun --max-restarts N repeats it by itself"

    def named(rank: int) -> str:
        host = after.get(rank, before.get(rank))
        return f"rank {rank}" + (f" on {host.host}" if host else "")

    if not after:
        return f"{begin}the store of the ranks, on {os.environ.get('MASTER_ADDR')}, does not answer{end}"
    silent = [
        rank
        for rank in range(size)
        if rank not in after or (rank in before and after[rank].beat == before[rank].beat)
    ]
    if silent:
        why = "it was stopped, is out of memory, or has lost the network"
        return f"{begin}{_listed(map(named, silent))} does not answer: {why}{end}"
    reached = {rank: (each.step, each.phase) for rank, each in after.items()}
    least = min(reached.values())
    if max(reached.values()) > least:
        behind = [rank for rank, at in reached.items() if at == least]
        doing = [
            f"{named(rank)} is still in step {least[0]} and {PHASES[least[1]]}"
            + (f", at {after[rank].place}" if after[rank].place else "")
            for rank in behind
        ]
        return f"{begin}{_listed(doing)}, and the others wait for it{end}"
    busy = [f"{named(rank)} is at {each.place}" for rank, each in after.items() if each.place]
    if 0 < len(busy) < size:
        return f"{begin}{_listed(busy)}, and the others wait for it{end}"
    return f"{begin}no rank is behind the others, each {PHASES[least[1]]}: look at the network and the devices{end}"


def _listed(parts: Iterable[str]) -> str:
    shown = list(parts)
    return "; ".join(shown[:8]) + (f"; and {len(shown) - 8} more" if len(shown) > 8 else "")
