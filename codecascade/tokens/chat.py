"""Dialogues in ids: by the model folder's own chat template, or by one of our formats if it has none.

Whatever the format, a message can't forge control text: control tokens in it are spelled out (as in all text), and
so are tags that are ordinary text, letter by letter.
"""

from __future__ import annotations

from collections.abc import Sequence

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import short
from codecascade.tokens.chat_formats import chat_template, control_ids, dialogue_parts, is_ours, reply_start
from codecascade.tokens.messages import Message
from codecascade.tokens.templates.dialogue import RenderedDialogue, turn_ends
from codecascade.tokens.tokenizer import Tokenizer

__all__ = [
    "Message",
    "chat_stop_ids",
    "chat_template",
    "encode_chat",
    "encode_dialogue",
    "encode_reply_start",
    "with_chat_format",
]

_ROLES = ("system", "user", "assistant")


def with_chat_format(tokenizer: Tokenizer, format: str | None = None) -> Tokenizer:  # noqa: A002
    """The tokenizer with a chat template: its own if it has one of this format (None: of any), else ours.

    Without a hint in the folder the format is Llama 2's.

    Raises:
        UserError: no such format, or ChatML without its control tokens.
    """
    wanted = format or tokenizer.chat_format or "llama2"
    if wanted == tokenizer.chat_format and (_has_own_template(tokenizer) or wanted == "step"):
        return (
            tokenizer.with_ends(more, "the chat template") if (more := _more_ends(tokenizer)) else tokenizer
        )
    template = chat_template(wanted, bos=tokenizer.adds_bos)
    if tokenizer.config.get("chat_template") == template:
        return tokenizer
    if wanted == "chatml":
        control_ids(tokenizer, "<|im_start|>", "<|im_end|>")
    return tokenizer.with_chat_template(template)


def encode_chat(tokenizer: Tokenizer, messages: Sequence[Message], *, reply: bool = True) -> list[int]:
    """The ids of a dialogue; with ``reply`` they are a prompt, after which the assistant's answer comes.

    Raises:
        UserError: the tokenizer has no chat format, its template can't be rendered within bounds or refuses the
            messages, or their roles are out of order.
    """
    if reply and messages and messages[-1].role != "user":
        raise UserError(
            f"the last message must be the user's (it is the {messages[-1].role}'s)", key="messages"
        )
    _check_roles(messages, in_turn=not _has_own_template(tokenizer))
    if _has_own_template(tokenizer):
        return RenderedDialogue(tokenizer, messages).prompt(reply=reply)
    return [token_id for ids, _ in dialogue_parts(tokenizer, messages, reply=reply) for token_id in ids]


def encode_reply_start(tokenizer: Tokenizer, messages: Sequence[Message], prefill: str) -> list[int]:
    """The ids to append to those of :func:`encode_chat` if the reply must begin with ``prefill``.

    They include what the format writes before every answer, such as Llama 2's space. Raises as :func:`encode_chat`.
    """
    if _has_own_template(tokenizer):
        return RenderedDialogue(tokenizer, messages, prefill).reply_start()
    return reply_start(tokenizer, prefill)


def encode_dialogue(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
    """A finished dialogue for training: its ids, and for each whether it belongs to an answer.

    An answer is its text and the token that ends it. The ids before an answer are those of
    :func:`encode_chat` for the messages before it. Raises as :func:`encode_chat`, and where a template does not
    tell which text is an answer.
    """
    if messages and messages[-1].role != "assistant":
        raise UserError(
            f"the last message must be an answer (it is the {messages[-1].role}'s)", key="messages"
        )
    _check_roles(messages, in_turn=not _has_own_template(tokenizer))
    if _has_own_template(tokenizer):
        return RenderedDialogue(tokenizer, messages).training()
    parts = list(dialogue_parts(tokenizer, messages, reply=False))
    ids = [token_id for part, _ in parts for token_id in part]
    return ids, [is_answer for part, is_answer in parts for _ in part]


def chat_stop_ids(tokenizer: Tokenizer) -> frozenset[int]:
    """The tokens that end a reply: all that end a generation, and what the folder's template has after an answer."""
    return frozenset((*tokenizer.stop_ids, *_more_ends(tokenizer)))


def _more_ends(tokenizer: Tokenizer) -> list[int]:
    """What ends an answer by the folder's template and is not known as an end."""
    if not _has_own_template(tokenizer):
        return []
    return [token_id for token_id in turn_ends(tokenizer) if token_id not in tokenizer.stop_ids]


def _has_own_template(tokenizer: Tokenizer) -> bool:
    template: str | None = tokenizer.config.get("chat_template")
    return template is not None and not is_ours(template)


def _check_roles(messages: Sequence[Message], *, in_turn: bool) -> None:
    """Check that all roles are known.

    With ``in_turn``, also that user and assistant take turns, the user first, after at most one system message. A
    folder's own template decides about that itself.
    """
    if not messages:
        raise UserError("there is no message", key="messages")
    start = messages[0].role == "system"
    for index, message in enumerate(messages):
        expected = ("user", "assistant")[(index - start) % 2]
        if message.role in _ROLES and (not in_turn or index < start or message.role == expected):
            continue
        wanted = repr(expected) if in_turn else " or ".join(map(repr, _ROLES))
        tools = "" if message.role in _ROLES else "; tools and other roles are not supported"
        raise UserError(f"must be {wanted} (got {short(message.role)}){tools}", key=f"messages[{index}].role")
    if len(messages) == start:
        raise UserError("holds a system message alone", key="messages")
