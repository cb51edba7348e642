"""Whether the server is well, and its figures."""

from __future__ import annotations

from fastapi import APIRouter, Response

from codecascade.server.answers.service import Service
from codecascade.server.http.compact_json import json_response
from codecascade.server.http.errors import ApiError


def routes(service: Service) -> APIRouter:
    """``/health`` needs no key."""
    router = APIRouter()

    @router.get("/health", summary="Whether requests are taken", response_model=None)
    @router.head("/health", include_in_schema=False, response_model=None)
    async def health() -> Response:
        if service.draining:
            raise ApiError(503, "the server is shutting down")
        return json_response({"status": "ok"})

    @router.get("/metrics", summary="Figures for Prometheus", response_model=None)
    async def metrics() -> Response:
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return router
