"""What a server can do, found out by asking it for single tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from codecascade.generation.gateway.pieces import piece_of
from codecascade.generation.openai_server import PASSING, SHORT_SECONDS
from codecascade.generation.replies import Body, count_of, is_over_context, message_of
from codecascade.generation.transport import NoReplyError, Reply, Transport
from codecascade.ground.errors import UserError
from codecascade.tokens.tokenizer import Tokenizer

_PROBE = "def add(first, second):\n    return first +"
_CHOSEN = " self"
_PADDING = 4096
"""Rows that a model may have beyond its tokenizer's tokens."""


@dataclass(frozen=True)
class Abilities:
    """Of a server that takes prompts of token ids.

    Attributes:
        tells_tokens: it names the tokens that were chosen, which log-probabilities and exact healing need.
        by_logprobs: it does so only beside log-probabilities.
        takes_allowed: it obeys ``allowed_token_ids``.
        takes_extras: it knows vLLM's other fields, so they are sent even where they say what is usual: a server may
            have a model's own defaults for them.
    """

    tells_tokens: bool
    by_logprobs: bool
    takes_allowed: bool
    takes_extras: bool


def probe(transport: Transport, url: str, model: str, tokenizer: Tokenizer) -> Abilities:
    """Ask a server for a token after a prompt of ids.

    Raises:
        UserError: it takes no such prompts, its model has another tokenizer, or it does not answer.
    """
    ids = tokenizer.encode(_PROBE, bos=True)
    allowed = tokenizer.encode_continuation(_CHOSEN)[:1]
    bare: Body = {"model": model, "prompt": ids, "max_tokens": 1, "temperature": 0}
    asked = {
        "logprobs": 1,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
        "allowed_token_ids": allowed,
        "top_k": -1,
        "min_tokens": 1,
    }
    address = f"{url}/v1/completions"
    reply = _asked(transport, address, {**bare, **asked})
    extras = reply.status == 200
    if not extras:
        reply = _asked(transport, address, bare)
    if reply.status != 200:
        raise UserError(_refusal(reply), file=address)
    content = _object(reply)
    choice = _choice(content)
    if choice is None:
        raise UserError("answers what is no completion", file=address)
    _check_prompt(content, choice, ids, address)
    tokens = _tokens(content)
    if any(token >= tokenizer.vocab_size + _PADDING for token in tokens):
        raise UserError(
            f"writes token {max(tokens)}, but the tokenizer has {tokenizer.vocab_size:,}; name the model's own",
            file=address,
            key="--tokenizer",
        )
    _check_tokenizer(transport, url, model, tokenizer)
    return Abilities(
        tells_tokens=bool(tokens),
        by_logprobs=not isinstance(choice.get("token_ids"), list),
        takes_allowed=tokens == allowed,
        takes_extras=extras and bool(tokens),
    )


def _asked(transport: Transport, address: str, body: Body) -> Reply:
    try:
        return transport.request("POST", address, SHORT_SECONDS, body)
    except NoReplyError as error:
        raise UserError(f"does not answer ({error})", file=address) from None


def _refusal(reply: Reply) -> str:
    said = message_of(reply)
    if reply.status in (404, 405, 501):
        return (
            "is not there: a server that only chats can't fill gaps, because its prompts are not made of token ids; "
            "vLLM and llama.cpp's server have it"
        )
    if reply.status in PASSING or is_over_context(said) or reply.status in (401, 403):
        return f"answers {reply.status}: {said}"
    return (
        f"refuses a prompt of token ids ({reply.status}: {said}), and infilling prompts can't be spelt in text; vLLM "
        "and llama.cpp's server take them"
    )


def _check_prompt(content: Body, choice: Body, ids: Sequence[int], address: str) -> None:
    """See that the prompt was read as it was sent."""
    usage = content.get("usage")
    counted = count_of(usage.get("prompt_tokens")) if isinstance(usage, dict) else None
    read = choice.get("prompt_token_ids")
    if (isinstance(read, list) and read != list(ids)) or counted not in (None, 0, len(ids)):
        raise UserError(
            f"read {counted} tokens where {len(ids)} were sent, so it does not take prompts of token ids as they are",
            file=address,
        )


def _check_tokenizer(transport: Transport, url: str, model: str, tokenizer: Tokenizer) -> None:
    """See that the server's tokenizer makes the same tokens of a text, if it can be asked."""
    body = {
        "model": model,
        "prompt": _PROBE,
        "content": _PROBE,
        "add_special_tokens": False,
        "add_special": False,
    }
    try:
        reply = transport.request("POST", f"{url}/tokenize", SHORT_SECONDS, body)
    except NoReplyError:
        return
    content = _object(reply) if reply.status == 200 else {}
    theirs = content.get("tokens")
    if not isinstance(theirs, list) or not theirs or any(type(token) is not int for token in theirs):
        return
    ours = (
        tokenizer.encode(_PROBE),
        tokenizer.encode(_PROBE, bos=True),
        tokenizer.encode_continuation(_PROBE),
    )
    if theirs not in ours:
        raise UserError(
            f"makes other tokens of a text than this tokenizer ({theirs[:5]}... for {ours[0][:5]}...); name the "
            "tokenizer of the model that the server has",
            file=f"{url}/tokenize",
            key="--tokenizer",
        )


def _object(reply: Reply) -> Body:
    try:
        content = reply.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _choice(content: Body) -> Body | None:
    choices: Any = content.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return None
    choice: Body = choices[0]
    return choice if isinstance(choice.get("text"), str) else None


def _tokens(content: Body) -> list[int]:
    try:
        return [token.token for token in piece_of(content, None).tokens]
    except NoReplyError:
        return []
