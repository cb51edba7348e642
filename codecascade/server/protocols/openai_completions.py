"""OpenAI's ``/v1/completions``: a text goes on, or (with ``suffix``) a gap is filled.

Tabby's editor plug-ins use the same address for their own form (``segments``).
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from codecascade.generation.requests import SamplingParams
from codecascade.server.answers.samples import Sample, best_first, total
from codecascade.server.answers.service import Answer, Service
from codecascade.server.answers.streams import events
from codecascade.server.http.compact_json import DONE, event, json_response
from codecascade.server.http.errors import ApiError, openai
from codecascade.server.protocols import openai_logprobs, tabby
from codecascade.server.requests.body import LogitBias, ResponseFormat, Stop, StreamOptions, TokenIds
from codecascade.server.requests.gaps import Gap, gap_prompt, template_prompt
from codecascade.server.requests.prompts import Prompt, grammar, logit_bias, prepared, sampling, stops


class CompletionBody(tabby.TabbyFields):
    """The body of ``/v1/completions``.

    ``top_k``, ``min_p``, ``repetition_penalty`` and ``truncate_prompt_tokens`` are vLLM's; ``editor_stops`` is ours:
    with false, a filled gap ends only where the model ends it.
    """

    model: str = ""
    prompt: str | TokenIds | list[str] | list[TokenIds] | None = None
    suffix: str | None = None
    max_tokens: int = Field(16, ge=0)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1)
    best_of: int | None = Field(None, ge=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    logprobs: int | None = Field(None, ge=0, le=5)
    echo: bool = False
    stop: Stop = Field(default_factory=list)
    presence_penalty: float = Field(0.0, ge=-2, le=2)
    frequency_penalty: float = Field(0.0, ge=-2, le=2)
    logit_bias: LogitBias = Field(default_factory=dict)
    seed: int | None = None
    top_k: int = Field(0, ge=-1)
    min_p: float = Field(0.0, ge=0, le=1)
    repetition_penalty: float = Field(1.0, gt=0, le=100)
    truncate_prompt_tokens: Annotated[int, Field(ge=-1)] | None = None
    response_format: ResponseFormat | None = None
    editor_stops: bool = True


def routes(service: Service) -> APIRouter:
    """The address."""
    router = APIRouter()

    @router.post("/v1/completions", summary="Continue a text, or fill a gap", response_model=None)
    async def completions(body: CompletionBody) -> Response:
        if body.segments is not None:
            return await tabby.complete(service, body)
        return await _complete(service, body)

    return router


async def _complete(service: Service, body: CompletionBody) -> Response:
    service.check_model(body.model)
    if body.prompt is None:
        raise ApiError(400, "must be there: a text, the ids of one, or a list of them", "prompt")
    best_of = body.best_of or body.n
    if best_of < body.n:
        raise ApiError(400, f"must be at least n, {body.n} (got {best_of})", "best_of")
    if body.stream and best_of > body.n:
        raise ApiError(400, "the best of several can't be streamed", "best_of")
    if body.echo and body.logprobs is not None:
        raise ApiError(400, "log-probabilities of the prompt are not computed; leave out echo", "logprobs")
    texts = _prompts(body.prompt)
    if best_of * len(texts) > service.limits.samples:
        raise ApiError(
            400,
            f"{best_of * len(texts):,} completions are asked for; at most {service.limits.samples} are made",
            "n",
        )
    wanted = _sampling(service, body, ranked=best_of > body.n)
    prompts = [await _prompt(service, body, text, wanted, best_of) for text in texts]
    answer = await service.answer([prompt.request for prompt in prompts])
    form = _Form(service, body, texts, truncated=any(prompt.truncated for prompt in prompts))
    if body.stream:
        return events(answer, form.chunks(answer), openai)
    return json_response(form.whole(await answer.collect()))


def _prompts(prompt: Any) -> list[str | list[int]]:
    """One or several prompts; ids alone are one."""
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise ApiError(400, "must not be an empty list", "prompt")
    return [list(prompt)] if isinstance(prompt[0], int) else list(prompt)


def _sampling(service: Service, body: CompletionBody, *, ranked: bool) -> SamplingParams:
    return sampling(
        body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        seed=body.seed,
        logprobs=0 if body.logprobs is None and ranked else body.logprobs,
        top_k=max(body.top_k, 0),
        min_p=body.min_p,
        repetition_penalty=body.repetition_penalty,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        logit_bias=logit_bias(service, body.logit_bias),
    )


async def _prompt(
    service: Service, body: CompletionBody, text: str | list[int], wanted: SamplingParams, samples: int
) -> Prompt:
    stop = stops(service, body.stop)
    if body.suffix is not None:
        if not isinstance(text, str):
            raise ApiError(400, "a prompt with a suffix must be a text", "prompt")
        gap = Gap(text, body.suffix, editor_stops=body.editor_stops)
        return await prepared(
            gap.size,
            lambda: gap_prompt(
                service,
                gap,
                wanted,
                stop=stop,
                samples=samples,
                truncate=body.truncate_prompt_tokens is not None,
            ),
        )
    truncate = body.truncate_prompt_tokens
    return await prepared(
        len(text),
        lambda: template_prompt(
            service,
            text,
            wanted,
            stop=stop,
            samples=samples,
            truncate=service.context_length if truncate == -1 else truncate,
            heal=body.logprobs is None,
            editor_stops=body.editor_stops,
            grammar=grammar(body.response_format),
        ),
    )


class _Form:
    """Answers in OpenAI's form."""

    def __init__(
        self, service: Service, body: CompletionBody, prompts: list[str | list[int]], *, truncated: bool
    ) -> None:
        self._service, self._body = service, body
        tokenizer = service.tokenizer
        self._echoes = [
            (prompt if isinstance(prompt, str) else tokenizer.decode(prompt)) if body.echo else ""
            for prompt in prompts
        ]
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model or service.name,
        } | ({"truncated": True} if truncated else {})

    def whole(self, samples: list[Sample]) -> dict[str, Any]:
        """One object, the best samples first."""
        body = self._body
        chosen = best_first(samples, body.n) if (body.best_of or 0) > body.n else samples
        choices = [
            self._choice(
                index,
                self._echoes[sample.prompt] + sample.text,
                self._logprobs(sample.logprobs, 0),
                sample.finish,
            )
            for index, sample in enumerate(chosen)
        ]
        return self._head | {"choices": choices, "usage": total(samples).openai}

    async def chunks(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        """Server-sent events, one a piece of text."""
        usage: dict[str, Any] = {"usage": None} if self._body.stream_options.include_usage else {}
        offsets: dict[int, int] = {}
        if self._body.echo:
            for sample in answer.samples:
                yield event(
                    self._head
                    | {
                        "choices": [
                            self._choice(self._index(sample), self._echoes[sample.prompt], None, None)
                        ]
                    }
                    | usage
                )
        async for sample, delta in answer:
            index = self._index(sample)
            logprobs = self._logprobs(delta.logprobs, offsets.get(index, 0))
            offsets[index] = offsets.get(index, 0) + sum(
                len(self._service.tokenizer.token_bytes(token.token).decode(errors="ignore"))
                for token in delta.logprobs
            )
            finish = sample.finish if delta.finish_reason is not None else None
            if delta.text or finish or (logprobs is not None and delta.logprobs):
                yield event(
                    self._head | {"choices": [self._choice(index, delta.text, logprobs, finish)]} | usage
                )
        if self._body.stream_options.include_usage:
            yield event(self._head | {"choices": [], "usage": total(answer.samples).openai})
        yield DONE

    def _index(self, sample: Sample) -> int:
        return sample.prompt * self._body.n + sample.number

    def _logprobs(self, tokens: Sequence[Any], offset: int) -> dict[str, Any] | None:
        top = self._body.logprobs
        if top is None:
            return None
        return openai_logprobs.of_completion(self._service.tokenizer, tokens, offset, top=top)

    @staticmethod
    def _choice(index: int, text: str, logprobs: dict[str, Any] | None, finish: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}
