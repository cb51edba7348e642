"""Ollama's API: ``/api/generate`` (with ``suffix`` a gap is filled), ``/api/chat``, and what clients ask before."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response
from pydantic import AliasChoices, Field

import codecascade
from codecascade.generation.grammar import Grammar
from codecascade.generation.requests import SamplingParams
from codecascade.server.answers.samples import Sample
from codecascade.server.answers.service import Answer, Service
from codecascade.server.answers.streams import lines
from codecascade.server.http.compact_json import json_response, line
from codecascade.server.http.errors import ApiError, ollama
from codecascade.server.requests.body import Body, ChatMessage, Items, Messages, Stop
from codecascade.server.requests.gaps import Gap, gap_prompt, template_prompt
from codecascade.server.requests.prompts import (
    Prompt,
    chat_prompt,
    prepared,
    sampling,
    stops,
)
from codecascade.server.requests.structured import object_grammar, schema_grammar
from codecascade.tokens.infilling_text import recognise

_VERSION = "0.12.0"
"""Of the API; clients compare it with what they need."""


class Options(Body):
    """Sampling; -1 and -2 tokens are as many as there is room for."""

    num_predict: int = Field(-1, ge=-2)
    temperature: float | None = Field(None, ge=0, le=100)
    top_k: int = Field(40, ge=0)
    top_p: float = Field(0.9, gt=0, le=1)
    min_p: float = Field(0.0, ge=0, le=1)
    repeat_penalty: float = Field(1.0, gt=0, le=100)
    presence_penalty: float = Field(0.0, ge=-100, le=100)
    frequency_penalty: float = Field(0.0, ge=-100, le=100)
    seed: int | None = None
    stop: Stop = Field(default_factory=list)


class Named(Body):
    """A body that names a model, under either of two keys."""

    model: str = Field("", validation_alias=AliasChoices("model", "name"))


class Generation(Named):
    """What ``/api/generate`` and ``/api/chat`` share.

    With ``truncate`` false, a prompt that is too long is refused; else its beginning is left out.
    """

    stream: bool = True
    format: str | dict[str, Any] = ""
    options: Options = Options()
    truncate: bool = True


class GenerateBody(Generation):
    """The body of ``/api/generate``. ``template`` and ``context`` are passed over; ``editor_stops`` is ours."""

    prompt: str = ""
    suffix: str = ""
    system: str = ""
    raw: bool = False
    images: Items[str] = Field(default_factory=list)
    editor_stops: bool = True


class ChatBody(Generation):
    """The body of ``/api/chat``."""

    messages: Messages = Field(default_factory=list)


def routes(service: Service) -> APIRouter:
    """The addresses."""
    router = APIRouter()

    @router.post("/api/generate", summary="Continue a text, fill a gap, or answer", response_model=None)
    async def generate(body: GenerateBody) -> Response:
        _check(service, body.model)
        if body.images:
            raise ApiError(400, "this model reads no images")
        if not body.prompt and not body.suffix:
            return _loaded(service, body, {"response": ""})
        prompt = await _generate_prompt(service, body)
        return await _answer(service, body, prompt, lambda text: {"response": text})

    @router.post("/api/chat", summary="Reply to a dialogue", response_model=None)
    async def chat(body: ChatBody) -> Response:
        _check(service, body.model)
        empty = {"role": "assistant", "content": ""}
        if not body.messages:
            return _loaded(service, body, {"message": empty})
        wanted, stop, grammar = (
            _sampling(service, body, 0.8),
            stops(service, body.options.stop),
            _grammar(body),
        )
        prompt = await prepared(
            None,
            lambda: chat_prompt(
                service, body.messages, wanted, stop=stop, grammar=grammar, truncate=body.truncate
            ),
        )
        return await _answer(service, body, prompt, lambda text: {"message": empty | {"content": text}})

    @router.head("/", include_in_schema=False, response_model=None)
    async def ping() -> Response:
        """Ollama's command looks here for a server."""
        return Response()

    @router.get("/api/tags", summary="The models, of which there is one", response_model=None)
    async def tags() -> Response:
        return json_response({"models": [_model(service)]})

    @router.get("/api/ps", summary="The models in memory, of which there is one", response_model=None)
    async def ps() -> Response:
        return json_response({"models": [_model(service)]})

    @router.post("/api/show", summary="What the model can do", response_model=None)
    async def show(body: Named) -> Response:
        _check(service, body.model)
        return json_response(
            {
                "modelfile": "",
                "parameters": "",
                # Clients look for .Suffix to learn whether the model infills.
                "template": "{{ .Prompt }}{{ .Suffix }}" if service.can_infill else "{{ .Prompt }}",
                "details": _model(service)["details"],
                "model_info": {
                    "general.architecture": "llama",
                    "llama.context_length": service.context_length,
                },
                "capabilities": ["completion", *(["insert"] if service.can_infill else [])],
                "modified_at": _time(service.created),
            }
        )

    @router.get("/api/version", summary="The version of the API", response_model=None)
    async def version() -> Response:
        return json_response({"version": _VERSION, "codecascade": codecascade.__version__})

    return router


