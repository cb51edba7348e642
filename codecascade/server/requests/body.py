"""The form of request bodies: what several protocols share of them."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, FailFast, Field, model_validator

from codecascade.server.http.errors import ApiError

_MOST_BIASES, _MOST_MESSAGES = 1024, 10_000
Item = TypeVar("Item")


class _FirstMistake(FailFast):
    """FailFast, but for a union of types, which needs a hash of each."""

    def __hash__(self) -> int:
        return hash(self.fail_fast)


Items = Annotated[list[Item], _FirstMistake()]
"""A list in a body. Without this every wrong item of a long list would become an error of some kB."""


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


def _one_wrong_value(numbers: Any) -> Any:
    """An object of numbers as it is; of one with wrong values no more than the first."""
    if isinstance(numbers, dict):
        for key, value in numbers.items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                return {key: value}
    return numbers


def _not_too_many(messages: Any) -> Any:
    """Messages as they are, if they and their parts are few enough to be read: each becomes an object of its own."""
    if isinstance(messages, list):
        contents = [message.get("content") for message in messages if isinstance(message, dict)]
        parts = sum(len(content) for content in contents if isinstance(content, list))
        for count, what in ((len(messages), "messages"), (parts, "parts of messages")):
            if count > _MOST_MESSAGES:
                raise ApiError(400, f"has {count:,} {what}; at most {_MOST_MESSAGES:,} are read", "messages")
    return messages


def _few_biases(biases: Any) -> Any:
    if isinstance(biases, list | dict) and len(biases) > _MOST_BIASES:
        raise ApiError(400, f"has {len(biases):,} entries; at most {_MOST_BIASES:,} are taken", "logit_bias")
    return biases


Stop = str | Items[str]
TokenIds = Items[Annotated[int, Field(ge=0)]]
LogitBias = Annotated[dict[str, float], BeforeValidator(_one_wrong_value), BeforeValidator(_few_biases)]
"""By token id, which JSON makes a string."""
BiasPairs = Annotated[Items[Items[int | float | bool | str]], BeforeValidator(_few_biases)]
"""As llama.cpp also takes them: ``[[id, bias], ...]``."""


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
    content: str | Items[TextPart] = ""
    images: Items[str] = Field(default_factory=list)
    tool_calls: Items[Any] = Field(default_factory=list)
    function_call: dict[str, Any] | None = None
    """OpenAI's earlier form of a tool call."""


Messages = Annotated[Items[ChatMessage], BeforeValidator(_not_too_many)]
"""A dialogue, whose messages are counted before any is read."""
