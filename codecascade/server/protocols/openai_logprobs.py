"""Log-probabilities in OpenAI's two forms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from codecascade.generation.streaming import TokenLogprobs
from codecascade.tokens.tokenizer import Tokenizer

_LEAST = -9999.0
"""What stands for a probability of 0, as JSON has no infinity."""


def of_completion(
    tokenizer: Tokenizer, tokens: Sequence[TokenLogprobs], offset: int, *, top: int
) -> dict[str, Any]:
    """The ``logprobs`` of ``/v1/completions``.

    Args:
        offset: characters of the text before the first token.
        top: how many of the likeliest were asked for.
    """
    offsets = []
    for token in tokens:
        offsets.append(offset)
        offset += len(tokenizer.token_bytes(token.token).decode(errors="ignore"))
    return {
        "tokens": [_name(tokenizer, token.token) for token in tokens],
        "token_logprobs": [_finite(token.logprob) for token in tokens],
        "top_logprobs": [
            {_name(tokenizer, other): _finite(logprob) for other, logprob in token.top[:top]}
            for token in tokens
        ]
        if top
        else None,
        "text_offset": offsets,
    }


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
    """A token as text; one that is half a character as OpenAI writes it, ``bytes:\\xe2\\x82``."""
    data = tokenizer.token_bytes(token)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def _finite(logprob: float) -> float:
    return max(logprob, _LEAST)
