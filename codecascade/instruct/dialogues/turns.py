"""The messages that a row holds, by its format, as the row has them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import short
from codecascade.instruct.dialogues.formats import ANSWERS, LISTS, PAIRS, pair_of
from codecascade.instruct.dialogues.row import unique_keys
from codecascade.instruct.dialogues.settings import Column, DialogueSource, FormatName

_ROLES, _CONTENTS = ("role", "from"), ("content", "value")
_SYSTEM = ("system", "system_prompt")
_TOOLS = ("tools", "functions")
_MESSAGES = "must be a list of messages, each with role and content"


@dataclass(frozen=True)
class Turn:
    """A message as a row has it.

    Attributes:
        role, content: unchecked; None where the row has none.
        key: where it stands in the row, for messages.
        content_key, role_key: the names of content and role in it; "" where it has none.
        about: the other keys of the message.
    """

    role: Any
    content: Any
    key: str
    content_key: str = ""
    about: Mapping[str, Any] = field(default_factory=dict)
    role_key: str = ""


def turns_of(row: Mapping[str, Any], name: FormatName, settings: DialogueSource, location: str) -> list[Turn]:
    """The messages of a row, unchecked; a system message in a column of its own comes first.

    Raises:
        UserError: the row lacks a key of its format, or offers tools.
    """
    for key in _TOOLS:
        if row.get(key):
            raise UserError(
                "offers tools, and dialogues with tools can't be trained on; take the line out",
                file=location,
                key=key,
            )
    if name in ("messages", "sharegpt"):
        turns = _listed_turns(row, name, settings, location)
    elif name == "alpaca":
        turns = _alpaca_turns(row, settings, location)
    else:
        turns = _pair_turns(row, settings, location)
    return _with_system(turns, row, settings, location)


def read_keys(row: Mapping[str, Any], name: FormatName, settings: DialogueSource) -> set[str]:
    """The keys of a row that are read."""
    named = set(settings.columns.values())
    lists = {key for keys in LISTS.values() for key in keys}
    if name in LISTS:
        return named | lists | {*_SYSTEM, *_TOOLS}
    if name == "alpaca":
        return named | {"instruction", "input", *ANSWERS, "history", *_SYSTEM, *_TOOLS}
    return named | {*(pair_of(row.keys(), settings) or ()), *_SYSTEM, *_TOOLS}


def _listed_turns(
    row: Mapping[str, Any], name: FormatName, settings: DialogueSource, location: str
) -> list[Turn]:
    named = settings.columns.get("messages")
    keys = (named,) if named is not None else LISTS[name]
    key = next((key for key in keys if row.get(key) is not None), keys[0])
    return _turns(row.get(key), key, settings, location)


def _turns(value: Any, key: str, settings: DialogueSource, location: str) -> list[Turn]:
    """A list of messages; also as text in JSON, or as columns of roles and contents, as some files hold it."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            value = json.loads(value, object_pairs_hook=unique_keys)
        except (RecursionError, ValueError):
            raise UserError(f"{_MESSAGES}; this text is no JSON of one", file=location, key=key) from None
    if isinstance(value, dict):
        value = _rows_of(value)
    if not isinstance(value, list) or not value:
        raise UserError(_MESSAGES, file=location, key=key)
    turns = []
    for index, entry in enumerate(value):
        where = f"{key}[{index}]"
        if not isinstance(entry, dict):
            raise UserError(f"must be an object, not {type(entry).__name__}", file=location, key=where)
        role, content = _name(entry, "role", _ROLES, settings), _name(entry, "content", _CONTENTS, settings)
        about = {name: item for name, item in entry.items() if name not in (role, content)}
        turns.append(Turn(entry.get(role), entry.get(content), where, content, about, role))
    return turns


