"""Mistral's ``/v1/fim/completions``: a gap is filled, and the answer has the form of a chat's."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

from codecascade.server.answers.samples import total
from codecascade.server.answers.service import Answer, Service
from codecascade.server.answers.streams import events
from codecascade.server.http.compact_json import DONE, event, json_response
from codecascade.server.http.errors import ApiError, mistral
from codecascade.server.requests.body import Body, Stop
from codecascade.server.requests.gaps import Gap, gap_prompt
from codecascade.server.requests.prompts import prepared, sampling, stops

_TOKENS = 256


class FimBody(Body):
    """The body of ``/v1/fim/completions``; ``editor_stops`` is ours."""

    model: str = ""
    prompt: str
    suffix: str = ""
    max_tokens: int | None = Field(None, ge=0)
    temperature: float = Field(0.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    stop: Stop = Field(default_factory=list)
    random_seed: int | None = None
    stream: bool = False
    editor_stops: bool = True


def routes(service: Service) -> APIRouter:
    """The address."""
    router = APIRouter()

    @router.post("/v1/fim/completions", summary="Fill a gap", response_model=None)
    async def fim(body: FimBody) -> Response:
        if not service.is_called(body.model):
            raise ApiError(400, f"Invalid model: {body.model}", "model", "1500", kind="invalid_model")
        tokens = body.max_tokens
        wanted = sampling(
            min(_TOKENS, service.context_length) if tokens is None else tokens,
            temperature=body.temperature,
            top_p=body.top_p,
            seed=body.random_seed,
        )
        gap = Gap(body.prompt, body.suffix, editor_stops=body.editor_stops)
        stop = stops(service, body.stop)
        prompt = await prepared(gap.size, lambda: gap_prompt(service, gap, wanted, stop=stop, truncate=False))
        answer = await service.answer([prompt.request])
        head = {
            "id": uuid.uuid4().hex,
            "created": int(time.time()),
            "model": body.model or service.name,
        }
        if body.stream:
            return events(answer, _chunks(head, answer), mistral)
        samples = await answer.collect()
        message = {"role": "assistant", "content": samples[0].text, "tool_calls": None}
        choice = {"index": 0, "message": message, "finish_reason": samples[0].finish}
        return json_response(
            head | {"object": "chat.completion", "choices": [choice], "usage": total(samples).openai}
        )

    return router


async def _chunks(head: dict[str, Any], answer: Answer) -> AsyncGenerator[bytes, None]:
    head = head | {"object": "chat.completion.chunk"}

    def chunk(delta: dict[str, str], finish: str | None = None, **more: Any) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return event(head | {"choices": [choice]} | more)

    yield chunk({"role": "assistant", "content": ""})
    async for sample, delta in answer:
        if delta.finish_reason is not None:
            yield chunk({"content": delta.text}, sample.finish, usage=total(answer.samples).openai)
        elif delta.text:
            yield chunk({"content": delta.text})
    yield DONE
