"""From what a client sends to a request in token ids, within the server's limits.

Text is encoded without special tokens, so that none in it acts as one.
"""

from __future__ import annotations

import asyncio
import secrets
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from codecascade.generation.grammar import Grammar
from codecascade.generation.requests import Request, SamplingParams, chat_request, start_id
from codecascade.ground.errors import UserError
from codecascade.server.answers.service import Service
from codecascade.server.http.errors import ApiError
from codecascade.server.requests.body import ChatMessage, Stop
from codecascade.tokens.healing import heal as heal_prompt
from codecascade.tokens.infilling import forbidden_tokens
from codecascade.tokens.messages import Message, latest_turns
from codecascade.tokens.tokenizer import Tokenizer

_MOST_BIAS = 1e4
_ROLES = {"developer": "system"}
"""OpenAI's newer name."""
_MOST_BITS = 2**31 - 1
_COLDEST = 1e-5
"""A temperature below is 0, for logits over it would not be numbers any more."""
_INLINE = 20_000
"""Characters that are encoded at once; what is longer is encoded in a thread, while other requests go on."""


@dataclass(frozen=True)
class Prompt:
    """A request that may be sent to the generator.

    Attributes:
        truncated: the client's text was longer than the context; its beginning is missing.
    """

    request: Request
    truncated: bool = False


async def prepared(size: int | None, make: Callable[[], Prompt]) -> Prompt:
    """Make a prompt.

    Args:
        size: characters; None: not known to be quick, such as a chat template.

    Raises:
        ApiError: it is too long, or has a part that the model can't be told.
    """
    try:
        return await asyncio.to_thread(make) if size is None or size > _INLINE else make()
    except UserError as error:
        raise ApiError(400, str(error), error.key) from None


def sampling(max_new_tokens: int, **values: Any) -> SamplingParams:
    """Sampling parameters; a seed of None is drawn, and a temperature next to 0 is 0.

    Raises:
        ApiError: a value is out of range.
    """
    if values.get("seed") is None:
        values["seed"] = secrets.randbits(31)
    if 0 < values.get("temperature", 0.0) < _COLDEST:
        values["temperature"] = 0.0
    try:
        return SamplingParams(max_new_tokens, **values)
    except UserError as error:
        raise ApiError(400, str(error), error.key) from None


def stops(service: Service, stop: Stop) -> tuple[str, ...]:
    """Stop strings.

    Raises:
        ApiError: one is empty or too long, or there are too many.
    """
    limits = service.limits
    strings = (stop,) if isinstance(stop, str) else tuple(stop)
    if len(strings) > limits.stop_strings:
        raise ApiError(
            400, f"has {len(strings):,} stop strings; at most {limits.stop_strings} are taken", "stop"
        )
    for string in strings:
        if not string or len(string) > limits.stop_characters:
            raise ApiError(
                400,
                f"a stop string must have 1 to {limits.stop_characters:,} characters (one has {len(string):,})",
                "stop",
            )
    return strings


def logit_bias(service: Service, biases: Mapping[str, float]) -> tuple[tuple[int, float], ...]:
    """OpenAI's map of biases by token id.

    Raises:
        ApiError: a key is no token's id.
    """
    found = []
    for key, bias in biases.items():
        if not (
            key.isascii() and key.isdigit() and len(key) < 10 and int(key) < service.tokenizer.vocab_size
        ):
            raise ApiError(400, f"{key[:20]!r} is not the id of a token", "logit_bias")
        found.append((int(key), bounded_bias(bias)))
    return tuple(found)


def bounded_bias(bias: float) -> float:
    """A bias that is as good as the one asked for, and which float32 can add to any logit."""
    return max(-_MOST_BIAS, min(_MOST_BIAS, bias))


def prompt_limit(service: Service) -> int:
    """The most tokens that a prompt may have: one must be left for the completion."""
    most = service.context_length - 1
    return most if service.limits.prompt_tokens is None else min(most, service.limits.prompt_tokens)


