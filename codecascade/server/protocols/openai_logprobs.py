"""Log-probabilities in OpenAI's two forms."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.tokens.tokenizer import Tokenizer

_LEAST = -9999.0
"""What stands for a probability of 0, as JSON has no infinity."""


class TextOffsets:
    """Where tokens begin in a text, in characters; one that is half a character begins where that does.

    Bytes that are no text count as the sign that stands for them in the text.

    Args:
        start: of the first token. Below 0 for the space that some families put before every text, which is not shown.
    """

    def __init__(self, tokenizer: Tokenizer, start: int = 0) -> None:
        self._tokenizer, self._at = tokenizer, start
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def next(self, token: int) -> int:
        """Where a token begins that follows the ones before."""
        begins, data = self._at, self._tokenizer.token_bytes(token)
        half = bytes(self._decoder.getstate()[0])
        if half and data and not _may_be_text(half + data[:1]):
            # the half character stays one, and is a sign of its own
            begins += 1
        self._at += len(self._decoder.decode(data))
        return max(0, begins)


def _may_be_text(data: bytes) -> bool:
    """Whether bytes are text, or may become some with those that follow."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data)
    except UnicodeDecodeError:
        return False
    return True


def of_completion(
    tokenizer: Tokenizer,
    tokens: Sequence[TokenLogprobs],
    offsets: TextOffsets,
    *,
    top: int,
    first: int | None = None,
    by_id: bool = False,
) -> dict[str, Any]:
    """The ``logprobs`` of ``/v1/completions``.

    Args:
        top: how many of the likeliest were asked for.
        first: a token before the others of which nothing can be said, as nothing is before it.
        by_id: write tokens as ``token_id:5``, as vLLM does where it is asked to.
    """

    def name(token: int) -> str:
        return f"token_id:{token}" if by_id else _name(tokenizer, token)

    ids = [*([] if first is None else [first]), *(token.token for token in tokens)]
    unknown: list[None] = [None] * (len(ids) - len(tokens))
    return {
        "tokens": [name(token) for token in ids],
        "token_logprobs": [*unknown, *(_finite(token.logprob) for token in tokens)],
        "top_logprobs": [*unknown, *(_likeliest(token.top[:top], name) for token in tokens)] if top else None,
        "text_offset": [offsets.next(token) for token in ids],
    }


def _likeliest(top: Sequence[tuple[int, float]], name: Callable[[int], str]) -> dict[str, float]:
    found: dict[str, float] = {}
    for token, logprob in top:
        # Of two tokens that are written alike the likelier one, which comes first.
        found.setdefault(name(token), _finite(logprob))
    return found


def of_chat(tokenizer: Tokenizer, tokens: Sequence[TokenLogprobs], *, top: int) -> dict[str, Any]:
    """The ``logprobs`` of ``/v1/chat/completions``."""
    return {
        "content": [
            _entry(tokenizer, token.token, token.logprob)
            | {"top_logprobs": [_entry(tokenizer, *other) for other in token.top[:top]]}
            for token in tokens
        ]
    }


def _entry(tokenizer: Tokenizer, token: int, logprob: float) -> dict[str, Any]:
    return {
        "token": _name(tokenizer, token),
        "logprob": _finite(logprob),
        "bytes": list(tokenizer.token_bytes(token)),
    }


def _name(tokenizer: Tokenizer, token: int) -> str:
    """A token as text; one that is half a character as OpenAI writes it, ``bytes:\\xe2\\x82``.

    A special token has no text, so it is told by its name.
    """
    if token in tokenizer.special_ids:
        return _special_names(tokenizer).get(token, "")
    data = tokenizer.token_bytes(token)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


@lru_cache(maxsize=4)
def _special_names(tokenizer: Tokenizer) -> dict[int, str]:
    return {token: name for name, token in tokenizer.vocabulary.items() if token in tokenizer.special_ids}


def _finite(logprob: float) -> float:
    return max(logprob, _LEAST)
