"""What several ranks tell: a sentence that all of them have is printed once, by the first rank if it has it.

Under torchrun a mistake of the user's is found by every rank, or by one while the others wait for it and lose their
connection when it ends. The ranks settle who speaks in the store of torchrun's agent, which outlives them: so a group
that is started again (``--max-restarts``) does not repeat itself either. Without torchrun all of this is empty.
"""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.distributed import Store  # type: ignore[attr-defined]

_PATIENCE = timedelta(seconds=3)
"""How long another rank waits for the first one to say the same."""
_LOST = (
    "connection closed by peer",
    "connection reset by peer",
    "connection refused",
    "broken pipe",
    "gloo",
    "nccl",
)
"""Words of the errors that a rank gets whose neighbour has gone."""


def several() -> bool:
    """Whether torchrun started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE", 1)) > 1 and "TORCHELASTIC_RUN_ID" in os.environ


def is_first() -> bool:
    """Whether this is the first rank; a process on its own is."""
    return int(os.environ.get("RANK", 0)) == 0 or not several()


def announce_end(code: int) -> None:
    """Let the other ranks know that this one ends for a reason that it tells, with this exit code."""
    store = _store() if several() else None
    if store is not None:
        store.set(_end_key(), str(code))


def other_end() -> int | None:
    """The exit code of a rank of this group that has ended for a reason that it tells; None if none has."""
    store = _store() if several() else None
    if store is None or not store.check([_end_key()]):
        return None
    return int(store.get(_end_key()))


def may_tell(message: str) -> bool:
    """Whether this rank is the one to print ``message``: no other has, in this group or the ones before it."""
    if not several():
        return True
    store = _store()
    if store is None:
        return int(os.environ.get("LOCAL_RANK", 0)) == 0
    key = f"codecascade/told/{blake2b(message.encode(errors='replace'), digest_size=16).hexdigest()}"
    if not is_first():
        with suppress(RuntimeError):  # the wait was in vain
            store.wait([key], _PATIENCE)
    return bool(store.add(key, 1) == 1)


def is_loss(error: BaseException) -> bool:
    """Whether ``error`` comes of another rank that has gone."""
    return several() and any(word in str(error).lower() for word in _LOST)


def _end_key() -> str:
    return f"codecascade/end/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}"


def _store() -> Store | None:
    """The store of torchrun's agent; None where it can't be reached."""
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    try:
        return TCPStore(
            os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, timeout=_PATIENCE
        )
    except (KeyError, ValueError, RuntimeError):
        return None
