"""Which requests an engine takes: those that the context and the cache have room for, while the queue does."""

from __future__ import annotations

from codecascade.generation.requests import Request
from codecascade.generation.streaming import QueueFull
from codecascade.ground.errors import UserError


def check_tokens(request: Request, vocabulary: int) -> None:
    """Whether the model has a request's tokens.

    Raises:
        UserError: it has not; a pass with them would fail for all that share it.
    """
    for token in (min(request.ids), max(request.ids)):
        if not 0 <= token < vocabulary:
            raise UserError(f"the prompt holds {token}, which is no token: they are 0 to {vocabulary - 1:,}")


def room_for(request: Request, context_length: int, *, beyond: bool) -> int:
    """Tokens of a completion at most: those that only give required bytes again come on top.

    Args:
        beyond: the request may use positions beyond the context.

    Raises:
        UserError: the prompt leaves no room in the context.
    """
    left = context_length - len(request.ids)
    if left <= 0 and not beyond:
        raise UserError(
            f"the prompt has {len(request.ids):,} tokens, the model's context {context_length:,}; shorten it"
        )
    most = request.sampling.max_new_tokens
    if most > 0:
        most += len(request.required)
    return most if beyond else min(most, left)


def check_cache(request: Request, room: int, cache_tokens: int) -> None:
    """Whether a cache can hold one sample of a request with ``room`` new tokens.

    Raises:
        UserError: it can't.
    """
    if len(request.ids) + room > cache_tokens:
        raise UserError(
            f"the prompt's {len(request.ids):,} tokens and up to {room:,} new ones do not fit into the cache, "
            f"which holds {cache_tokens:,}; ask for fewer tokens"
        )


def check_queue(waiting: int, max_waiting: int | None, free: int) -> None:
    """Whether one more request may come.

    Args:
        max_waiting: most requests that wait; None for any number.
        free: sequences that can run beside those that run. So many requests run with the next pass, and do not really
            wait.

    Raises:
        QueueFull: it may not.
    """
    if max_waiting is not None and waiting >= max_waiting + max(0, free):
        raise QueueFull(f"{waiting:,} requests wait, which is as many as may")
