"""Messages from one rank to another that wait in the store of the ranks until they are fetched.

A collective of the process group ends with an error if a rank comes too late. The first rank may run programs for
hours before it has the next work for the others, so they look into the store from time to time instead. A rank that
has died is torchrun's to notice, which ends the others.
"""

from __future__ import annotations

import itertools
import pickle
import time
from typing import Any

from torch.distributed import HashStore, Store  # type: ignore[attr-defined]
from torch.distributed.distributed_c10d import _get_default_store

from codecascade.training.parallel.ranks import World

_SHORTEST_WAIT, _LONGEST_WAIT = 0.002, 0.5
_channels = itertools.count()


class Messages:
    """Numbered messages between the ranks. All ranks make their objects in the same order, and so have the same."""

    def __init__(self, world: World, store: Store | None = None) -> None:
        self.world = world
        self._rank = world.rank
        # a world of one sends nothing
        self._store: Store = store or (HashStore() if world.size == 1 else _get_default_store())
        self._name = f"messages {next(_channels)}"
        self._sent: dict[int, int] = {}
        self._fetched: dict[int, int] = {}

    def send(self, to: int, content: object) -> None:
        """Leave ``content``, which must be picklable, for another rank."""
        number = self._sent.setdefault(to, 0)
        key = f"{self._name}: {number} from {self._rank} to {to}"
        self._store.set(key, pickle.dumps(content))  # type: ignore[arg-type]
        self._sent[to] += 1

    def waiting(self, sender: int) -> bool:
        """Whether a message from ``sender`` is there that was not fetched."""
        return bool(self._store.check([self._key(sender)]))

    def fetch(self, sender: int) -> Any:
        """The next message from ``sender``, which may come hours later."""
        pause = _SHORTEST_WAIT
        while not self.waiting(sender):
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_WAIT)
        key = self._key(sender)
        # only this run's ranks can write there
        content = pickle.loads(self._store.get(key))
        self._store.delete_key(key)
        self._fetched[sender] += 1
        return content

    def _key(self, sender: int) -> str:
        return f"{self._name}: {self._fetched.setdefault(sender, 0)} from {sender} to {self._rank}"
