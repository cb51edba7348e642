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
LABELS = ("label", "kto_tag")
"""The keys by which preference data (KTO) say whether an answer is wanted."""
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
        if is_filled(row.get(key)):
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
    """The keys of a row that are read. A second answer or list of messages beside the one that is read is not."""
    system = settings.columns.get("system")
    shared = {*((system,) if system is not None else _SYSTEM), *_TOOLS}
    shared |= {key for key in LABELS if is_wanted(row.get(key)) is not None}
    if name in LISTS:
        return shared | {_list_key(row, name, settings)}
    if name == "alpaca":
        return shared | {*_alpaca_keys(row, settings), "history"}
    return shared | {*_pair_keys(row, settings), *filter(None, [settings.columns.get("input")])}


def is_filled(value: Any) -> bool:
    """Whether there is anything in a value. Tables write nothing as the text "[]" too, or as nulls in fields."""
    if isinstance(value, str):
        return "".join(value.split()) not in ("", "[]", "{}", "null", "None")
    if isinstance(value, dict | list):
        return any(map(is_filled, value.values() if isinstance(value, dict) else value))
    return bool(value)


def is_wanted(label: Any) -> bool | None:
    """What the label of an answer says; None if it is none, such as the number of a class."""
    if isinstance(label, str):
        return {"true": True, "false": False}.get(label.strip().lower())
    return label if isinstance(label, bool) else None


def _list_key(row: Mapping[str, Any], name: FormatName, settings: DialogueSource) -> str:
    named = settings.columns.get("messages")
    keys = (named,) if named is not None else LISTS[name]
    return next((key for key in keys if row.get(key) is not None), keys[0])


def _alpaca_keys(row: Mapping[str, Any], settings: DialogueSource) -> tuple[str, str, str]:
    """The names of instruction, input and output."""
    named = settings.columns
    answer = named.get("assistant") or next((key for key in ANSWERS if row.get(key) is not None), ANSWERS[0])
    return named.get("user", "instruction"), named.get("input", "input"), answer


def _pair_keys(row: Mapping[str, Any], settings: DialogueSource) -> tuple[str, str]:
    """The names of request and answer."""
    named = settings.columns
    if "user" in named or "assistant" in named:
        return named.get("user", PAIRS[0][0]), named.get("assistant", PAIRS[0][1])
    there = {key for key, value in row.items() if value is not None}
    return pair_of(there, settings) or pair_of(row.keys(), settings) or PAIRS[0]


def _listed_turns(
    row: Mapping[str, Any], name: FormatName, settings: DialogueSource, location: str
) -> list[Turn]:
    key = _list_key(row, name, settings)
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
    user, extra, answer = _alpaca_keys(row, settings)
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
    if not request.strip():
        return about
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
    user, answer = _pair_keys(row, settings)
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
    keys = [key for key in ((named,) if named is not None else _SYSTEM) if not _is_blank(row.get(key))]
    if not keys:
        return turns
    first = turns[0] if turns and _is_system(turns[0], settings) else None
    if first is not None and first.content is not None and _is_blank(first.content):
        turns, first = turns[1:], None
    text = row[keys[0]] if first is None else first.content
    other = next((key for key in keys if _plain(row[key]) != _plain(text)), None)
    if other is not None:
        raise UserError(
            f"is another system message than {keys[0] if first is None else first.key}, and a dialogue has one; "
            "keep one of them",
            file=location,
            key=other,
        )
    return turns if first is not None else [Turn("system", text, keys[0]), *turns]


def _is_blank(value: Any) -> bool:
    return value is None or _plain(value) == ""


def _plain(value: Any) -> Any:
    """A content without white space around it, its text parts joined; anything else as it is."""
    if isinstance(value, list):
        texts = [
            part["text"] for part in value if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
        if len(texts) == len(value):
            value = "\n".join(texts)
    return value.strip() if isinstance(value, str) else value


def _is_system(turn: Turn, settings: DialogueSource) -> bool:
    if not isinstance(turn.role, str):
        return False
    return settings.roles.get(turn.role, turn.role.strip().lower()) in ("system", "developer")
