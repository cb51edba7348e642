"""Hugging Face's Text Generation Inference: ``/generate`` (llm-ls's backend ``tgi``) and ``/generate_stream``."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Literal

from fastapi import APIRouter, Response
from pydantic import Field

import codecascade
from codecascade.generation.grammar import Grammar
from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.generation.requests import SamplingParams
from codecascade.server.answers.samples import Sample, best_first
from codecascade.server.answers.service import Answer, Service
from codecascade.server.answers.streams import events
from codecascade.server.http.compact_json import event, json_response
from codecascade.server.http.errors import ApiError, text_generation_inference
from codecascade.server.requests.body import Body, Items
from codecascade.server.requests.gaps import template_prompt
from codecascade.server.requests.prompts import Prompt, prepared, sampling, stops
from codecascade.server.requests.structured import regex_grammar, schema_grammar

_TOKENS = 100


class TgiGrammar(Body):
    """What the text must be an instance of."""

    type: Literal["json", "json_schema", "regex"]
    value: str | dict[str, Any]


class Parameters(Body):
    """Sampling. Without ``do_sample`` and without a temperature, the likeliest token is taken each time."""

    max_new_tokens: int | None = Field(None, ge=0)
    do_sample: bool = False
    temperature: float | None = Field(None, ge=0, le=100)
    top_k: int = Field(0, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0, le=100)
    frequency_penalty: float = Field(0.0, ge=-100, le=100)
    seed: int | None = None
    stop: Items[str] = Field(default_factory=list)
    truncate: int | None = Field(None, ge=1)
    return_full_text: bool = False
    best_of: int = Field(1, ge=1)
    details: bool = False
    grammar: TgiGrammar | None = None


class GenerateBody(Body):
    """The body of ``/generate``; ``editor_stops`` is ours."""

    inputs: str
    parameters: Parameters = Parameters()
    editor_stops: bool = True


def routes(service: Service) -> APIRouter:
    """The addresses."""
    router = APIRouter()

    @router.post("/generate", summary="Continue a text", response_model=None)
    async def generate(body: GenerateBody) -> Response:
        # Log-probabilities are asked for only where they are shown: not every generator has them.
        parameters = body.parameters
        prompt = await _prompt(service, body, ranked=parameters.details or parameters.best_of > 1)
        samples = await (await service.answer([prompt.request])).collect()
        (best,) = best_first(samples, 1)
        shown: dict[str, Any] = {"generated_text": _text(body, best)}
        if body.parameters.details:
            shown["details"] = _details(service, body, best)
        if prompt.truncated:
            shown["truncated"] = True
        return json_response(shown)

    @router.post("/generate_stream", summary="Continue a text, token by token", response_model=None)
    async def generate_stream(body: GenerateBody) -> Response:
        if body.parameters.best_of > 1:
            raise ApiError(422, "the best of several can't be streamed", "best_of")
        prompt = await _prompt(service, body, ranked=True)
        answer = await service.answer([prompt.request])
        return events(answer, _chunks(service, body, answer), text_generation_inference)

    @router.get("/info", summary="What is served", response_model=None)
    async def info() -> Response:
        return json_response(
            {
                "model_id": service.name,
                "max_total_tokens": service.context_length,
                "max_input_tokens": service.context_length - 1,
                "max_best_of": service.limits.samples,
                "version": codecascade.__version__,
            }
        )

    return router


async def _prompt(service: Service, body: GenerateBody, *, ranked: bool) -> Prompt:
    """The request; ``ranked``: with log-probabilities."""
    parameters = body.parameters
    wanted = _sampling(service, parameters, ranked=ranked)
    stop, grammar = stops(service, parameters.stop), _grammar(parameters.grammar)
    return await prepared(
        len(body.inputs),
        lambda: template_prompt(
            service,
            body.inputs,
            wanted,
            stop=stop,
            samples=parameters.best_of,
            truncate=parameters.truncate,
            editor_stops=body.editor_stops,
            grammar=grammar,
        ),
    )


def _grammar(given: TgiGrammar | None) -> Grammar | None:
    if given is None:
        return None
    if given.type == "regex":
        if not isinstance(given.value, str):
            raise ApiError(422, "a regular expression must be a text", "grammar")
        return regex_grammar(given.value, "grammar")
    value: Any = given.value
    if given.type == "json_schema" and isinstance(value, dict) and "schema" in value:
        value = value["schema"]
    return schema_grammar(value, "grammar")


def _sampling(service: Service, parameters: Parameters, *, ranked: bool) -> SamplingParams:
    temperature = parameters.temperature
    if temperature is None:
        temperature = 1.0 if parameters.do_sample or parameters.best_of > 1 else 0.0
    tokens = parameters.max_new_tokens
    return sampling(
        min(_TOKENS, service.context_length) if tokens is None else tokens,
        temperature=temperature,
        top_k=parameters.top_k,
        top_p=parameters.top_p,
        repetition_penalty=parameters.repetition_penalty,
        frequency_penalty=parameters.frequency_penalty,
        seed=parameters.seed,
        logprobs=0 if ranked else None,
    )


def _text(body: GenerateBody, sample: Sample) -> str:
    return (body.inputs if body.parameters.return_full_text else "") + sample.text


def _details(service: Service, body: GenerateBody, sample: Sample) -> dict[str, Any]:
    return {
        "finish_reason": _finish(sample),
        "generated_tokens": sample.usage.completion_tokens,
        "seed": body.parameters.seed,
        "prefill": [],
        "tokens": [_token(service, token) for token in sample.logprobs],
    }


def _finish(sample: Sample) -> str:
    if sample.finish_reason != "stop":
        return "length"
    return "stop_sequence" if isinstance(sample.stopped_by, str) else "eos_token"


def _token(service: Service, token: TokenLogprobs) -> dict[str, Any]:
    tokenizer = service.tokenizer
    return {
        "id": token.token,
        "text": tokenizer.token_bytes(token.token).decode(errors="replace"),
        "logprob": max(token.logprob, -9999.0),
        "special": token.token in tokenizer.special_ids,
    }


async def _chunks(service: Service, body: GenerateBody, answer: Answer) -> AsyncGenerator[bytes, None]:
    """An event a delta: its text is that of the tokens that became certain."""
    index = 0
    async for sample, delta in answer:
        last = delta.finish_reason is not None
        if not (delta.text or last):
            continue
        index += 1
        shown = (
            _token(service, delta.logprobs[-1])
            if delta.logprobs
            else {"id": 0, "logprob": 0.0, "special": True}
        )
        # clients show the text of tokens that are not special, and the last one brings what was held back
        shown["special"] = shown["special"] and not delta.text
        yield event(
            {
                "index": index,
                "token": shown | {"text": delta.text},
                "generated_text": _text(body, sample) if last else None,
                "details": {
                    "finish_reason": _finish(sample),
                    "generated_tokens": sample.usage.completion_tokens,
                    "seed": body.parameters.seed,
                }
                if last
                else None,
            }
        )