def _room_of_a_cut(service: Service, sampling: SamplingParams) -> int:
    """The most tokens of a prompt that is cut: what is asked for has room behind it, up to half of the context."""
    context = service.context_length
    return min(prompt_limit(service), max(context - sampling.max_new_tokens, context // 2, 1))


def checked(service: Service, request: Request, *, truncated: bool = False) -> Prompt:
    """A request whose prompt and completion are within the limits.

    Raises:
        ApiError: with the numbers.
    """
    tokens, limit, context = len(request.ids), prompt_limit(service), service.context_length
    if tokens > limit:
        raise too_long(service, tokens)
    asked, most = request.sampling.max_new_tokens, service.limits.max_tokens
    if asked > (context if most is None else min(most, context)):
        reason = (
            f"this model's maximum context length is {context} tokens, but {asked} are to be generated "
            f"beyond the {tokens} in the prompt"
            if most is None or most >= context
            else f"must be at most {most} (got {asked})"
        )
        raise ApiError(400, reason, "max_tokens")
    return Prompt(request, truncated)


def too_long(service: Service, tokens: int, *, least: bool = False) -> ApiError:
    """The refusal of a prompt of (at least) so many tokens."""
    context, limit = service.context_length, prompt_limit(service)
    about = f"there are {'at least ' if least else ''}{tokens} in the prompt"
    if limit < context - 1:
        about += f", which may have {limit} here"
    return ApiError(
        400,
        f"this model's maximum context length is {context} tokens, and {about}",
        "prompt",
        "context_length_exceeded",
        numbers={"n_prompt_tokens": tokens, "n_ctx": context},
    )


def text_prompt(
    service: Service,
    prompt: str | Sequence[int | str],
    sampling: SamplingParams,
    *,
    stop: Sequence[str] = (),
    samples: int = 1,
    grammar: Grammar | None = None,
    truncate: int | None = None,
    heal: bool = True,
) -> Prompt:
    """Continue a text, ids, or (as llama.cpp allows) both in turn.

    Args:
        truncate: keep so many of the last tokens, at most those that there is room for; None refuses a prompt that
            is too long.
        heal: a text may end inside a token; ids are taken as they are.
    """
    tokenizer, limit = service.tokenizer, prompt_limit(service)
    most = limit if truncate is None else max(1, min(limit, truncate))
    cut = False
    if isinstance(prompt, str):
        prompt, cut = within_characters(service, prompt, most, keep=truncate is not None)
        ids, healed = tokenizer.encode(prompt), heal and grammar is None
        first = tokenizer.bos()
    else:
        ids, healed, first = _mixed_ids(tokenizer, prompt), False, []
    if truncate is not None and len(first) + len(ids) > most:
        room = min(most, _room_of_a_cut(service, sampling))
        ids, cut = ids[-(room - len(first)) :] if room > len(first) else ids[-1:], True
    ids, required = [*first, *ids], b""
    if healed:
        ids, required = heal_prompt(tokenizer, ids)
    known = forbidden_tokens(tokenizer, end=False)
    request = Request(
        tuple(ids) or (start_id(tokenizer),),
        sampling,
        tuple(stop),
        samples,
        required,
        continuation=bool(prompt),
        forbidden=known if known & set(ids) else forbidden_tokens(tokenizer, end=True),
        grammar=grammar,
    )
    return checked(service, request, truncated=cut)


def chat_prompt(
    service: Service,
    messages: Sequence[ChatMessage],
    sampling: SamplingParams,
    *,
    stop: Sequence[str] = (),
    samples: int = 1,
    grammar: Grammar | None = None,
    truncate: bool = False,
) -> Prompt:
    """Reply to a dialogue; an answer at its end is gone on with.

    Args:
        truncate: leave out the oldest turns where there is no room for all; else refuse.
    """
    dialogue = [Message(_ROLES.get(message.role, message.role), content_of(message)) for message in messages]
    prefill = dialogue.pop().content if dialogue and dialogue[-1].role == "assistant" else ""
    if prefill and grammar is not None:
        raise ApiError(400, "a reply that was begun can't have a response_format", "messages")

    def made(kept: Sequence[Message], *, cut: bool) -> Prompt:
        within_characters(service, "".join(message.content for message in kept), prompt_limit(service))
        request = chat_request(service.tokenizer, kept, sampling, prefill=prefill, stop=stop, samples=samples)
        return checked(service, replace(request, grammar=grammar), truncated=cut)

    room = _room_of_a_cut(service, sampling)

    def fit(kept: Sequence[Message]) -> bool:
        try:
            return len(made(kept, cut=True).request.ids) <= room
        except ApiError:
            return False

    try:
        return made(dialogue, cut=False)
    except ApiError as error:
        if not truncate or error.code != "context_length_exceeded":
            raise
    kept = latest_turns(dialogue, fit)
    return made(kept if not kept or fit(kept) else _without_beginning(kept, fit), cut=True)


def _without_beginning(
    dialogue: Sequence[Message], fit: Callable[[Sequence[Message]], bool]
) -> list[Message]:
    """A dialogue whose last message is too long alone, with as much of that message's end as there is room for."""
    *before, last = dialogue

    def ending(characters: int) -> list[Message]:
        return [*before, replace(last, content=last.content[len(last.content) - characters :])]

    most = min(len(last.content), _MOST_BITS)
    kept = bisect_left(range(1, most + 1), True, key=lambda characters: not fit(ending(characters)))
    return ending(kept)


def content_of(message: ChatMessage) -> str:
    """The text of a message.

    Raises:
        ApiError: a part of it is no text, or it calls tools.
    """
    for field in ("tool_calls", "function_call"):
        if getattr(message, field):
            raise ApiError(400, f"this model calls no tools; leave out {field}", "messages")
    if message.images:
        raise ApiError(400, "this model reads no images", "messages")
    if isinstance(message.content, str):
        return message.content
    for part in message.content:
        if part.type != "text":
            raise ApiError(400, f"this model reads text only, no {part.type[:40]!r}", "messages")
    return "\n".join(part.text for part in message.content)


def _mixed_ids(tokenizer: Tokenizer, prompt: Sequence[int | str]) -> list[int]:
    ids: list[int] = []
    for index, part in enumerate(prompt):
        if isinstance(part, str):
            ids += tokenizer.encode_continuation(part) if index else tokenizer.encode(part, bos=True)
        else:
            check_ids(tokenizer, [part], "prompt")
            ids.append(part)
    return ids


def check_ids(tokenizer: Tokenizer, ids: Sequence[int], key: str) -> None:
    """See that all ids of a field are tokens.

    Raises:
        ApiError: one is none.
    """
    for token in ids:
        if not 0 <= token < tokenizer.vocab_size:
            raise ApiError(400, f"no token has the id {token} (there are {tokenizer.vocab_size:,})", key)


def within_characters(service: Service, text: str, room: int, *, keep: bool = False) -> tuple[str, bool]:
    """Refuse or cut a text that is too long without encoding it, which takes a second a megabyte.

    Returns:
        The text, or (with ``keep``) an end of it that is surely long enough, and whether it was cut.
    """
    # A normalizer may make a text shorter, but hardly to a quarter.
    of_token = 4 * longest_piece(service.tokenizer)
    most = of_token * (room + 1)
    if len(text) <= most:
        return text, False
    if not keep:
        raise too_long(service, len(text) // of_token, least=True)
    return text[-most:], True


@lru_cache(maxsize=4)
def longest_piece(tokenizer: Tokenizer) -> int:
    """The bytes of the longest token."""
    return max(map(len, tokenizer.pieces))
