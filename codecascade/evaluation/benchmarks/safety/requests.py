"""What the benchmarks of refusals share: a request, asked in the chat format or as a question in plain text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codecascade.evaluation.answers.replies import without_thoughts
from codecascade.evaluation.benchmarks.code.humaneval import in_chat
from codecascade.evaluation.task import ChatPrompt, EvaluationContext, Message, Prompt, TextPrompt
from codecascade.ground.errors import UserError

_NEXT = "\nQuestion:"


def request_prompt(request: str, context: EvaluationContext, system: str = "") -> Prompt:
    """The request as a user's turn, after a ``system`` message if there is one; without a chat format as a
    question."""
    if in_chat(context.settings, context.model):
        before = (Message("system", system),) if system else ()
        return ChatPrompt((*before, Message("user", request)))
    lead = f"{system}\n\n" if system else ""
    return TextPrompt(f"{lead}Question: {request}\nAnswer:", (_NEXT,))


class RequestIds:
    """The ids of a set's requests: each its own, or its number in the set if it has none."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def of(self, row: Mapping[str, Any], location: str) -> str:
        """The id of the next request.

        Raises:
            UserError: it is no text or whole number, or another request has it.
        """
        value = row.get("id")
        if value is None or value == "":
            value = len(self._given) + 1
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise UserError(
                f"must be a text or a whole number, not {type(value).__name__}", file=location, key="id"
            )
        name = str(value)
        if name in self._given:
            raise UserError(
                f"two requests have the id {name} (one without an id has its number); give each its own",
                file=location,
                key="id",
            )
        self._given.add(name)
        return name


def reply_of(text: str) -> str:
    """The reply, without a model's thoughts and without the next question that it writes."""
    return without_thoughts(text).partition(_NEXT)[0].strip()
