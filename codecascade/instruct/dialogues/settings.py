"""Where dialogues come from and how they are read: an item of a recipe's ``dialogues``."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, model_validator

from codecascade.ground.settings import LARGEST_SHARE, Settings

MADE: tuple[str, ...] = ("mined", "self-instruct")
"""The words that name dialogues which a run makes itself."""
HUB = "hub:"
"""How the name of a data set of the hub begins: ``hub:OWNER/NAME``."""

FormatName = Literal["messages", "sharegpt", "alpaca", "pairs"]
Repair = Literal["join_same_role", "drop_first_answer", "drop_last_request"]
Column = Literal["messages", "role", "content", "system", "user", "input", "assistant"]
Role = Literal["system", "user", "assistant"]
Unusable = Literal["error", "skip"]


class DialogueSource(Settings):
    """One source of dialogues."""

    source: str = Field(
        min_length=1,
        description="a file, a folder, a pattern, an address, hub:OWNER/NAME, or what the run makes: 'mined' or "
        "'self-instruct'",
    )
    share: float = Field(
        1, gt=0, le=LARGEST_SHARE, description="of the tokens of dialogues, in proportion to the others'"
    )
    format: FormatName | None = Field(None, description="default: found by the keys of each file")
    columns: dict[Column, str] = Field(
        default_factory=dict,
        description="the file's names of `messages`, `role`, `content`, `system`, `user`, `input`, `assistant`",
    )
    roles: dict[str, Role] = Field(
        default_factory=dict, description="the file's own words for system, user and assistant"
    )
    repair: tuple[Repair, ...] = Field(
        (), description="what is mended: join_same_role, drop_first_answer, drop_last_request"
    )
    unusable: Unusable = Field("error", description="a line that can't be used: error, or skip and count it")
    limit: int | None = Field(None, gt=0, description="so many of them, drawn at random; default: all")

    @property
    def kind(self) -> str:
        """A word of :data:`MADE`, "hub" or "files"."""
        if self.source in MADE:
            return self.source
        return "hub" if self.source.startswith(HUB) else "files"

    @model_validator(mode="after")
    def _made_ones_are_ours(self) -> Self:
        if self.kind in MADE:
            given = self.model_fields_set - {"source", "share", "limit"}
            if changed := sorted(key for key in given if getattr(self, key) != _default(key)):
                raise ValueError(
                    f"{changed[0]} is for files; {self.source!r} has the format that is read here"
                )
        return self


def _default(key: str) -> Any:
    return DialogueSource.model_fields[key].get_default(call_default_factory=True)


def as_sources(value: Any) -> Any:
    """A name, a table, or a list of both, as the list of tables that :class:`DialogueSource` reads."""
    if isinstance(value, str | dict):
        value = [value]
    if not isinstance(value, list | tuple):
        return value
    return [{"source": item} if isinstance(item, str) else item for item in value]
