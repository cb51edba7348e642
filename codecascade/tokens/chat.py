"""Dialogues in ids: Llama 2's format (Code Llama - Instruct, 7B to 34B) and ChatML (SmolLM2, Qwen).

Each format is written twice, in ids here and as a Jinja ``chat_template`` for other tools; the ids are the
same, save that here a message can't forge control text: special tokens in it are spelled out (as in all
text), and so are Llama 2's tags, which are ordinary text, letter by letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codecascade.ground.errors import UserError
from codecascade.tokens.tokenizer import Tokenizer

_TAGS = re.compile(r"(\[/?INST\]|<</?SYS>>)")
# What SmolLM2's and Qwen's templates say where a dialogue has no system message of its own.
_DEFAULT_SYSTEM = re.compile(r"<\|im_start\|>system(?:\\n|\n)([^'\"{}]{1,4096}?)<\|im_end\|>")

_LLAMA2_TEMPLATE = (
    "{% set system = '' %}{% set turns = messages %}"
    "{% if messages[0]['role'] == 'system' %}"
    r"{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% set turns = messages[1:] %}"
    "{% endif %}"
    "{% for message in turns %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant must take turns, the user first') }}{% endif %}"
    "{% if message['role'] == 'user' %}"
    "{{ BOS'[INST] ' + ((system if loop.first else '') + message['content']) | trim + ' [/INST]' }}"
    "{% else %}{{ ' ' + message['content'] | trim + ' ' + eos_token }}{% endif %}"
    "{% endfor %}"
)
_CHATML_TEMPLATE = (
    "{% for message in messages %}"
    "{% if loop.first %}{{ BOS'' }}{% endif %}"
    r"{{ '<|im_start|>' + message['role'] + '\n' + message['content'] | trim + '<|im_end|>\n' }}"
    "{% endfor %}"
    r"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_TEMPLATES = {"llama2": _LLAMA2_TEMPLATE, "chatml": _CHATML_TEMPLATE}


@dataclass(frozen=True)
class Message:
    """One turn of a dialogue; ``role`` is "system" (first only), "user" or "assistant"."""

    role: str
    content: str


def chat_template(format: str, *, bos: bool = True) -> str:  # noqa: A002
    """The Jinja template of a format ("llama2" or "chatml"); ``bos``: whether the family adds BOS.

    Raises:
        UserError: there is no such format.
    """
    if format not in _TEMPLATES:
        raise UserError(f"{format!r} is not a chat format; use {' or '.join(_TEMPLATES)}")
    return _TEMPLATES[format].replace("BOS", "bos_token + " if bos else "")


def with_chat_format(tokenizer: Tokenizer, format: str | None = None) -> Tokenizer:  # noqa: A002
    """The tokenizer with a chat template: its own if it has one of this format (None: of any), else ours.

    Without a hint in the folder the format is Llama 2's.

    Raises:
        UserError: no such format, or ChatML without its control tokens.
    """
    wanted = format or tokenizer.chat_format or "llama2"
    if tokenizer.config.get("chat_template") and tokenizer.chat_format == wanted:
        return tokenizer
    template = chat_template(wanted, bos=tokenizer.adds_bos)
    if wanted == "chatml":
        _control(tokenizer, "<|im_start|>", "<|im_end|>")
    return tokenizer.with_chat_template(template)


def encode_chat(tokenizer: Tokenizer, messages: Sequence[Message], *, reply: bool = True) -> list[int]:
    """The ids of a dialogue; with ``reply`` they are a prompt, after which the assistant's answer comes.

    Raises:
        UserError: the tokenizer has no chat format that is known, or the roles are out of order.
    """
    if reply and messages and messages[-1].role != "user":
        raise UserError(
            f"the last message must be the user's (it is the {messages[-1].role}'s)", key="messages"
        )
    return [token_id for ids, _ in _parts(tokenizer, messages, reply=reply) for token_id in ids]


def encode_dialogue(tokenizer: Tokenizer, messages: Sequence[Message]) -> tuple[list[int], list[bool]]:
    """A finished dialogue for training: its ids, and for each whether it belongs to an answer.

    An answer is its text and the token that ends it. The ids before an answer are those of
    :func:`encode_chat` for the messages before it. Raises as :func:`encode_chat`.
    """
    if messages and messages[-1].role != "assistant":
        raise UserError(
            f"the last message must be an answer (it is the {messages[-1].role}'s)", key="messages"
        )
    parts = list(_parts(tokenizer, messages, reply=False))
    ids = [token_id for part, _ in parts for token_id in part]
    return ids, [is_answer for part, is_answer in parts for _ in part]


def _parts(
    tokenizer: Tokenizer, messages: Sequence[Message], *, reply: bool
) -> Iterator[tuple[list[int], bool]]:
    """``(ids, whether they belong to an answer)``, in order."""
    _check_roles(messages)
    if tokenizer.chat_format == "llama2":
        return _llama2(tokenizer, messages)
    if tokenizer.chat_format == "chatml":
        return _chatml(tokenizer, messages, reply=reply)
    raise UserError("the model folder has no chat template of a known format (llama2, chatml)")


def _llama2(tokenizer: Tokenizer, messages: Sequence[Message]) -> Iterator[tuple[list[int], bool]]:
    system = messages[0].content if messages[0].role == "system" else None
    for index, message in enumerate(messages[system is not None :]):
        if message.role == "user":
            content = _spelled_out(tokenizer, message.content)
            if index == 0 and system is not None:
                opening = _spelled_out(tokenizer, system)
                content = _join(["<<SYS>>\n"], opening, ["\n<</SYS>>\n\n"], content)
            content[0] = content[0].lstrip()
            content[-1] = content[-1].rstrip()
            first, *rest = _join(["[INST] "], content, [" [/INST]"])
            yield tokenizer.bos() + tokenizer.encode_after_special(first) + _continued(tokenizer, rest), False
        else:
            answer = _join([" "], _spelled_out(tokenizer, message.content.strip()), [" "])
            end = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
            yield _continued(tokenizer, answer) + end, True


def _spelled_out(tokenizer: Tokenizer, text: str) -> list[str]:
    """``text`` cut into strings that are to be encoded one by one, so that a tag in it is not that tag's ids."""
    texts = [""]
    for index, part in enumerate(_TAGS.split(text)):
        if index % 2 == 0:
            texts[-1] += part
            continue
        letters = list(part)
        if _continued(tokenizer, letters) == tokenizer.encode_continuation(part):
            letters.insert(1, "\u200b")  # a small vocabulary always spells: an invisible sign parts the tag
        texts += [*letters, ""]
    return texts


