"""Serves the playground: the page at ``/`` and its files, under a policy that lets it run nothing else.

The files are built (``make playground``) and part of the package: whoever serves a model needs no Node.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from fastapi import APIRouter, FastAPI
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC = Path(__file__).parent / "static"
ADDRESS = "/playground"

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'nonce-{nonce}'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    # No text becomes HTML in the page, whatever a model writes.
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    # A browser asks each time whether it has the newest one.
    "Cache-Control": "no-cache",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class _Files(StaticFiles):
    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers.update(_HEADERS)
        return response


def public_addresses() -> list[str]:
    """What is given out without a key: the page asks for it."""
    return ["/", *(f"{ADDRESS}/{file.name}" for file in STATIC.iterdir())]


def add_playground(app: FastAPI) -> None:
    """Serve the page at ``/`` and its files below :data:`ADDRESS`."""
    page = (STATIC / "index.html").read_text(encoding="utf-8")
    router = APIRouter()

    @router.get("/", include_in_schema=False, response_model=None)
    @router.head("/", include_in_schema=False, response_model=None)
    async def index() -> Response:
        # The editor writes its style sheet when it starts: the nonce tells that one from a foreign one.
        nonce = secrets.token_urlsafe(16)
        headers = {
            **_HEADERS,
            "Cache-Control": "no-store",
            "Content-Security-Policy": _POLICY.format(nonce=nonce),
        }
        return HTMLResponse(page.replace('content="NONCE"', f'content="{nonce}"'), headers=headers)

    app.include_router(router)
    app.mount(ADDRESS, _Files(directory=STATIC), name="playground")
