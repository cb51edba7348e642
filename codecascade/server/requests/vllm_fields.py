"""Fields that vLLM adds to OpenAI's bodies, as far as they say which tokens may come."""

from __future__ import annotations

from dataclasses import replace

from pydantic import Field

from codecascade.server.answers.service import Service
from codecascade.server.http.errors import ApiError
from codecascade.server.requests.body import Body, TokenIds
from codecascade.server.requests.prompts import Prompt, check_ids

_MOST_STOPS = 128


class TokenFields(Body):
    """The fields; ``ignore_eos`` lets the model write on where it would end the text."""

    stop_token_ids: TokenIds = Field(default_factory=list)
    ignore_eos: bool = False
    min_tokens: int = Field(0, ge=0)
    allowed_token_ids: TokenIds | None = None


def with_token_fields(service: Service, prompt: Prompt, body: TokenFields) -> Prompt:
    """The request under what the fields say.

    Raises:
        ApiError: they name what is no token, allow none, or want more tokens at least than at most.
    """
    request, tokenizer = prompt.request, service.tokenizer
    if body.min_tokens > request.sampling.max_new_tokens:
        raise ApiError(
            400,
            f"must be at most max_tokens, {request.sampling.max_new_tokens} (got {body.min_tokens})",
            "min_tokens",
        )
    if len(body.stop_token_ids) > _MOST_STOPS:
        raise ApiError(
            400, f"has {len(body.stop_token_ids):,} ids; at most {_MOST_STOPS} are taken", "stop_token_ids"
        )
    for key, ids in (
        ("stop_token_ids", body.stop_token_ids),
        ("allowed_token_ids", body.allowed_token_ids or ()),
    ):
        check_ids(tokenizer, ids, key)
    own = tokenizer.stop_ids if request.stop_ids is None else request.stop_ids
    ends = frozenset(body.stop_token_ids).union(() if body.ignore_eos else own)
    # A token that may not end the text may not stand in it either.
    forbidden = request.forbidden.union(own) - ends if body.ignore_eos else request.forbidden
    allowed = None
    if body.allowed_token_ids is not None:
        allowed = frozenset(body.allowed_token_ids)
        if request.required or request.grammar is not None or request.editor is not None:
            raise ApiError(
                400, "is for plain texts: no schema, no suffix, no begun reply", "allowed_token_ids"
            )
        if not allowed - forbidden - (ends if body.min_tokens else frozenset()):
            raise ApiError(400, "leaves no token that may come", "allowed_token_ids")
    changed = replace(
        request,
        stop_ids=ends if ends != frozenset(own) else request.stop_ids,
        forbidden=forbidden,
        min_tokens=body.min_tokens,
        allowed=allowed,
    )
    return replace(prompt, request=changed)
