"""OpenAI's ``/v1/chat/completions``."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.server.answers.samples import Sample, total
from codecascade.server.answers.service import Answer, Service
from codecascade.server.answers.streams import events
from codecascade.server.http.compact_json import DONE, event, json_response
from codecascade.server.http.errors import ApiError, openai
from codecascade.server.protocols import openai_logprobs
from codecascade.server.requests.body import LogitBias, Messages, Stop, StreamOptions
from codecascade.server.requests.prompts import chat_prompt, logit_bias, prepared, sampling, stops
from codecascade.server.requests.structured import Structured, grammar_of
from codecascade.server.requests.vllm_fields import TokenFields, with_token_fields


class ChatBody(Structured, TokenFields):
    """The body of ``/v1/chat/completions``.

    ``top_k``, ``min_p``, ``repetition_penalty`` and ``truncate_prompt_tokens`` are vLLM's. The last one may be -1,
    which leaves out the oldest turns where there is no room for all. ``n_predict`` is llama.cpp's name of
    ``max_tokens``: llama.vim reads a prompt ahead with 0. ``function_call`` is OpenAI's older name
    of ``tool_choice``.
    """

    model: str = ""
    messages: Messages = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=0)
    max_completion_tokens: int | None = Field(None, ge=0)
    n_predict: int | None = Field(None, ge=-2)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    stop: Stop = Field(default_factory=list)
    seed: int | None = None
    logprobs: bool = False
    top_logprobs: int = Field(0, ge=0, le=20)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    logit_bias: LogitBias = Field(default_factory=dict)
    truncate_prompt_tokens: Literal[-1] | None = None
    tool_choice: str | dict[str, Any] = "auto"
    function_call: str | dict[str, Any] = "auto"
    top_k: int = Field(0, ge=-1)
    min_p: float = Field(0.0, ge=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0, le=100)


def routes(service: Service) -> APIRouter:
    """The address."""
    router = APIRouter()

    @router.post("/v1/chat/completions", summary="Reply to a dialogue", response_model=None)
    async def chat(body: ChatBody) -> Response:
        service.check_model(body.model)
        for key, wanted_call in (("tool_choice", body.tool_choice), ("function_call", body.function_call)):
            if wanted_call not in ("auto", "none"):
                raise ApiError(400, "this model calls no tools; leave it out", key)
        if body.n > service.limits.samples:
            raise ApiError(400, f"must be at most {service.limits.samples} (got {body.n})", "n")
        wanted = sampling(
            most_tokens(service, body.max_completion_tokens, body.max_tokens, body.n_predict),
            temperature=body.temperature,
            top_p=body.top_p,
            seed=body.seed,
            logprobs=body.top_logprobs if body.logprobs else None,
            top_k=max(body.top_k, 0),
            min_p=body.min_p,
            repetition_penalty=body.repetition_penalty,
            presence_penalty=body.presence_penalty,
            frequency_penalty=body.frequency_penalty,
            logit_bias=logit_bias(service, body.logit_bias),
        )
        form, stop = grammar_of(body), stops(service, body.stop)
        prompt = await prepared(
            None,
            lambda: chat_prompt(
                service,
                body.messages,
                wanted,
                stop=stop,
                samples=body.n,
                grammar=form,
                truncate=body.truncate_prompt_tokens is not None,
            ),
        )
        prompt = with_token_fields(service, prompt, body)
        answer = await service.answer([prompt.request])
        head = {
            "id": f"chatcmpl-{uuid.uuid4().hex}",
            "created": int(time.time()),
            "model": body.model or service.name,
        } | ({"truncated": True} if prompt.truncated else {})
        if body.stream:
            return events(answer, _chunks(service, body, head, answer), openai)
        return json_response(_whole(service, body, head, await answer.collect()))

    return router


def most_tokens(service: Service, *asked: int | None) -> int:
    """The first number that is given, else (and for a negative one) all that there is room for."""
    for number in asked:
        if number is not None and number >= 0:
            return number
    return min(service.context_length, service.limits.max_tokens or service.context_length)


def _whole(service: Service, body: ChatBody, head: dict[str, Any], samples: list[Sample]) -> dict[str, Any]:
    choices = [
        {
            "index": sample.number,
            "message": {"role": "assistant", "content": sample.text},
            "logprobs": _logprobs(service, body, sample.logprobs),
            "finish_reason": sample.finish,
        }
        for sample in samples
    ]
    return head | {"object": "chat.completion", "choices": choices, "usage": total(samples).openai}


async def _chunks(
    service: Service, body: ChatBody, head: dict[str, Any], answer: Answer
) -> AsyncGenerator[bytes, None]:
    head = head | {"object": "chat.completion.chunk"}
    usage: dict[str, Any] = {"usage": None} if body.stream_options.include_usage else {}

    def chunk(index: int, delta: dict[str, str], logprobs: Any = None, finish: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return event(head | {"choices": [choice]} | usage)

    for sample in answer.samples:
        yield chunk(sample.number, {"role": "assistant", "content": ""})
    async for sample, delta in answer:
        if delta.text or (body.logprobs and delta.logprobs):
            yield chunk(sample.number, {"content": delta.text}, _logprobs(service, body, delta.logprobs))
        if delta.finish_reason is not None:
            yield chunk(sample.number, {}, None, sample.finish)
    if body.stream_options.include_usage:
        yield event(head | {"choices": [], "usage": total(answer.samples).openai})
    yield DONE


def _logprobs(service: Service, body: ChatBody, tokens: Sequence[TokenLogprobs]) -> dict[str, Any] | None:
    if not body.logprobs:
        return None
    return openai_logprobs.of_chat(service.tokenizer, tokens, top=body.top_logprobs)
