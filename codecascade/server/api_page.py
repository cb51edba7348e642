"""The page at ``/docs``: every address with its fields, for people.

It is made here and has no scripts; FastAPI's own page loads its scripts from the internet.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from functools import cache, lru_cache
from typing import Any

from fastapi import APIRouter, FastAPI
from jinja2 import Environment, PackageLoader, Template, select_autoescape
from starlette.responses import HTMLResponse, Response

ADDRESS = "/docs"

_POLICY = "default-src 'none'; style-src 'nonce-{nonce}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_LIMITS = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}
_DEEPEST = 3


@dataclass(frozen=True)
class Field:
    """A field of a body: how its type, its limits and its default are written."""

    name: str
    type: str
    default: str
    required: bool


@dataclass(frozen=True)
class Operation:
    """What can be asked of an address."""

    method: str
    path: str
    summary: str
    about: str = ""
    fields: list[Field] = field(default_factory=list)
    statuses: list[tuple[str, str]] = field(default_factory=list)

    @property
    def anchor(self) -> str:
        return f"{self.method}{self.path.replace('/', '-')}".lower()


def add_api_page(app: FastAPI) -> None:
    """Serve the page of an application whose description is complete."""
    router = APIRouter()

    @lru_cache(maxsize=1)
    def groups() -> dict[str, list[Operation]]:
        return operations(app.openapi())

    @router.get(ADDRESS, include_in_schema=False, response_model=None)
    async def page() -> Response:
        nonce = secrets.token_urlsafe(16)
        text = _template().render(groups=groups(), version=app.version, nonce=nonce)
        headers = {
            "Content-Security-Policy": _POLICY.format(nonce=nonce),
            "Cache-Control": "no-store",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        return HTMLResponse(text, headers=headers)

    app.include_router(router)


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("codecascade.server"),
        autoescape=select_autoescape(default=True),
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("api.html.jinja")


def operations(description: dict[str, Any]) -> dict[str, list[Operation]]:
    """The operations of an OpenAPI description by their protocol."""
    groups: dict[str, list[Operation]] = {}
    schemas = description.get("components", {}).get("schemas", {})
    for path, methods in description["paths"].items():
        for method, about in methods.items():
            schema = (
                about.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            )
            body = _resolved(schema, schemas)
            found = Operation(
                method.upper(),
                path,
                about.get("summary", ""),
                # Python's marks of code are no part of the text.
                body.get("description", "").replace("``", ""),
                _fields(body, schemas),
                [(status, answer["description"]) for status, answer in about["responses"].items()],
            )
            groups.setdefault(about["tags"][0], []).append(found)
    return groups


def _fields(body: dict[str, Any], schemas: dict[str, Any]) -> list[Field]:
    required = body.get("required", ())
    return [
        Field(
            name,
            type_of(about, schemas),
            json.dumps(about["default"]) if about.get("default") is not None else "",
            name in required,
        )
        for name, about in body.get("properties", {}).items()
    ]


def type_of(schema: dict[str, Any], schemas: dict[str, Any], depth: int = 0) -> str:
    """A schema in words.

    >>> type_of({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "integer", "minimum": 0}}]}, {})
    'string or list of integer ≥ 0'
    """
    if "anyOf" in schema:
        kinds = [type_of(each, schemas, depth) for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    schema = _resolved(schema, schemas)
    if "enum" in schema or "const" in schema:
        return " or ".join(json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {type_of(schema.get('items', {}), schemas, depth)}"
    if kind == "object" and schema.get("properties") and depth < _DEEPEST:
        inner = ", ".join(
            f"{name}: {type_of(each, schemas, depth + 1)}" for name, each in schema["properties"].items()
        )
        return f"{{{inner}}}"
    limits = [f"{sign} {schema[key]}" for key, sign in _LIMITS.items() if key in schema]
    return " ".join([kind, *limits])


def _resolved(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    reference = schema.get("$ref")
    if reference is None and len(schema.get("allOf", ())) == 1:
        reference = schema["allOf"][0].get("$ref")
    found: dict[str, Any] = schemas.get(reference.rsplit("/", 1)[-1], {}) if reference else schema
    return found
