"""OpenAI's ``/v1/completions``: a text goes on, or (with ``suffix``) a gap is filled.

Tabby's editor plug-ins use the same address for their own form (``segments``).
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Iterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Field

from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.generation.requests import SamplingParams
from codecascade.server.answers.samples import Sample, best_first, total
from codecascade.server.answers.service import Answer, Service, shown_prompt
from codecascade.server.answers.streams import events, json_in_parts
from codecascade.server.http.compact_json import DONE, compact, event, json_response
from codecascade.server.http.errors import ApiError, openai
from codecascade.server.protocols import openai_logprobs, tabby
from codecascade.server.requests.body import Items, LogitBias, Stop, StreamOptions, TokenIds
from codecascade.server.requests.gaps import Gap, gap_prompt, template_prompt
from codecascade.server.requests.prompts import Prompt, logit_bias, prepared, sampling, stops
from codecascade.server.requests.structured import Structured, grammar_of
from codecascade.server.requests.vllm_fields import TokenFields, with_token_fields

_BLOCK = 1024
"""Tokens of a prompt whose log-probabilities are written at a time."""


class CompletionBody(tabby.TabbyFields, Structured, TokenFields):
    """The body of ``/v1/completions``.

    ``top_k``, ``min_p``, ``repetition_penalty`` and ``truncate_prompt_tokens`` are vLLM's. So are
    ``return_token_ids``, which gives the ids of prompt and text, and ``return_tokens_as_token_ids``, which writes the
    tokens of log-probabilities as ``token_id:5``. ``editor_stops`` is ours: with false, a filled gap ends only where
    the model ends it.
    """

    model: str = ""
    prompt: str | TokenIds | Items[str] | Items[TokenIds] | None = None
    suffix: str | None = None
    max_tokens: int = Field(16, ge=0)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    n: int = Field(1, ge=1)
    best_of: int | None = Field(None, ge=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    logprobs: int | None = Field(None, ge=0, le=20)
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
    return_token_ids: bool = False
    return_tokens_as_token_ids: bool = False
    editor_stops: bool = True

    @property
    def scores_prompt(self) -> bool:
        """Whether the log-probabilities of the prompt's own tokens are asked for, as harnesses do."""
        return self.echo and self.logprobs is not None


def routes(service: Service) -> APIRouter:
    """The address."""
    router = APIRouter()

    @router.post("/v1/completions", summary="Continue a text, or fill a gap", response_model=None)
    async def completions(body: CompletionBody) -> Response:
        if body.segments is not None:
            if grammar_of(body) is not None:
                raise ApiError(400, "a gap in a text takes no schema", "segments")
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
    texts = _prompts(body.prompt)
    if best_of * len(texts) > service.limits.samples:
        raise ApiError(
            400,
            f"{best_of * len(texts):,} completions are asked for; at most {service.limits.samples} are made",
            "n",
        )
    wanted = _sampling(service, body, ranked=best_of > body.n)
    prompts = [
        with_token_fields(service, await _prompt(service, body, text, wanted, best_of), body)
        for text in texts
    ]
    answer = await service.answer([prompt.request for prompt in prompts])
    form = _Form(service, body, texts, prompts)
    if body.stream:
        return events(answer, form.chunks(answer), openai)
    samples = await answer.collect()
    if body.scores_prompt:
        return json_in_parts(answer, form.parts(samples), openai)
    return json_response(form.whole(samples))


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
        prompt_logprobs=body.logprobs if body.scores_prompt else None,
    )


