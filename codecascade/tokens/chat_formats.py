"""Chat formats that are written here in ids, for folders without a template of their own.

Llama 2's (Code Llama - Instruct, 7B to 34B), ChatML (SmolLM2, Qwen), and the steps of Code Llama 70B - Instruct. The
first two are also Jinja templates for other tools, whose renderings have the same ids.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from codecascade.ground.errors import UserError
from codecascade.tokens.messages import Message
from codecascade.tokens.templates.spelling import spelled_out
from codecascade.tokens.tokenizer import Tokenizer

NO_ANSWER = -1
STEP = "<step>"
"""Ends each message in Code Llama 70B's format."""
Part = tuple[list[int], int]
"""Ids, and the index of the message whose answer they are, or :data:`NO_ANSWER`."""

_LLAMA2_TAGS = re.compile(r"\[/?INST\]|<</?SYS>>")
_ROLES_IN_TURN = (
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('user and assistant must take turns, the user first') }}{% endif %}"
)
_LLAMA2_TEMPLATE = (
    "{% set system = '' %}{% set turns = messages %}"
    "{% if messages[0]['role'] == 'system' %}"
    r"{% set system = '<<SYS>>\n' + messages[0]['content'] + '\n<</SYS>>\n\n' %}{% set turns = messages[1:] %}"
    "{% endif %}"
    "{% for message in turns %}" + _ROLES_IN_TURN + "{% if message['role'] == 'user' %}"
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


def chat_template(format: str, *, bos: bool = True) -> str:  # noqa: A002
    """The Jinja template of a format ("llama2" or "chatml"); ``bos``: whether the family adds BOS.

    Raises:
        UserError: there is no such format.
    """
    if format not in _TEMPLATES:
        raise UserError(f"{format!r} is not a chat format; use {' or '.join(_TEMPLATES)}")
    return _TEMPLATES[format].replace("BOS", "bos_token + " if bos else "")


def is_ours(template: str) -> bool:
    """Whether a folder's template is one of ours, so that its dialogues are written here."""
    return any(template == chat_template(name, bos=bos) for name in _TEMPLATES for bos in (True, False))


def dialogue_parts(tokenizer: Tokenizer, messages: Sequence[Message], *, reply: bool) -> Iterator[Part]:
    """A dialogue in ids; with ``reply``, as a prompt for an answer.

    Raises:
        UserError: the tokenizer has no chat format.
    """
    if tokenizer.chat_format == "llama2":
        return _llama2(tokenizer, messages)
    if tokenizer.chat_format == "chatml":
        return _chatml(tokenizer, messages, reply=reply)
    if tokenizer.chat_format == "step":
        return _steps(tokenizer, messages, reply=reply)
    raise UserError(
        "the model has no chat format: its folder has no chat template, and its vocabulary no tokens of a known one"
    )


def reply_start(tokenizer: Tokenizer, prefill: str) -> list[int]:
    """The ids with which a reply begins that is to begin with ``prefill``."""
    space_before_answer = " " if tokenizer.chat_format == "llama2" else ""
    return tokenizer.encode_continuation(space_before_answer + prefill)


def _llama2(tokenizer: Tokenizer, messages: Sequence[Message]) -> Iterator[Part]:
    system = messages[0].content if messages[0].role == "system" else None
    for index, message in enumerate(messages[system is not None :]):
        if message.role == "user":
            content = spelled_out(tokenizer, message.content, _LLAMA2_TAGS)
            if index == 0 and system is not None:
                opening = spelled_out(tokenizer, system, _LLAMA2_TAGS)
                content = _join(["<<SYS>>\n"], opening, ["\n<</SYS>>\n\n"], content)
            content[0] = content[0].lstrip()
            content[-1] = content[-1].rstrip()
            first, *rest = _join(["[INST] "], content, [" [/INST]"])
            ids = tokenizer.bos() + tokenizer.encode_after_special(first) + _continued(tokenizer, rest)
            yield ids, NO_ANSWER
        else:
            answer = _join([" "], spelled_out(tokenizer, message.content.strip(), _LLAMA2_TAGS), [" "])
            end = [] if tokenizer.eos_id is None else [tokenizer.eos_id]
            yield _continued(tokenizer, answer) + end, index + (system is not None)


def _join(*lists: list[str]) -> list[str]:
    """Lists of strings put end to end, where the last string of one and the first of the next become one."""
    joined = [""]
    for strings in lists:
        joined[-1:] = [joined[-1] + strings[0], *strings[1:]]
    return joined


def _continued(tokenizer: Tokenizer, texts: Sequence[str]) -> list[int]:
    return [token_id for text in texts for token_id in tokenizer.encode_continuation(text)]


def _chatml(tokenizer: Tokenizer, messages: Sequence[Message], *, reply: bool) -> Iterator[Part]:
    start, end = control_ids(tokenizer, "<|im_start|>", "<|im_end|>")
    template = tokenizer.config.get("chat_template") or chat_template("chatml", bos=tokenizer.adds_bos)
    newline, header = (tokenizer.encode_after_special(text) for text in ("\n", "assistant\n"))
    if tokenizer.bos_id is not None and "bos_token" in template:
        yield [tokenizer.bos_id], NO_ANSWER
    for index, message in enumerate(messages):
        content = message.content.strip()
        if message.role == "assistant":
            yield [start, *header], NO_ANSWER
            yield [*tokenizer.encode_continuation(content), end], index
        else:
            yield [start, *tokenizer.encode_after_special(f"{message.role}\n{content}"), end], NO_ANSWER
        yield newline, NO_ANSWER
    if reply:
        yield [start, *header], NO_ANSWER


def _steps(tokenizer: Tokenizer, messages: Sequence[Message], *, reply: bool) -> Iterator[Part]:
    """Code Llama 70B - Instruct, as its reference implementation writes it: each string is encoded by itself.

    Only the header of the answer to be generated names its recipient (``Destination: user``); the headers of earlier
    answers don't. So only the last answer of a finished dialogue has the same prompt before it as in generation, and
    only it counts as an answer.
    """
    (step,) = control_ids(tokenizer, STEP)
    answer_header = [
        *tokenizer.encode(" Source: assistant\nDestination: user"),
        *tokenizer.encode("\n\n "),
    ]
    yield tokenizer.bos(), NO_ANSWER
    last = len(messages) - 1
    if messages[0].role != "system":
        yield [*tokenizer.encode(" Source: system"), step], NO_ANSWER
    for index, message in enumerate(messages):
        content = message.content.strip()
        if not reply and index == last and message.role == "assistant":
            yield answer_header, NO_ANSWER
            yield [*tokenizer.encode_continuation(content), step], index
            continue
        body = tokenizer.encode(f"\n\n {content}") if content else []
        yield [*tokenizer.encode(f" Source: {message.role}"), *body, step], NO_ANSWER
    if reply:
        yield answer_header, NO_ANSWER


def control_ids(tokenizer: Tokenizer, *names: str) -> list[int]:
    """The ids of control tokens.

    Raises:
        UserError: the tokenizer does not have one of them.
    """
    missing = [name for name in names if tokenizer.vocabulary.get(name) not in tokenizer.special_ids]
    if missing:
        raise UserError(f"the tokenizer has no control token {missing[0]!r}, which the chat format needs")
    return [tokenizer.vocabulary[name] for name in names]
