"""The form of request bodies: what several protocols share of them."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Body(BaseModel):
    """A request's body, or a part of one.

    Fields that are not known are passed over, for every client sends some; those that are known must have their type:
    ``"1"`` is no number. ``null`` is as good as a field that is not there.
    """

    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:
        if isinstance(data, dict):
            return {key: value for key, value in data.items() if value is not None}
        return data


Stop = str | list[str]
TokenIds = list[Annotated[int, Field(ge=0)]]
LogitBias = dict[str, float]
"""By token id, which JSON makes a string."""


class StreamOptions(Body):
    """OpenAI's."""

    include_usage: bool = False


class TextPart(Body):
    """A part of a message."""

    type: str = "text"
    text: str = ""


class ChatMessage(Body):
    """A message as OpenAI and Ollama write them; the content may come in parts."""

    role: str
    content: str | list[TextPart] = ""
    images: list[str] = Field(default_factory=list)
    tool_calls: list[Any] = Field(default_factory=list)
    function_call: dict[str, Any] | None = None
    """OpenAI's earlier form of a tool call."""
