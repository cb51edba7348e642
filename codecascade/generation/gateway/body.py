"""The HTTP request for the next tokens of a text, as vLLM understands it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence as SequenceOf
from typing import Any

from codecascade.generation.bodies import sampling_body
from codecascade.generation.engine.sequence import Sequence
from codecascade.generation.gateway.probe import Abilities
from codecascade.generation.grammar import Grammar
from codecascade.generation.replies import Body
from codecascade.generation.requests import Request
from codecascade.ground.errors import UserError

MOST_ALLOWED = 20_000
"""Ids of one list: a longer one takes a server longer than a request without it."""
_STRONGEST = 100.0
"""The most that servers add to a logit or take off, which rules a token in or out."""
_EXTRAS = {"top_k": (0, -1), "min_p": (0.0, 0.0), "repetition_penalty": (1.0, 1.0)}
"""Fields that OpenAI does not have: what is usual here, and how vLLM says it."""


def check_request(request: Request, abilities: Abilities) -> None:
    """Refuse what a server can't be asked for.

    Raises:
        UserError: it tells no tokens, and log-probabilities are wanted; or it knows no grammars.
    """
    if request.sampling.logprobs is not None and not abilities.tells_tokens:
        raise UserError("the server behind this one does not tell its tokens", key="logprobs")
    if request.sampling.prompt_logprobs is not None and not abilities.tells_tokens:
        raise UserError("the server behind this one does not tell its tokens", key="echo")
    if request.allowed is not None and not abilities.takes_allowed:
        raise UserError("the server behind this one does not obey it", key="allowed_token_ids")
    if request.grammar is not None and not abilities.takes_extras:
        raise UserError("the server behind this one takes no grammar", key="grammar")


def next_tokens_body(
    model: str,
    sequence: Sequence,
    abilities: Abilities,
    *,
    most: int,
    allowed: SequenceOf[int] | None = None,
) -> Body:
    """Ask for the tokens that come after those of a sequence.

    Stop strings are not sent: texts are cut here, and closing the connection ends a request.

    Args:
        most: tokens.
        allowed: the only tokens that may come; None for all.
    """
    request, sampling = sequence.request, sequence.request.sampling
    body = sampling_body(model, sampling, sequence.sample, most)
    body |= {"prompt": sequence.ids, "stream": True}
    for key in ("presence_penalty", "frequency_penalty"):
        if abilities.takes_extras or getattr(sampling, key):
            body[key] = getattr(sampling, key)
    for key, (usual, said) in _EXTRAS.items():
        value = getattr(sampling, key)
        if value != usual:
            body[key] = value
        elif abilities.takes_extras:
            body[key] = said
    bias = {token: _bounded(value) for token, value in sampling.logit_bias}
    bias |= dict.fromkeys(request.forbidden, -_STRONGEST)
    if bias:
        body["logit_bias"] = {str(token): value for token, value in bias.items()}
    if not abilities.tells_tokens:
        return body
    body |= {"return_token_ids": True, "return_tokens_as_token_ids": True}
    if sampling.logprobs is not None or abilities.by_logprobs:
        body["logprobs"] = sampling.logprobs or 0
    if not abilities.takes_extras:
        return body
    body |= {"stop_token_ids": sequence.stop_ids, "skip_special_tokens": False}
    least = max(request.min_tokens - sequence.counted, int(request.nonempty and sequence.empty))
    if least > 0:
        body["min_tokens"] = min(least, most)
    if allowed is None and request.allowed is not None:
        allowed = sorted(request.allowed)
    if allowed is not None:
        body["allowed_token_ids"] = list(allowed)
    if request.grammar is not None:
        body["structured_outputs"] = _structured(request.grammar)
    return body


def prompt_logprobs_body(model: str, request: Request) -> Body:
    """Ask how likely the tokens of a prompt are: it is repeated, with its log-probabilities.

    The tokens' names tell their ids; ``return_token_ids`` would be of the tokens that are written only.
    """
    return {
        "model": model,
        "prompt": list(request.ids),
        "max_tokens": 1,
        "temperature": 0,
        "echo": True,
        "logprobs": request.sampling.prompt_logprobs,
        "return_tokens_as_token_ids": True,
        "stream": True,
    }


def _bounded(value: float) -> float:
    return max(-_STRONGEST, min(_STRONGEST, value)) if not math.isnan(value) else 0.0


def _structured(grammar: Grammar) -> dict[str, Any]:
    if grammar.kind == "json_object":
        return {"json_object": True}
    if grammar.kind == "json_schema":
        try:
            return {"json": json.loads(grammar.text)}
        except (ValueError, RecursionError):
            raise UserError("is no JSON", key="grammar json_schema") from None
    return {"regex": grammar.text} if grammar.kind == "regex" else {"grammar": grammar.text}