def _join(*pieces: list[str]) -> list[str]:
    """Lists of strings put end to end, where the last string of one and the first of the next become one."""
    joined = [""]
    for piece in pieces:
        joined[-1:] = [joined[-1] + piece[0], *piece[1:]]
    return joined


def _continued(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    return [token_id for text in texts for token_id in tokenizer.encode_continuation(text)]


def _chatml(
    tokenizer: Tokenizer, messages: Sequence[Message], *, reply: bool
) -> Iterator[tuple[list[int], bool]]:
    start, end = _control(tokenizer, "<|im_start|>", "<|im_end|>")
    template = tokenizer.config.get("chat_template") or chat_template("chatml", bos=tokenizer.adds_bos)
    newline, header = (tokenizer.encode_after_special(text) for text in ("\n", "assistant\n"))
    if tokenizer.bos_id is not None and "bos_token" in template:
        yield [tokenizer.bos_id], False
    if messages[0].role != "system" and (default := _DEFAULT_SYSTEM.search(template)):
        messages = [Message("system", default[1].replace("\\n", "\n")), *messages]
    for message in messages:
        content = message.content.strip() if "trim" in template else message.content
        if message.role == "assistant":
            yield [start, *header], False
            yield [*tokenizer.encode_continuation(content), end], True
        else:
            yield [start, *tokenizer.encode_after_special(f"{message.role}\n{content}"), end], False
        yield newline, False
    if reply:
        yield [start, *header], False


def _control(tokenizer: Tokenizer, *names: str) -> list[int]:
    missing = [name for name in names if tokenizer.vocabulary.get(name) not in tokenizer.special_ids]
    if missing:
        raise UserError(f"the tokenizer has no control token {missing[0]!r}, which ChatML needs")
    return [tokenizer.vocabulary[name] for name in names]


def _check_roles(messages: Sequence[Message]) -> None:
    """A system message may come first; then user and assistant take turns, the user first."""
    if not messages:
        raise UserError("there is no message", key="messages")
    start = messages[0].role == "system"
    for index, message in enumerate(messages[start:]):
        if message.role != ("user", "assistant")[index % 2]:
            expected = ("user", "assistant")[index % 2]
            raise UserError(
                f"must be {expected!r} (got {message.role!r})", key=f"messages[{index + start}].role"
            )
    if len(messages) == start:
        raise UserError("holds a system message alone", key="messages")
