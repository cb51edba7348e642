"""What Tabby's editor plug-ins ask a server for."""

from __future__ import annotations

import os
import platform
import uuid
from typing import Any

from fastapi import APIRouter, Response
from pydantic import Field

import codecascade
from codecascade.server.answers.service import Service, shown_prompt
from codecascade.server.http.compact_json import json_response
from codecascade.server.http.errors import ApiError
from codecascade.server.requests.body import Body, Items
from codecascade.server.requests.gaps import Gap, Snippet, gap_prompt
from codecascade.server.requests.prompts import prepared, sampling

_TOKENS, _TEMPERATURE = 256, 0.1
_MOST_SNIPPETS = 256


class Declaration(Body):
    """A part of another file; ``score`` grows with how telling it is."""

    filepath: str = ""
    body: str
    score: float = 0.0


class Segments(Body):
    """What stands around the cursor, and in other files."""

    prefix: str
    suffix: str = ""
    filepath: str = ""
    git_url: str = ""
    declarations: Items[Declaration] = Field([], max_length=_MOST_SNIPPETS)
    relevant_snippets_from_changed_files: Items[Declaration] = Field([], max_length=_MOST_SNIPPETS)
    relevant_snippets_from_recently_opened_files: Items[Declaration] = Field([], max_length=_MOST_SNIPPETS)


class DebugOptions(Body):
    """Of these, the prompt may be asked for."""

    return_prompt: bool = False


class TabbyFields(Body):
    """The fields that Tabby's form of ``/v1/completions`` has and OpenAI's has not."""

    segments: Segments | None = None
    language: str | None = None
    mode: str = "standard"
    debug_options: DebugOptions = DebugOptions()
    temperature: float = Field(_TEMPERATURE, ge=0, le=2)
    seed: int | None = None


async def complete(service: Service, body: TabbyFields) -> Response:
    """Answer Tabby's form of ``/v1/completions``."""
    assert body.segments is not None
    if body.mode != "standard":
        raise ApiError(400, f"the mode {body.mode[:40]!r} is not known; use standard", "mode")
    gap = _gap(body.segments, body.language)
    given = body.temperature if "temperature" in body.model_fields_set else _TEMPERATURE
    wanted = sampling(_most_tokens(service), temperature=given, seed=body.seed)
    prompt = await prepared(gap.size, lambda: gap_prompt(service, gap, wanted))
    answer = await service.answer([prompt.request])
    (sample,) = await answer.collect()
    shown: dict[str, Any] = {
        "id": f"cmpl-{uuid.uuid4()}",
        "choices": [{"index": 0, "text": sample.text}],
    }
    if prompt.truncated:
        shown["truncated"] = True
    if body.debug_options.return_prompt:
        shown["debug_data"] = {"prompt": shown_prompt(service.tokenizer, prompt.request)}
    return json_response(shown)


def routes(service: Service) -> APIRouter:
    """The addresses that the plug-ins ask beside completions."""
    router = APIRouter()

    @router.get("/v1/health", summary="What is served", response_model=None)
    @router.post("/v1/health", include_in_schema=False, response_model=None)
    async def health() -> Response:
        version = f"v{codecascade.__version__}"
        return json_response(
            {
                "model": service.name,
                "chat_model": service.name if service.can_chat else None,
                "chat_device": "cpu",
                "device": "cpu",
                "models": {
                    kind: {"local": {"model_id": service.name, "device": "cpu"}}
                    for kind, there in (("completion", service.can_infill), ("chat", service.can_chat))
                    if there
                },
                "arch": platform.machine(),
                "cpu_info": platform.processor() or platform.machine(),
                "cpu_count": os.cpu_count() or 1,
                "cuda_devices": [],
                "version": {
                    "build_date": "",
                    "build_timestamp": "",
                    "git_sha": "",
                    "git_describe": version,
                },
            }
        )

    @router.get(
        "/v1beta/server_setting", summary="Whether plug-ins may report their use", response_model=None
    )
    async def server_setting() -> Response:
        return json_response({"disable_client_side_telemetry": True})

    @router.post("/v1/events", summary="Takes what plug-ins report, and keeps nothing", response_model=None)
    async def report() -> Response:
        return Response(status_code=204)

    return router


def _gap(segments: Segments, language: str | None) -> Gap:
    snippets = [
        *segments.declarations,
        *segments.relevant_snippets_from_changed_files,
        *segments.relevant_snippets_from_recently_opened_files,
    ]
    # What tells most stands nearest to the prompt.
    snippets.sort(key=lambda snippet: snippet.score)
    return Gap(
        segments.prefix,
        segments.suffix,
        [Snippet(snippet.filepath, snippet.body) for snippet in snippets],
        segments.filepath,
        segments.git_url.rstrip("/").removesuffix(".git").rpartition("/")[2],
        None if language in (None, "", "unknown") else language,
    )


def _most_tokens(service: Service) -> int:
    """Tabby's number, within what the server allows."""
    limits = [_TOKENS, service.context_length, service.limits.max_tokens or _TOKENS]
    return min(limits)
