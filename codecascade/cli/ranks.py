"""Messages of several ranks: one that all ranks have is printed once, by the first rank if it has it.

Under torchrun every rank may find a user's mistake. Or one finds it and ends, and the others, which wait for it, lose
their connections. The ranks agree on who prints in the store of torchrun's agent. This store outlives the ranks, so a
group that is started again (``--max-restarts``) does not repeat a message. Without torchrun every message is printed.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

from codecascade.ground.signals import is_torchrun

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

_PATIENCE = timedelta(seconds=3)
"""How long another rank waits for the first one to print the same message."""
_LOST = (
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
    "gloo",
    "nccl",
)
"""Words in the errors of a rank that has lost the connection to another."""


def is_one_of_several() -> bool:
    """Whether torchrun has started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 and is_torchrun()


def is_first() -> bool:
    """Whether this is the first rank, or the only process."""
    return int(os.environ.get("RANK", 0)) == 0 or not is_one_of_several()


def note_stop(signum: int) -> None:
    """Tell ranks that torchrun starts again that this signal has stopped the work: they are to end, too.

    Not of SIGTERM. torchrun itself sends it to the ranks that are left when one has crashed, and nobody can tell it
    from a user's; the ranks that it starts after a crash have to go on. (The training notes SIGTERM, at a step that
    all ranks have ended.)
    """
    if is_torchrun() and signum != signal.SIGTERM:
        from codecascade.training.failures import store

        store.note_stop(signum)


def announce_end(code: int) -> None:
    """Tell the other ranks that this one ends with a message and this exit code."""
    store = _store() if is_one_of_several() else None
    if store is not None:
        store.set(_end_key(), str(code))


def announced_end() -> int | None:
    """The exit code of a rank of this group that has ended with a message; None if none has."""
    store = _store() if is_one_of_several() else None
    if store is None or not store.check([_end_key()]):
        return None
    return int(store.get(_end_key()))


def may_print(message: str) -> bool:
    """Whether this rank is to print ``message``: no other has printed it, in this group or an earlier one."""
    if not is_one_of_several():
        return True
    store = _store()
    if store is None:
        return int(os.environ.get("LOCAL_RANK", 0)) == 0
    key = f"told/{blake2b(message.encode(errors='replace'), digest_size=16).hexdigest()}"
    if not is_first():
        # it raises RuntimeError if the first rank does not print the message in time
        with suppress(RuntimeError):
            store.wait([key], _PATIENCE)
    return bool(store.add(key, 1) == 1)


def is_lost_connection(error: BaseException) -> bool:
    """Whether ``error`` is the loss of a connection to another rank."""
    return is_one_of_several() and any(word in str(error).lower() for word in _LOST)


def _end_key() -> str:
    return f"end/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"


def _store() -> Store | None:
    """The store of torchrun's agent; None where it can't be reached."""
    from codecascade.training.failures.store import open_store

    return open_store("messages", _PATIENCE)
