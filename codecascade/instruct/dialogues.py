"""Dialogues to fine-tune on, in JSON lines: ``{"messages": [{"role": "user", "content": "..."}, ...]}``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, overload

from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import read_jsonl
from codecascade.tokens.chat import Message


@dataclass(frozen=True)
class Dialogue:
    """A user and an assistant in turn, after at most one system message; the assistant has the last word."""

    id: str
    """Hash of the messages."""
    messages: tuple[Message, ...]

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Dialogue:
        digest = blake2b(digest_size=16)
        for part in (part for message in messages for part in (message.role, message.content)):
            digest.update(blake2b(part.encode(errors="surrogatepass")).digest())
        return cls(digest.hexdigest(), tuple(messages))


class DialogueTable(Sequence[Dialogue]):
    """Dialogues in a fixed order; ``fingerprint`` is equal for tables of the same dialogues in the same order."""

    def __init__(self, dialogues: Sequence[Dialogue]) -> None:
        self._dialogues = tuple(dialogues)
        self.fingerprint = blake2b(
            "".join(dialogue.id for dialogue in self._dialogues).encode(), digest_size=16
        ).hexdigest()

    def __len__(self) -> int:
        return len(self._dialogues)

    @overload
    def __getitem__(self, index: int) -> Dialogue: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Dialogue, ...]: ...
    def __getitem__(self, index: int | slice) -> Dialogue | tuple[Dialogue, ...]:
        return self._dialogues[index]


def read_dialogues(path: str | Path) -> DialogueTable:
    """The dialogues of a JSON-lines file; keys besides ``messages`` are left to other readers.

    Raises:
        UserError: the file is missing or holds none, or a line is not a dialogue (file, line and key are named).
    """
    dialogues = [Dialogue.of(_messages(row, f"{path}:{line}")) for line, row in read_jsonl(path)]
    if not dialogues:
        raise UserError(
            'holds no dialogues; a line is {"messages": [{"role": ..., "content": ...}, ...]}', file=path
        )
    return DialogueTable(dialogues)


def _messages(row: dict[str, Any], location: str) -> list[Message]:
    entries = row.get("messages")
    if not isinstance(entries, list) or not entries:
        raise UserError(
            "must be a list of messages, each with role and content", file=location, key="messages"
        )
    messages = [_message(entry, location, f"messages[{index}]") for index, entry in enumerate(entries)]
    turns = messages[1:] if messages[0].role == "system" else messages
    for index, message in enumerate(turns, len(messages) - len(turns)):
        expected = "assistant" if (index - (len(messages) - len(turns))) % 2 else "user"
        if message.role != expected:
            raise UserError(
                f"must be {expected!r}, not {message.role!r}: user and assistant take turns, the user first",
                file=location,
                key=f"messages[{index}].role",
            )
    if messages[-1].role != "assistant":
        raise UserError("must end with an answer of the assistant", file=location, key="messages")
    return messages


def _message(entry: Any, location: str, key: str) -> Message:
    if not isinstance(entry, dict):
        raise UserError(f"must be an object, not {type(entry).__name__}", file=location, key=key)
    for field in ("role", "content"):
        if not isinstance(entry.get(field), str):
            found = type(entry[field]).__name__ if field in entry else "nothing"
            raise UserError(f"must be a string, not {found}", file=location, key=f"{key}.{field}")
    if not entry["content"].strip():
        raise UserError("must not be empty", file=location, key=f"{key}.content")
    return Message(entry["role"], entry["content"])
