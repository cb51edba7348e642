"""The formats of public dialogues, told by their keys.

========  ======================================================================================================
messages  OpenAI's and the hub's: ``messages``, each with ``role`` and ``content`` (text, or a list of text parts)
sharegpt  ShareGPT's: ``conversations``, each with ``from`` (``human``, ``gpt``, ``system``) and ``value``
alpaca    Stanford Alpaca's: ``instruction``, ``input`` (may be empty) and ``output``; also ``system`` and ``history``
pairs     a request and its answer in two columns, such as ``prompt`` and ``completion``, ``question`` and ``answer``
========  ======================================================================================================
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.ground.format import listed
from codecascade.instruct.dialogues.settings import Column, DialogueSource, FormatName

LISTS: dict[FormatName, tuple[str, ...]] = {
    "messages": ("messages",),
    "sharegpt": ("conversations", "conversation"),
}
"""The keys of the list of messages."""
ANSWERS = ("output", "response")
"""The keys of an Alpaca answer."""
PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("prompt", "answer"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("query", "answer"),
    ("problem", "solution"),
    ("user", "assistant"),
    ("input", "output"),
)
"""The keys of a request and its answer."""
_COLUMNS: dict[FormatName, frozenset[Column]] = {
    "messages": frozenset({"messages", "role", "content", "system"}),
    "sharegpt": frozenset({"messages", "role", "content", "system"}),
    "alpaca": frozenset({"user", "input", "assistant", "system"}),
    # The columns of a pair may hold messages.
    "pairs": frozenset({"user", "input", "assistant", "system", "role", "content"}),
}
"""The names of ``columns`` that a format reads."""


def format_of(rows: Iterable[Any], settings: DialogueSource, file: str) -> FormatName:
    """The format of a file by the keys of its first rows: the first that one of them has all keys of.

    Raises:
        UserError: none of them has the keys of a known format.
    """
    keys: list[str] = []
    for row in rows:
        if isinstance(row, dict):
            # a column that is there for other rows only is null
            there = {key for key, value in row.items() if value is not None}
            if (found := _format_by_keys(there, settings)) is not None:
                return found
            keys = keys or list(row)
    if {"chosen", "rejected"} <= {*keys}:
        raise UserError(
            "holds preferences, of which only the chosen answers can be trained on; say so in `columns`: "
            '{ messages = "chosen" } if it holds whole dialogues, else { user = "prompt", assistant = "chosen" }',
            file=file,
        )
    shown = f"its keys are {listed(keys)}" if keys else "it has no objects"
    raise UserError(
        f"is of no known format ({shown}): a row has `messages`, `conversations`, `instruction` and `output`, or two "
        "columns such as `prompt` and `completion`; name its columns in `columns`, such as "
        '{ user = "problem", assistant = "solution" }',
        file=file,
    )


def _format_by_keys(keys: Set[str], settings: DialogueSource) -> FormatName | None:
    named = settings.columns
    if "messages" in named:
        return "messages" if named["messages"] in keys else None
    names_pair = "user" in named or "assistant" in named
    for name, lists in () if names_pair else LISTS.items():
        if keys & {*lists}:
            return name
    answers = {named["assistant"]} if "assistant" in named else {*ANSWERS}
    if named.get("user", "instruction") == "instruction" and "instruction" in keys and keys & answers:
        return "alpaca"
    return "pairs" if pair_of(keys, settings) is not None else None


def pair_of(keys: Set[str], settings: DialogueSource) -> tuple[str, str] | None:
    """The names of the columns of request and answer."""
    named = settings.columns
    if "user" in named or "assistant" in named:
        user, assistant = named.get("user", "prompt"), named.get("assistant", "completion")
        return (user, assistant) if {user, assistant} <= keys else None
    return next(((user, answer) for user, answer in PAIRS if {user, answer} <= keys), None)


def check_columns(name: FormatName, settings: DialogueSource, file: str) -> None:
    """See that a file in this format reads every column that the settings name.

    Raises:
        UserError: it does not read one, so that naming it would change nothing.
    """
    for column, key in settings.columns.items():
        if column not in _COLUMNS[name]:
            raise UserError(
                f"is read as {name!r}, which has no `{column}` in `columns` (there it is {key!r}); name "
                f"{', '.join(sorted(_COLUMNS[name]))} only, or another format",
                file=file,
            )