def _rows_of(columns: Mapping[str, Any]) -> Any:
    """``{"role": [...], "content": [...]}`` as a list of messages; anything else as it is."""
    lists = [value for value in columns.values() if value is not None]
    if not lists or not all(isinstance(value, list) and len(value) == len(lists[0]) for value in lists):
        return columns
    return [
        {key: value[index] for key, value in columns.items() if value is not None}
        for index in range(len(lists[0]))
    ]


def _name(entry: Mapping[str, Any], column: Column, names: tuple[str, ...], settings: DialogueSource) -> str:
    """The key of a message's role or content: the named one, else the first that is there."""
    there = [name for name in names if name in entry]
    filled = [name for name in there if entry[name] is not None]
    return settings.columns.get(column) or next(iter(filled or there), names[0])


def _alpaca_turns(row: Mapping[str, Any], settings: DialogueSource, location: str) -> list[Turn]:
    named = settings.columns
    user, extra = named.get("user", "instruction"), named.get("input", "input")
    answer = named.get("assistant") or next((key for key in ANSWERS if row.get(key) is not None), ANSWERS[0])
    request = _with_input(row, user, extra, location)
    return [
        *_history(row.get("history"), location),
        Turn("user", request, user),
        Turn("assistant", row.get(answer), answer),
    ]


def _with_input(row: Mapping[str, Any], user: str, extra: str, location: str) -> Any:
    """A request with what it is about, a blank line between them. What is no text is left for the checks."""
    request, about = row.get(user), row.get(extra)
    if about is None:
        return request
    if not isinstance(about, str):
        raise UserError(f"must be text (got {short(about)})", file=location, key=extra)
    if not isinstance(request, str) or not about.strip():
        return request
    return f"{request}\n\n{about}"


def _history(value: Any, location: str) -> list[Turn]:
    """Earlier requests and answers, in pairs."""
    turns = []
    if value is not None and not isinstance(value, list):
        raise UserError("must be a list of pairs of request and answer", file=location, key="history")
    for index, pair in enumerate(value or []):
        key = f"history[{index}]"
        if not isinstance(pair, list) or len(pair) != 2:
            raise UserError("must be a pair of request and answer", file=location, key=key)
        turns += [Turn("user", pair[0], f"{key}[0]"), Turn("assistant", pair[1], f"{key}[1]")]
    return turns


def _pair_turns(row: Mapping[str, Any], settings: DialogueSource, location: str) -> list[Turn]:
    there = {key for key, value in row.items() if value is not None}
    user, answer = pair_of(there, settings) or pair_of(row.keys(), settings) or PAIRS[0]
    if "user" in settings.columns or "assistant" in settings.columns:
        user = settings.columns.get("user", PAIRS[0][0])
        answer = settings.columns.get("assistant", PAIRS[0][1])
    request, reply = row.get(user), row.get(answer)
    if isinstance(request, list) or isinstance(reply, list):
        # TRL's conversational form: both columns hold messages
        before = _turns(request, user, settings, location) if isinstance(request, list) else []
        after = _turns(reply, answer, settings, location) if isinstance(reply, list) else []
        before = before or [Turn("user", request, user)]
        return [*before, *(after or [Turn("assistant", reply, answer)])]
    if "input" in settings.columns:
        request = _with_input(row, user, settings.columns["input"], location)
    return [Turn("user", request, user), Turn("assistant", reply, answer)]


def _with_system(
    turns: list[Turn], row: Mapping[str, Any], settings: DialogueSource, location: str
) -> list[Turn]:
    named = settings.columns.get("system")
    for key in (named,) if named is not None else _SYSTEM:
        text = row.get(key)
        if text is None or text == "":
            continue
        if turns and isinstance(turns[0].role, str) and turns[0].role.strip().lower() == "system":
            if turns[0].content == text:
                return turns
            raise UserError(
                f"is another system message than {turns[0].key}, and a dialogue has one; keep one of them",
                file=location,
                key=key,
            )
        return [Turn("system", text, key), *turns]
    return turns
