"""llama.cpp's server: ``/infill`` (llama.vim, llama.vscode), ``/completion``, and what goes with them."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

from fastapi import APIRouter, Response

import codecascade
from codecascade.generation.requests import Request
from codecascade.server.answers.service import Service
from codecascade.server.answers.streams import events
from codecascade.server.http.compact_json import json_response
from codecascade.server.http.errors import ApiError, llama_cpp
from codecascade.server.protocols.llama_answers import Form
from codecascade.server.protocols.llama_bodies import (
    CompletionBody,
    DetokenizeBody,
    InfillBody,
    TemplateBody,
    TokenizeBody,
    sampled,
)
from codecascade.server.requests.gaps import Gap, Snippet, gap_prompt, template_prompt
from codecascade.server.requests.prompts import chat_prompt, check_ids, prepared, sampling, stops
from codecascade.server.requests.structured import grammar_of


def routes(service: Service) -> APIRouter:
    """The addresses. A model's name in a body is passed over, as llama.cpp does."""
    router = APIRouter()

    @router.post("/infill", summary="Fill a gap at an editor's cursor", response_model=None)
    async def infill(body: InfillBody) -> Response:
        wanted, stop = sampled(service, body), stops(service, body.stop)
        if grammar_of(body) is not None:
            raise ApiError(400, "a gap in a text takes no schema", "json_schema")
        gap = Gap(
            body.input_prefix + body.prompt,
            body.input_suffix,
            [Snippet(extra.filename, extra.text) for extra in body.input_extra],
            language=body.language or None,
            min_indent=body.n_indent or None,
            time_limit=body.t_max_predict_ms / 1000 if body.t_max_predict_ms > 0 else None,
            editor_stops=body.editor_stops,
            lines=body.editor_lines,
            format=body.format or None,
        )
        prompt = await prepared(
            gap.size, lambda: gap_prompt(service, gap, wanted, stop=stop, samples=body.n_cmpl)
        )
        form = Form(service, body, [prompt])
        answer = await service.answer([prompt.request])
        if body.stream:
            return events(answer, form.chunks(answer), llama_cpp)
        return json_response(form.whole(await answer.collect()))

    @router.post("/completion", summary="Continue a text", response_model=None)
    @router.post("/completions", include_in_schema=False, response_model=None)
    async def completion(body: CompletionBody) -> Response:
        wanted, stop, grammar = sampled(service, body), stops(service, body.stop), grammar_of(body)
        texts = _prompts(body.prompt)
        if len(texts) * body.n_cmpl > service.limits.samples:
            raise ApiError(
                400, f"there are {len(texts):,} prompts; at most {service.limits.samples} are taken", "prompt"
            )
        prompts = [
            await prepared(
                len(text),
                lambda text=text: template_prompt(  # type: ignore[misc]
                    service, text, wanted, stop=stop, samples=body.n_cmpl, grammar=grammar
                ),
            )
            for text in texts
        ]
        form = Form(service, body, prompts)
        answer = await service.answer([prompt.request for prompt in prompts])
        if body.stream:
            return events(answer, form.chunks(answer), llama_cpp)
        return json_response(form.whole(await answer.collect()))

    @router.post("/tokenize", summary="The tokens of a text", response_model=None)
    async def tokenize(body: TokenizeBody) -> Response:
        text = body.content if body.content is not None else body.prompt
        if text is None:
            raise ApiError(400, "must be there", "content")
        whole = partial(_tokenized, service, text, bos=body.add_special, pieces=body.with_pieces)
        return await asyncio.to_thread(whole)

    @router.post("/detokenize", summary="The text of tokens", response_model=None)
    async def detokenize(body: DetokenizeBody) -> Response:
        check_ids(service.tokenizer, body.tokens, "tokens")
        text = await asyncio.to_thread(service.tokenizer.decode, body.tokens)
        return json_response({"content": text, "prompt": text})

    @router.post("/apply-template", summary="A dialogue as the model is shown it", response_model=None)
    async def apply_template(body: TemplateBody) -> Response:
        wanted = sampling(0)
        prompt = await prepared(None, lambda: chat_prompt(service, body.messages, wanted))
        return json_response({"prompt": spelled(service, prompt.request)})

    @router.get("/props", summary="What is served", response_model=None)
    async def props() -> Response:
        infilling = service.tokenizer.infilling
        return json_response(
            {
                "default_generation_settings": {"n_ctx": service.context_length, "params": {}},
                "total_slots": service.limits.clients,
                "model_alias": service.name,
                "model_path": service.name,
                "chat_template": service.tokenizer.config.get("chat_template") or "",
                "build_info": f"codecascade {codecascade.__version__}",
                "is_sleeping": False,
                # Ours: the layouts of an infilling prompt that ``format`` of ``/infill`` may name.
                "infilling_formats": [] if infilling is None else list(infilling.formats),
            }
        )

    return router


def spelled(service: Service, request: Request) -> str:
    """A prompt with its special tokens by name, and with the bytes that the completion must begin with."""
    tokenizer = service.tokenizer
    names = {token: name for name, token in tokenizer.vocabulary.items() if token in tokenizer.special_ids}
    data = b"".join(
        names[token].encode() if token in names else tokenizer.token_bytes(token) for token in request.ids
    )
    return (data + request.required).decode(errors="replace")


def _prompts(prompt: Any) -> list[Any]:
    """One or several: a list of texts, or of lists, is several; one with an id in it is one."""
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise ApiError(400, "must not be an empty list", "prompt")
    if any(isinstance(part, int) for part in prompt):
        if any(isinstance(part, list) for part in prompt):
            raise ApiError(400, "mixes ids and lists", "prompt")
        return [prompt]
    if [] in prompt:
        raise ApiError(400, "holds an empty prompt", "prompt")
    return list(prompt)


def _tokenized(service: Service, text: str, *, bos: bool, pieces: bool) -> Response:
    """The answer to a text of any length; other requests go on while a thread makes it."""
    ids = service.tokenizer.encode(text, bos=bos)
    tokens: list[Any] = [{"id": token, "piece": _piece(service, token)} for token in ids] if pieces else ids
    return json_response({"tokens": tokens, "count": len(ids), "max_model_len": service.context_length})


def _piece(service: Service, token: int) -> str | list[int]:
    """A token's text; its bytes where they are no whole characters."""
    data = service.tokenizer.token_bytes(token)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return list(data)
