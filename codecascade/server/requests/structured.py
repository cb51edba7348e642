"""What a text must be an instance of, under each of the names that clients have for it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from pydantic import Field

from codecascade.generation.grammar import Grammar, GrammarKind
from codecascade.ground.errors import UserError
from codecascade.server.http.errors import ApiError
from codecascade.server.requests.body import Body, Items

Schema = dict[str, Any] | bool


class JsonSchema(Body):
    """OpenAI's ``json_schema``."""

    schema_: Schema = Field({}, alias="schema")


class ResponseFormat(Body):
    """OpenAI's ``response_format``; ``schema`` beside ``json_object`` is llama.cpp's and Together's."""

    type: str = "text"
    json_schema: JsonSchema | None = None
    schema_: Schema | None = Field(None, alias="schema")


class StructuredOutputs(Body):
    """vLLM's ``structured_outputs``; ``grammar`` is in Lark's notation."""

    json_: str | Schema | None = Field(None, alias="json")
    json_object: bool = False
    regex: str | None = None
    choice: Items[str] | None = Field(None, min_length=1, max_length=1000)
    grammar: str | None = None


class Structured(Body):
    """The fields that constrain a text: OpenAI's, llama.cpp's (``json_schema``, ``grammar``), vLLM's, new and old."""

    response_format: ResponseFormat | None = None
    json_schema: Schema | None = None
    grammar: str = ""
    structured_outputs: StructuredOutputs | None = None
    guided_json: str | Schema | None = None
    guided_regex: str | None = None
    guided_choice: Items[str] | None = Field(None, min_length=1, max_length=1000)
    guided_grammar: str | None = None


def grammar_of(body: Structured) -> Grammar | None:
    """The one constraint that a body names; None for none.

    Raises:
        ApiError: there are several, or it can't be used.
    """
    outputs = body.structured_outputs or StructuredOutputs()
    if body.structured_outputs is not None and not outputs.model_fields_set:
        # a text without the constraint that was asked for would be taken for one with it
        known = ", ".join(field.alias or name for name, field in StructuredOutputs.model_fields.items())
        raise ApiError(
            400, f"names no constraint that is known here, which are {known}", "structured_outputs"
        )
    if body.grammar:
        raise ApiError(400, "grammars in GBNF are not read; use json_schema", "grammar")
    makers: list[tuple[str, Any, Callable[[Any, str], Grammar]]] = [
        ("json_schema", body.json_schema, schema_grammar),
        ("structured_outputs.json", outputs.json_, schema_grammar),
        ("structured_outputs.json_object", outputs.json_object or None, lambda _, key: object_grammar(key)),
        ("structured_outputs.regex", outputs.regex, regex_grammar),
        ("structured_outputs.choice", outputs.choice, _of_choice),
        ("structured_outputs.grammar", outputs.grammar, _of_lark),
        ("guided_json", body.guided_json, schema_grammar),
        ("guided_regex", body.guided_regex, regex_grammar),
        ("guided_choice", body.guided_choice, _of_choice),
        ("guided_grammar", body.guided_grammar, _of_lark),
    ]
    found = [(key, make(value, key)) for key, value, make in makers if value is not None]
    if (of_format := _of_format(body.response_format)) is not None:
        found.append(("response_format", of_format))
    if len(found) > 1:
        names = " and ".join(key for key, _ in found)
        raise ApiError(400, f"a text can have one constraint, but there are {names}", found[1][0])
    return found[0][1] if found else None


def _of_format(form: ResponseFormat | None) -> Grammar | None:
    if form is None or form.type == "text":
        return None
    key = "response_format"
    if form.type == "json_object":
        return object_grammar(key) if form.schema_ is None else schema_grammar(form.schema_, key)
    if form.type == "json_schema":
        if form.json_schema is not None:
            return schema_grammar(form.json_schema.schema_, key)
        if form.schema_ is not None:
            return schema_grammar(form.schema_, key)
    raise ApiError(
        400, f"type must be text, json_object, or json_schema with a schema (got {form.type[:40]!r})", key
    )


def schema_grammar(schema: Any, key: str) -> Grammar:
    """A JSON schema, as an object or as text.

    Raises:
        ApiError: it can't be used.
    """
    if isinstance(schema, str):
        try:
            schema = json.loads(schema)
        except (ValueError, RecursionError):
            raise ApiError(400, "is no JSON schema", key) from None
        if not isinstance(schema, dict | bool):
            raise ApiError(400, "is no JSON schema", key)
    try:
        text = json.dumps(schema)
    except RecursionError:
        raise ApiError(400, "is nested too deeply", key) from None
    return _made("json_schema", text, key)


def object_grammar(key: str) -> Grammar:
    """Any JSON object."""
    return _made("json_object", "", key)


def regex_grammar(pattern: str, key: str) -> Grammar:
    """A regular expression.

    Raises:
        ApiError: it can't be used.
    """
    return _made("regex", pattern, key)


def _of_choice(texts: list[str], key: str) -> Grammar:
    return _made("regex", "|".join(f"(?:{re.escape(text)})" for text in texts), key)


def _of_lark(text: str, key: str) -> Grammar:
    return _made("lark", text, key)


def _made(kind: GrammarKind, text: str, key: str) -> Grammar:
    try:
        return Grammar(kind, text)
    except UserError as error:
        raise ApiError(400, str(error), key) from None
