"""What a pass gives to the samples that are in it, and to the load."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from codecascade.generation.requests import Completion
from codecascade.generation.streaming import Delta, Load


@dataclass(frozen=True)
class Output:
    """What a step gave to one sample.

    Attributes:
        request: the id that :meth:`~codecascade.generation.engine.engine.Engine.add_request` gave.
        completion: the whole sample, with its last delta.
        error: why the pass failed that the sample was in; it is its last output.
    """

    request: int
    delta: Delta
    completion: Completion | None = None
    error: Exception | None = None


def chosen_tokens(outputs: Iterable[Output]) -> int:
    """The tokens that a pass chose, as :class:`~codecascade.generation.streaming.Usage` counts them."""
    return sum(output.delta.tokens for output in outputs)


def after_pass(load: Load, tokens: int, decoded: int, chosen: int, seconds: float) -> Load:
    """The load with one pass more, whose time is shared out by its tokens.

    Args:
        tokens: of the pass.
        decoded: those of them that continued texts, rather than to read a prompt.
        chosen: see :func:`chosen_tokens`.
    """
    share = decoded / tokens if tokens else 1.0
    return load.plus(
        completion_tokens=chosen,
        prefill_seconds=seconds * (1 - share),
        decode_seconds=seconds * share,
        decode_steps=int(decoded > 0),
    )
