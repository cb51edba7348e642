"""What the events of a streamed completion say: tokens where the server tells them, else text."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from codecascade.generation.engine.sequence import Sequence
from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.generation.replies import Body
from codecascade.generation.streaming import Delta
from codecascade.generation.transport import NoReplyError, plain

_PREFIX = "token_id:"
_MOST_AT_ONCE = 100_000
_OF_CHATS = frozenset({"delta", "message"})
"""Where replies to dialogues have their text."""


@dataclass(frozen=True)
class Piece:
    """What came since the last one.

    Attributes:
        tokens: that were chosen; empty where the server does not tell.
        text: of the piece, as the server decodes it.
        finish_reason: in the server's words; None before the end.
        stop_reason: the stop token or string, where the server tells.
    """

    tokens: tuple[TokenLogprobs, ...]
    text: str
    finish_reason: str | None
    stop_reason: int | str | None

    @property
    def is_progress(self) -> bool:
        return bool(self.tokens or self.text or self.finish_reason)


def piece_of(event: Body, wanted: int | None) -> Piece:
    """What an event says of its one completion.

    Args:
        wanted: how many of the likeliest tokens are wanted with each token; None for no log-probabilities.

    Raises:
        NoReplyError: it is not of the form that was asked for.
    """
    choices = event.get("choices")
    if not isinstance(choices, list):
        raise _strange(event)
    if not choices:
        # the last event of those who count tokens
        return Piece((), "", None, None)
    choice = choices[0]
    if not isinstance(choice, dict):
        raise _strange(event)
    text, reason, stop = choice.get("text"), choice.get("finish_reason"), choice.get("stop_reason")
    if not isinstance(text, str | None) or not isinstance(reason, str | None):
        raise _strange(event)
    tokens = _tokens(choice, wanted)
    if not tokens and not text and any(choice.get(field) is not None for field in _OF_CHATS):
        # what it says stands in other fields, and would be lost
        raise _strange(event)
    return Piece(tokens, text or "", reason or None, stop if type(stop) in (int, str) else None)


class WholeCharacters:
    """The texts of an answer, in which JSON may have cut a character into the halves of a UTF-16 pair.

    A first half at a text's end waits for the next text; at the end of all it is dropped, as half a character in
    bytes is.
    """

    def __init__(self) -> None:
        self._half = ""

    def push(self, text: str) -> str:
        """A text with the half before it, and without the one at its end.

        Raises:
            NoReplyError: a half stands alone.
        """
        text, self._half = self._half + text, ""
        if "\ud800" <= text[-1:] <= "\udbff":
            text, self._half = text[:-1], text[-1]
        try:
            return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
        except UnicodeDecodeError:
            raise NoReplyError("a text with half a character", reached=True) from None


def _tokens(choice: Body, wanted: int | None) -> tuple[TokenLogprobs, ...]:
    """The tokens of a choice, from ``token_ids`` or from the names in ``logprobs``."""
    told = choice.get("logprobs")
    logprobs = told if isinstance(told, dict) else {}
    names = logprobs.get("tokens")
    ids = choice.get("token_ids")
    if not isinstance(ids, list):
        ids = [_id_of(name) for name in names] if isinstance(names, list) else []
    if any(type(token) is not int or token < 0 for token in ids) or len(ids) > _MOST_AT_ONCE:
        return ()
    if wanted is None:
        return tuple(TokenLogprobs(token, 0.0) for token in ids)
    values, tops = logprobs.get("token_logprobs"), logprobs.get("top_logprobs")
    if not isinstance(values, list) or len(values) != len(ids):
        if ids:
            raise NoReplyError("log-probabilities are missing", reached=True)
        return ()
    if not isinstance(tops, list) or len(tops) != len(ids):
        tops = [None] * len(ids)
    return tuple(
        TokenLogprobs(token, _number(value), _top(top, wanted))
        for token, value, top in zip(ids, values, tops, strict=True)
    )


def _top(told: Any, wanted: int) -> tuple[tuple[int, float], ...]:
    if not isinstance(told, dict):
        return ()
    found = [(_id_of(name), _number(value)) for name, value in told.items()]
    # vLLM adds the token that was chosen to the likeliest
    likeliest = sorted(found, key=lambda entry: -entry[1])[:wanted]
    return tuple((token, value) for token, value in likeliest if token is not None)


def _id_of(name: Any) -> int | None:
    digits = name.removeprefix(_PREFIX) if isinstance(name, str) and name.startswith(_PREFIX) else ""
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 10 else None


def _number(value: Any) -> float:
    number = float(value) if isinstance(value, int | float) else math.nan
    return number if math.isfinite(number) else -math.inf


def _strange(event: Body) -> NoReplyError:
    return NoReplyError(f"an event without a completion: {plain(str(event), 200)}", reached=True)


def as_told(sequence: Sequence, delta: Delta, piece: Piece) -> Delta:
    """A delta whose text is as long as may be; the server says whether it is whole, as a grammar's may be."""
    if delta.finish_reason != "length" or piece.finish_reason != "stop":
        return delta
    sequence.finish_reason, sequence.stopped_by = "stop", piece.stop_reason
    return replace(delta, finish_reason="stop", stopped_by=piece.stop_reason)
