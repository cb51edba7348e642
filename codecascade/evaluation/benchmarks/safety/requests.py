"""What the benchmarks of refusals share: a request, asked in the chat format or as a question in plain text."""

from __future__ import annotations

from codecascade.evaluation.answers.replies import without_thoughts
from codecascade.evaluation.benchmarks.code.humaneval import in_chat
from codecascade.evaluation.task import ChatPrompt, EvaluationContext, Message, Prompt, TextPrompt

_NEXT = "\nQuestion:"


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
