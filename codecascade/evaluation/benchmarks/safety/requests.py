"""What the benchmarks of refusals share: reading a set of requests, asking one, and reading the reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codecascade.evaluation.answers.replies import without_thoughts
from codecascade.evaluation.benchmarks.code.humaneval import in_chat
from codecascade.evaluation.data import BenchmarkData, FieldType, load_records
from codecascade.evaluation.task import ChatPrompt, EvaluationContext, Message, Prompt, TextPrompt
from codecascade.ground.errors import UserError

_NEXT = "\nQuestion:"


def request_records(
    benchmark: str, data: BenchmarkData, given: Path | None, required: Mapping[str, FieldType]
) -> Iterator[tuple[str, dict[str, Any], str]]:
    """``(location, record, task id)`` of each request of a set. A record without an ``id`` has its number.

    Args:
        required: fields that a record must have besides ``prompt``.

    Raises:
        UserError: the data was not found, a field is missing, a prompt is empty, an id is no text or whole number, or
            two requests have one.
    """
    seen: set[str] = set()
    for number, (location, row) in enumerate(
        load_records(benchmark, data, given, {"prompt": str, **required}), 1
    ):
        if not row["prompt"].strip():
            raise UserError("is empty", file=location, key="prompt")
        name = number if row.get("id") in (None, "") else row["id"]
        if isinstance(name, bool) or not isinstance(name, str | int):
            raise UserError(
                f"must be a text or a whole number, not {type(name).__name__}", file=location, key="id"
            )
        name = str(name)
        if name in seen:
            raise UserError(
                f"two requests have the id {name} (one without an id has its number); give each its own",
                file=location,
                key="id",
            )
        seen.add(name)
        yield location, row, f"{benchmark}/{name}"


def request_prompt(request: str, context: EvaluationContext, system: str = "") -> Prompt:
    """The request as a user's turn, after a ``system`` message if there is one; without a chat format as a
    question."""
    if in_chat(context.settings, context.model):
        before = (Message("system", system),) if system else ()
        return ChatPrompt((*before, Message("user", request)))
    lead = f"{system}\n\n" if system else ""
    return TextPrompt(f"{lead}Question: {request}\nAnswer:", (_NEXT,))


def reply_of(text: str) -> str:
    """The reply, without a model's thoughts and without the next question that it writes."""
    return without_thoughts(text).partition(_NEXT)[0].strip()