def _check(service: Service, name: str) -> None:
    if not name:
        raise ApiError(400, "model is required")
    if not service.is_called(name):
        raise ApiError(404, f"model {name!r} not found; this server has {service.name!r}")


async def _generate_prompt(service: Service, body: GenerateBody) -> Prompt:
    grammar, stop = _grammar(body), stops(service, body.options.stop)
    if body.suffix:
        if grammar is not None:
            raise ApiError(400, "a gap in a text takes no format")
        gap = Gap(body.prompt, body.suffix, editor_stops=body.editor_stops)
        wanted = _sampling(service, body, 0.0)
        return await prepared(
            gap.size, lambda: gap_prompt(service, gap, wanted, stop=stop, truncate=body.truncate)
        )
    wanted = _sampling(service, body, 0.8)
    if body.raw or not service.can_chat or recognise(body.prompt) is not None:
        return await prepared(
            len(body.prompt),
            lambda: template_prompt(
                service,
                body.prompt,
                wanted,
                stop=stop,
                truncate=service.context_length if body.truncate else None,
                grammar=grammar,
                editor_stops=body.editor_stops,
            ),
        )
    system = [ChatMessage(role="system", content=body.system)] if body.system else []
    messages = [*system, ChatMessage(role="user", content=body.prompt)]
    return await prepared(
        None,
        lambda: chat_prompt(service, messages, wanted, stop=stop, grammar=grammar, truncate=body.truncate),
    )


def _sampling(service: Service, body: Generation, temperature: float) -> SamplingParams:
    options = body.options
    room = min(service.context_length, service.limits.max_tokens or service.context_length)
    return sampling(
        options.num_predict if options.num_predict >= 0 else room,
        temperature=temperature if options.temperature is None else options.temperature,
        top_k=options.top_k,
        top_p=options.top_p,
        min_p=options.min_p,
        repetition_penalty=options.repeat_penalty,
        presence_penalty=options.presence_penalty,
        frequency_penalty=options.frequency_penalty,
        seed=options.seed,
    )


def _grammar(body: Generation) -> Grammar | None:
    if not body.format:
        return None
    if body.format == "json":
        return object_grammar("format")
    if isinstance(body.format, str):
        raise ApiError(400, f"format must be json or a JSON schema (got {body.format[:40]!r})")
    return schema_grammar(body.format, "format")


async def _answer(
    service: Service, body: Generation, prompt: Prompt, show: Callable[[str], dict[str, Any]]
) -> Response:
    answer = await service.answer([prompt.request])
    name = body.model

    def head() -> dict[str, Any]:
        return {"model": name, "created_at": _time()}

    def final(sample: Sample, text: str) -> dict[str, Any]:
        usage = sample.usage
        return (
            head()
            | show(text)
            | {"done": True, "done_reason": sample.finish}
            | ({"truncated": True} if prompt.truncated else {})
            | {
                "total_duration": _ns(usage.queue_seconds + usage.prefill_seconds + usage.decode_seconds),
                "load_duration": 0,
                "prompt_eval_count": usage.prompt_tokens,
                "prompt_eval_duration": _ns(usage.prefill_seconds),
                "eval_count": usage.completion_tokens,
                "eval_duration": _ns(usage.decode_seconds),
            }
        )

    async def chunks(answer: Answer) -> AsyncGenerator[bytes, None]:
        async for sample, delta in answer:
            if delta.text:
                yield line(head() | show(delta.text) | {"done": False})
            if delta.finish_reason is not None:
                yield line(final(sample, ""))

    if body.stream:
        return lines(answer, chunks(answer), ollama)
    (sample,) = await answer.collect()
    return json_response(final(sample, sample.text))


def _loaded(service: Service, body: Generation, shown: dict[str, Any]) -> Response:
    """The answer to an empty prompt, by which a client asks to have the model loaded."""
    content = {"model": body.model, "created_at": _time()} | shown | {"done": True, "done_reason": "load"}
    return json_response(content)


def _model(service: Service) -> dict[str, Any]:
    return {
        "name": service.name,
        "model": service.name,
        "modified_at": _time(service.created),
        "size": 0,
        "digest": "",
        "details": {
            "parent_model": "",
            "format": "safetensors",
            "family": "llama",
            "families": ["llama"],
            "parameter_size": "",
            "quantization_level": "",
        },
    }


def _time(seconds: float | None = None) -> str:
    moment = datetime.now(UTC) if seconds is None else datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat().replace("+00:00", "Z")


def _ns(seconds: float) -> int:
    return round(seconds * 1e9)
