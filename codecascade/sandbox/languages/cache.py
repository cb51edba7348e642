"""Compiled programs, kept in memory: at low temperatures samples repeat."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future

from codecascade.sandbox.outcome import Outcome

# Products by their names, or what became of the compilation.
Compiled = Mapping[str, bytes] | Outcome


class CompiledPrograms:
    """At most ``size`` bytes of products; what was not asked for the longest goes first.

    Two that ask for the same at the same time get it from one compilation.
    """

    def __init__(self, size: int = 256 << 20) -> None:
        self._size, self._used = size, 0
        self._futures: OrderedDict[Hashable, Future[Compiled]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Compiled]) -> Compiled:
        """What is kept under ``key``, made now if need be."""
        with self._lock:
            future = self._futures.get(key)
            if mine := future is None:
                future = self._futures[key] = Future()
            else:
                self._futures.move_to_end(key)
        if not mine:
            return future.result()
        try:
            compiled = make()
        except BaseException as error:
            with self._lock:
                del self._futures[key]
            future.set_exception(error)
            raise
        future.set_result(compiled)
        self._keep(key, compiled)
        return compiled

    def _keep(self, key: Hashable, compiled: Compiled) -> None:
        with self._lock:
            # What the machine did (a time-out, a lack of memory) may go otherwise the next time.
            if isinstance(compiled, Outcome) and compiled.outcome != "failed":
                del self._futures[key]
                return
            self._used += _bytes(compiled)
            while self._used > self._size:
                oldest = next(iter(self._futures))
                if not self._futures[oldest].done():
                    break
                self._used -= _bytes(self._futures.pop(oldest).result())


def _bytes(compiled: Compiled) -> int:
    if isinstance(compiled, Outcome):
        return len(compiled.stdout) + len(compiled.stderr) + 1000
    return sum(map(len, compiled.values())) + 1000
