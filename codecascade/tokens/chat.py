"""Dialogues in ids: by the model folder's own chat template, or by one of our formats if it has none.

Whatever the format, a message can't forge control text: control tokens in it are spelled out (as in all text), and
so are tags that are ordinary text, letter by letter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import short
from codecascade.tokens.chat_formats import (
    NO_ANSWER,
    STEP,
    chat_template,
    control_ids,
    dialogue_parts,
    is_ours,
    reply_start,
)
from codecascade.tokens.files.tokenizer_json import added_token
from codecascade.tokens.messages import Message
from codecascade.tokens.templates.dialogue import RenderedDialogue, turn_ends
from codecascade.tokens.tokenizer import Tokenizer

__all__ = [
    "DialogueTokens",
    "Message",
    "chat_stop_ids",
    "chat_template",
    "chat_token_ids",
    "dialogue_tokens",
    "encode_chat",
    "encode_dialogue",
    "encode_reply_start",
    "with_chat_format",
]

_ROLES = ("system", "user", "assistant")


def with_chat_format(tokenizer: Tokenizer, format: str | None = None) -> Tokenizer:  # noqa: A002
    """The tokenizer with a chat template: its own if it has one of this format (None: of any), else ours.

    Without a hint in the folder the format is Llama 2's. "step", Code Llama 70B's, has no template: its control
    token, which is added where it is missing, tells it.

    Raises:
        UserError: no such format, or ChatML without its control tokens.
    """
    wanted = format or tokenizer.chat_format or "llama2"
    if wanted == "step":
        return _with_steps(tokenizer)
    if wanted == tokenizer.chat_format and _has_own_template(tokenizer):
        return (
            tokenizer.with_ends(more, "the chat template") if (more := _more_ends(tokenizer)) else tokenizer
        )
    template = chat_template(wanted, bos=tokenizer.adds_bos)
    if tokenizer.config.get("chat_template") == template:
        return tokenizer
    if wanted == "chatml":
        control_ids(tokenizer, "<|im_start|>", "<|im_end|>")
    return tokenizer.with_chat_template(template)


def _with_steps(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer in Code Llama 70B's format: with its control token, and without another template."""
    if tokenizer.vocabulary.get(STEP) not in tokenizer.special_ids:
        tokenizer = tokenizer.with_vocabulary([added_token(STEP, tokenizer.vocab_size)])
    return tokenizer if tokenizer.chat_format == "step" else tokenizer.without_chat_template()


def chat_token_ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    """The control tokens that :func:`with_chat_format` may have added."""
    return (tokenizer.vocabulary[STEP],) if tokenizer.chat_format == "step" else ()


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


@dataclass(frozen=True)
class DialogueTokens:
    """A finished dialogue in ids.

    Attributes:
        ids: all of them.
        answer_of: for each id the index of the message whose answer it belongs to; -1 where it belongs to none.
    """

    ids: list[int]
    answer_of: list[int]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def answers(self) -> list[int]:
        """The indices of the messages whose answers are among the ids, in order."""
        return sorted({index for index in self.answer_of if index != NO_ANSWER})


def dialogue_tokens(tokenizer: Tokenizer, messages: Sequence[Message]) -> DialogueTokens:
    """A finished dialogue for training.

    An answer is its text and the token that ends it. The ids before an answer are those of
    :func:`encode_chat` for the messages before it. Where a format writes earlier answers otherwise than the last,
    only the last counts as an answer. Raises as :func:`encode_chat`, and where a template does not tell which text is
    an answer.
    """
    if messages and messages[-1].role != "assistant":
        raise UserError(
            f"the last message must be an answer (it is the {messages[-1].role}'s)", key="messages"
        )
    _check_roles(messages, in_turn=not _has_own_template(tokenizer))
    if _has_own_template(tokenizer):
        return DialogueTokens(*RenderedDialogue(tokenizer, messages).training())
    parts = list(dialogue_parts(tokenizer, messages, reply=False))
    ids = [token_id for part, _ in parts for token_id in part]
    return DialogueTokens(ids, [index for part, index in parts for _ in part])


def encode_dialogue(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
    """:func:`dialogue_tokens` as ids, and for each whether it belongs to an answer."""
    tokens = dialogue_tokens(tokenizer, messages)
    return tokens.ids, [index != NO_ANSWER for index in tokens.answer_of]


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
