"""What a text must be an instance of: a JSON schema, any JSON object, a regular expression, a grammar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from codecascade.ground.errors import UserError

GrammarKind = Literal["json_schema", "json_object", "regex", "lark"]
_MOST_CHARACTERS = 120_000
"""Of a grammar, about as many as OpenAI reads. Its compiler has limits of its own, but reads the text first, in a
time that may grow with the square of its length."""


@dataclass(frozen=True)
class Grammar:
    """A constraint on the whole text.

    Attributes:
        kind: how ``text`` is to be read: a JSON schema, a regular expression (Rust's syntax), a grammar in Lark's
            notation (as llguidance reads it). ``json_object`` is any JSON object, and takes no text.
    """

    kind: GrammarKind
    text: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(GrammarKind):
            raise UserError(
                f"must be one of {', '.join(get_args(GrammarKind))} (got {self.kind!r})", key="grammar"
            )
        if self.kind == "json_object":
            if self.text:
                raise UserError("json_object takes no text; json_schema does", key="grammar")
        elif not self.text.strip():
            raise UserError(f"a grammar of the kind {self.kind} must not be empty", key="grammar")
        if len(self.text) > _MOST_CHARACTERS:
            raise UserError(
                f"has {len(self.text):,} characters; at most {_MOST_CHARACTERS:,} are read", key="grammar"
            )
