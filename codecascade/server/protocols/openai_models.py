"""OpenAI's ``/v1/models``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from codecascade.server.answers.service import Service
from codecascade.server.http.compact_json import json_response


def routes(service: Service) -> APIRouter:
    """The list, and one model of it. The model's name may hold slashes."""
    router = APIRouter()

    @router.get("/v1/models", summary="The models, of which there is one", response_model=None)
    @router.get("/models", include_in_schema=False, response_model=None)
    async def models() -> Response:
        names = dict.fromkeys((service.name, *service.settings.names))
        return json_response({"object": "list", "data": [_model(service, name) for name in names]})

    @router.get("/v1/models/{model:path}", summary="A model", response_model=None)
    async def model(model: str) -> Response:
        service.check_model(model)
        return json_response(_model(service, model))

    return router


def _model(service: Service, name: str) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": service.created,
        "owned_by": "codecascade",
        "root": service.name,
        "max_model_len": service.context_length,
        # Mistral's clients read these.
        "type": "base",
        "max_context_length": service.context_length,
        "capabilities": {"completion_chat": service.can_chat, "completion_fim": service.can_infill},
    }
