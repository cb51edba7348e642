"""The prompts: files of this package, which a user can replace one by one.

``chat/NAME.txt`` is for models with a chat format, ``plain/NAME.txt`` for base models, which continue a text. A chat
file has a line ``=== system ===``, ``=== user ===`` or ``=== assistant ===`` above each message; if the last message
is the assistant's, the reply begins with it. ``{{name}}`` is replaced by a value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from codecascade.generation.backend import ChatPrompt, Prompt, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import read_text
from codecascade.ground.format import listed
from codecascade.ground.nearest import nearest
from codecascade.tokens.messages import Message

PROMPTS = Path(__file__).with_name("prompts")
ROLES = ("system", "user", "assistant")
_PLACEHOLDER = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_HEADING = re.compile(r"^=== *(\w+) *===[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class PromptFile:
    """One prompt, read and checked.

    Args:
        needed: placeholders that must be in it.
        known: placeholders that may be in it, ``needed`` included.

    Raises:
        UserError: a needed placeholder is missing, an unknown one is there, or the messages of a chat file are wrong.
    """

    file: Path
    text: str
    chat: bool
    needed: frozenset[str]
    known: frozenset[str]

    def __post_init__(self) -> None:
        found = set(_PLACEHOLDER.findall(self.text))
        if missing := sorted(self.needed - found):
            names = listed([f"{{{{{name}}}}}" for name in missing])
            raise UserError(f"lacks {names}, in whose place the model needs a text", file=self.file)
        for name in sorted(found - self.known):
            hint = nearest(name, sorted(self.known), f"there are {listed(sorted(self.known))}")
            raise UserError(f"has the unknown placeholder {{{{{name}}}}}; {hint}", file=self.file)
        _ = self.messages if self.chat else ()

    @cached_property
    def messages(self) -> tuple[tuple[str, str], ...]:
        """``(role, text)`` of each message of a chat file."""
        parts = _HEADING.split(self.text)
        if parts[0].strip():
            raise UserError("must begin with a line such as === user ===", file=self.file)
        found = list(zip(parts[1::2], parts[2::2], strict=True))
        for role, text in found:
            if role not in ROLES:
                raise UserError(f"has a message of {role!r}; write system, user or assistant", file=self.file)
            if not text.strip() and (role, text) != found[-1]:
                raise UserError(f"has an empty message of {role!r}", file=self.file)
        turns = [role for role, _ in found if role != "system"]
        if [role for role, _ in found[1:] if role == "system"]:
            raise UserError("has a system message that is not the first one", file=self.file)
        if not turns or turns != [("user", "assistant")[index % 2] for index in range(len(turns))]:
            raise UserError("must take turns: user, assistant, user and so on", file=self.file)
        return tuple(found)

    def prompt(self, fields: Mapping[str, str], stop: tuple[str, ...] = ()) -> Prompt:
        """The prompt with ``fields`` in place; what a field holds is never read as a placeholder or a heading."""

        def filled(text: str) -> str:
            return _PLACEHOLDER.sub(lambda match: fields[match[1]], text)

        if not self.chat:
            return TextPrompt(filled(self.text).rstrip("\n") + "\n", stop=stop, heal=False)
        prefill = ""
        messages = [Message(role, filled(text).strip()) for role, text in self.messages]
        if messages[-1].role == "assistant":
            prefill = messages.pop().content
            prefill += "\n" if prefill else ""
        return ChatPrompt(tuple(messages), prefill=prefill, stop=stop)


@dataclass(frozen=True)
class PromptTexts:
    """The prompt files of a run: a folder of the user's, and the shipped ones for what it does not have."""

    folder: Path | None = None

    def __post_init__(self) -> None:
        if self.folder is not None and not self.folder.is_dir():
            raise UserError(
                "is no folder; it should hold chat/ and plain/ with prompt files", file=self.folder
            )
        if self.folder is not None:
            _check_names(self.folder)

    def file(
        self, name: str, *, chat: bool, needed: frozenset[str], known: frozenset[str] = frozenset()
    ) -> PromptFile:
        """The prompt called ``name`` (``tests``) in one of its two forms.

        Raises:
            UserError: the user's file is broken; see :class:`PromptFile`.
        """
        inside = Path("chat" if chat else "plain") / f"{name}.txt"
        path = PROMPTS / inside
        if self.folder is not None and (self.folder / inside).exists():
            path = self.folder / inside
        # as editors on Windows write it
        text = read_text(path).removeprefix("\ufeff").replace("\r\n", "\n")
        return PromptFile(path, text, chat, needed, needed | known)


def _check_names(folder: Path) -> None:
    """A text file that is no prompt would never be read: the name is wrong, or it is in the wrong folder.

    Raises:
        UserError: there is such a file, or no prompt at all.
    """
    known = sorted(str(path.relative_to(PROMPTS)) for path in PROMPTS.glob("*/*.txt"))
    found = sorted(str(path.relative_to(folder)) for path in [*folder.glob("*.txt"), *folder.glob("*/*.txt")])
    for name in found:
        if name not in known:
            raise UserError(f"is no prompt; there are {listed(known)}", file=folder / name)
    if not found:
        raise UserError(f"holds none of the prompts {listed(known)}", file=folder)
