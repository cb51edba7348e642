"""The key-value store that all ranks see: torchrun's agent keeps it, or the first rank where there is no torchrun.

Each user has a connection of its own, so that no call waits for that of another thread.
"""

from __future__ import annotations

import os
from datetime import timedelta

from torch.distributed import PrefixStore, Store, TCPStore  # type: ignore[attr-defined]

from codecascade.ground.signals import is_torchrun

_PATIENCE = timedelta(seconds=15)
"""How long to try to connect. torch looks names up meanwhile, and a query that gets lost is repeated after 5 s."""


def attempt() -> int:
    """How often torchrun has started the ranks again."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def open_store(name: str, patience: timedelta = _PATIENCE) -> Store | None:
    """A connection to the store, for keys that begin with ``name``; None where it can't be reached.

    What ranks have written stays when torchrun starts them again.
    """
    try:
        store = TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=patience
        )
    except (KeyError, ValueError, RuntimeError):
        return None
    return PrefixStore(f"codecascade/{name}", store)


def note_stop(signum: int) -> None:
    """Tell ranks that torchrun starts again that a signal has stopped the run: they are to end, too.

    The note is gone when torchrun itself ends, so a run that is started anew knows nothing of it.
    """
    if (store := _of_stops()) is not None:
        store.set("signum", str(signum))


def noted_stop() -> int | None:
    """The signal that stopped the run under this torchrun; None if none did.

    It holds in every attempt. torchrun does not count those of a machine whose own ranks have not failed, and a rank
    may start so late that another one has been stopped before.
    """
    store = _of_stops()
    if store is None or not store.check(["signum"]):
        return None
    return int(store.get("signum"))


def _of_stops() -> Store | None:
    """The store with the note; None where no torchrun would keep it."""
    return open_store("stopped") if is_torchrun() else None