async def _prompt(
    service: Service, body: CompletionBody, text: str | list[int], wanted: SamplingParams, samples: int
) -> Prompt:
    stop, form = stops(service, body.stop), grammar_of(body)
    # Among few tokens there may be none that agrees with what healing takes off.
    few = body.allowed_token_ids is not None
    if body.suffix is not None:
        if not isinstance(text, str):
            raise ApiError(400, "a prompt with a suffix must be a text", "prompt")
        if form is not None:
            raise ApiError(400, "a gap in a text takes no schema", "suffix")
        if body.scores_prompt:
            raise ApiError(400, "a prompt with a suffix has no log-probabilities; leave out echo", "echo")
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
                heal=not few,
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
            heal=body.logprobs is None and not few,
            heal_gap=not few,
            editor_stops=body.editor_stops,
            grammar=form,
            # What is scored is a text, whatever stands in it.
            recognises=not body.scores_prompt,
        ),
    )


class _Form:
    """Answers in OpenAI's form."""

    def __init__(
        self, service: Service, body: CompletionBody, texts: list[str | list[int]], prompts: list[Prompt]
    ) -> None:
        self._service, self._body, self._prompts = service, body, prompts
        self._echoes = [
            text
            if isinstance(text, str) and not prompt.truncated
            else shown_prompt(service.tokenizer, prompt.request)
            for text, prompt in zip(texts, prompts, strict=True)
        ]
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": body.model or service.name,
        } | ({"truncated": True} if any(prompt.truncated for prompt in prompts) else {})

    def whole(self, samples: list[Sample]) -> dict[str, Any]:
        """One object, the best samples first."""
        choices = []
        for index, sample in enumerate(self._best(samples)):
            written = self._logprobs(sample.logprobs, self._offsets(sample))
            choice = self._choice(index, self._text(sample), written, sample.finish)
            choices.append(choice | self._ids(sample, sample.ids, first=True, last=True))
        return self._head | {"choices": choices, "usage": total(samples).openai}

    async def parts(self, samples: list[Sample]) -> AsyncGenerator[bytes, None]:
        """The same with the prompts' log-probabilities, of which there may be millions: JSON, piece by piece."""
        of_prompts = {sample.prompt: sample.prompt_logprobs for sample in samples if sample.prompt_logprobs}
        yield compact(self._head)[:-1] + b',"choices":['
        for index, sample in enumerate(self._best(samples)):
            lists: dict[str, list[bytes]] = {}
            for block in self._scored(sample, of_prompts.get(sample.prompt, ())):
                for key, value in block.items():
                    lists.setdefault(key, []).append(b"" if value is None else compact(value)[1:-1])
                # others are answered meanwhile
                await asyncio.sleep(0)
            choice = self._choice(index, self._text(sample), None, sample.finish)
            choice |= self._ids(sample, sample.ids, first=True, last=True)
            del choice["logprobs"]
            yield (b"," if index else b"") + compact(choice)[:-1] + b',"logprobs":{'
            for number, (key, pieces) in enumerate(lists.items()):
                joined = b",".join(piece for piece in pieces if piece)
                unknown = key == "top_logprobs" and not self._body.logprobs
                yield (b"," if number else b"") + compact(key) + b":"
                yield b"null" if unknown else b"[" + joined + b"]"
            yield b"}}"
        yield b'],"usage":' + compact(total(samples).openai) + b"}"

    def _best(self, samples: list[Sample]) -> list[Sample]:
        body = self._body
        return best_first(samples, body.n) if (body.best_of or 0) > body.n else samples

    def _text(self, sample: Sample) -> str:
        return self._echoes[sample.prompt] + sample.text if self._body.echo else sample.text

    def _scored(self, sample: Sample, of_prompt: Sequence[TokenLogprobs]) -> Iterator[dict[str, Any]]:
        """The log-probabilities of a prompt and of what follows it, some tokens at a time."""
        yield from filter(None, self._of_prompt(sample, of_prompt))
        offsets = self._offsets(sample)
        for start in range(0, len(sample.logprobs), _BLOCK):
            yield self._logprobs(sample.logprobs[start : start + _BLOCK], offsets) or {}

    async def chunks(self, answer: Answer) -> AsyncGenerator[bytes, None]:
        """Server-sent events, one a piece of text."""
        usage: dict[str, Any] = {"usage": None} if self._body.stream_options.include_usage else {}
        offsets: dict[int, openai_logprobs.TextOffsets] = {}
        untold = {id(sample) for sample in answer.samples}
        of_prompts: dict[int, Sequence[TokenLogprobs]] = {}
        async for sample, delta in answer:
            index = self._index(sample)
            if delta.prompt_logprobs:
                of_prompts[sample.prompt] = delta.prompt_logprobs
            if index not in offsets:
                offsets[index] = self._offsets(sample)
                if self._body.echo:
                    text = self._echoes[sample.prompt]
                    for logprobs in self._of_prompt(sample, of_prompts.get(sample.prompt, ())):
                        choice = self._choice(index, text, logprobs, None)
                        yield event(self._head | {"choices": [choice]} | usage)
                        text = ""
            logprobs = self._logprobs(delta.logprobs, offsets[index])
            finish = sample.finish if delta.finish_reason is not None else None
            told = delta.ids if self._body.return_token_ids else delta.logprobs
            if delta.text or finish or told:
                choice = self._choice(index, delta.text, logprobs, finish)
                choice |= self._ids(sample, delta.ids, first=id(sample) in untold, last=finish is not None)
                untold.discard(id(sample))
                yield event(self._head | {"choices": [choice]} | usage)
        if self._body.stream_options.include_usage:
            yield event(self._head | {"choices": [], "usage": total(answer.samples).openai})
        yield DONE

    def _index(self, sample: Sample) -> int:
        return sample.prompt * self._body.n + sample.number

    def _offsets(self, sample: Sample) -> openai_logprobs.TextOffsets:
        """Of the text behind what is repeated of the prompt; a healed text's tokens begin before it."""
        start = len(self._echoes[sample.prompt]) if self._body.echo else 0
        start -= len(self._prompts[sample.prompt].request.required.decode(errors="replace"))
        return openai_logprobs.TextOffsets(self._service.tokenizer, start)

    def _logprobs(
        self, tokens: Sequence[TokenLogprobs], offsets: openai_logprobs.TextOffsets, first: int | None = None
    ) -> dict[str, Any] | None:
        body = self._body
        if body.logprobs is None:
            return None
        return openai_logprobs.of_completion(
            self._service.tokenizer,
            tokens,
            offsets,
            top=body.logprobs,
            first=first,
            by_id=body.return_tokens_as_token_ids,
        )

    def _of_prompt(self, sample: Sample, tokens: Sequence[TokenLogprobs]) -> Iterator[dict[str, Any] | None]:
        """The log-probabilities of a prompt, some tokens at a time; None where nobody asks for any."""
        tokenizer, ids = self._service.tokenizer, self._prompts[sample.prompt].request.ids
        spelt = tokenizer.decode_continuation(ids)
        offsets = openai_logprobs.TextOffsets(tokenizer, len(tokenizer.decode(ids)) - len(spelt))
        yield self._logprobs(tokens[:_BLOCK], offsets, ids[0])
        for start in range(_BLOCK, len(tokens), _BLOCK):
            yield self._logprobs(tokens[start : start + _BLOCK], offsets)

    def _ids(self, sample: Sample, ids: Sequence[int], *, first: bool, last: bool) -> dict[str, Any]:
        """vLLM's fields for those who count in tokens."""
        if not self._body.return_token_ids:
            return {}
        found: dict[str, Any] = {"token_ids": list(ids)}
        if first:
            found["prompt_token_ids"] = list(self._prompts[sample.prompt].request.ids)
        if last:
            # Of the model's own end vLLM says nothing.
            own = sample.stopped_by in self._service.tokenizer.stop_ids
            found["stop_reason"] = None if own else sample.stopped_by
        return found

    @staticmethod
    def _choice(index: int, text: str, logprobs: dict[str, Any] | None, finish: str | None) -> dict[str, Any]:
        return {"index": index, "text": text, "logprobs": logprobs, "finish_reason": finish}
