"""From a row's messages to a dialogue that can be trained on, or the reason why it can't be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import short
from codecascade.instruct.dialogues.dialogue import Dialogue
from codecascade.instruct.dialogues.formats import LISTS
from codecascade.instruct.dialogues.row import Row
from codecascade.instruct.dialogues.settings import DialogueSource, FormatName, Role
from codecascade.instruct.dialogues.turns import LABELS, Turn, is_filled, is_wanted, turns_of
from codecascade.tokens.messages import Message

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "claude": "assistant",
}
"""What files call the three roles, in lower case."""
_TOOL_ROLES = frozenset({"tool", "function", "observation", "ipython", "environment"})
_TOOL_WORDS = ("tool_", "tool-", "function_", "function-")
_CALLS = ("tool_calls", "function_call", "tool_call_id")
_READ = frozenset({*_CALLS, "name", "weight"})
"""The keys of a message that are looked at, besides role and content."""
_NO_CONTENT = _READ | {"id", "reasoning_content", "refusal", "timestamp", "date", "model"}
"""Keys with texts that are not what was said."""
_TAKE_OUT = 'take the line out, or set unusable = "skip", which counts such lines'


@dataclass(frozen=True)
class Usable:
    """A dialogue that can be trained on.

    Attributes:
        notes: how often each thing was done to read it (words of :func:`usable`).
        left_alone: keys of its messages that are not read, such as ``messages[].reasoning_content``.
    """

    dialogue: Dialogue
    notes: Counter[str]
    left_alone: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Checked:
    message: Message
    key: str
    trained: bool


def usable(row: Row, name: FormatName, settings: DialogueSource) -> Usable:
    """The dialogue that a row holds.

    Raises:
        UserError: it holds none that can be trained on (file, line, key and what to do are named).
    """
    if row.error is not None:
        raise row.error
    if not isinstance(row.value, dict):
        raise UserError(f"must be an object, not {type(row.value).__name__}", file=row.location)
    _refuse_unwanted(row.value, settings, row.location)
    notes: Counter[str] = Counter()
    turns = turns_of(row.value, name, settings, row.location)
    checked = [_checked(turn, settings, row.location, notes) for turn in turns]
    kept = _in_turn([each for each in checked if each is not None], settings, row.location, notes, name)
    answers = [index for index, each in enumerate(kept) if each.message.role == "assistant"]
    context = frozenset(index for index in answers if not kept[index].trained)
    if len(context) == len(answers):
        raise UserError(
            "has no answer with a weight above 0, so there is nothing to learn", file=row.location
        )
    notes["answers that are context only (weight 0)"] += len(context)
    left_alone = {
        f"{turn.key.partition('[')[0]}[].{key}"
        for turn in turns
        for key, value in turn.about.items()
        if value is not None and key not in _READ
    }
    dialogue = Dialogue.of([each.message for each in kept], context, row.location)
    return Usable(dialogue, +notes, frozenset(left_alone))


def _refuse_unwanted(row: Mapping[str, Any], settings: DialogueSource, location: str) -> None:
    """Refuse an answer that the row itself calls a bad one: training would make it likelier."""
    named = settings.columns.values()
    for key in LABELS:
        if key not in named and is_wanted(row.get(key)) is False:
            raise UserError(
                f"is false: preference data mark an answer so that is not to be learnt; {_TAKE_OUT}",
                file=location,
                key=key,
            )


def _checked(turn: Turn, settings: DialogueSource, location: str, notes: Counter[str]) -> _Checked | None:
    """A message whose role is known and whose content is text; None for an empty system message."""
    role = _role(turn, settings, location)
    for key in _CALLS:
        if is_filled(turn.about.get(key)):
            raise UserError(
                f"calls a tool, and dialogues with tools can't be trained on; {_TAKE_OUT}",
                file=location,
                key=f"{turn.key}.{key}",
            )
    key = f"{turn.key}.{turn.content_key}" if turn.content_key else turn.key
    if turn.content is None and (other := _other_text(turn)) is not None:
        raise UserError(
            f"is missing, and there is {short(other)}; if that is the text, name it in `columns`, such as "
            f"{{ content = {short(other)} }}",
            file=location,
            key=key,
        )
    text = _text(turn.content, key, location, notes)
    if not text.strip():
        if role == "system":
            notes["empty system messages, taken as none"] += 1
            return None
        raise UserError(f"must not be empty; {_TAKE_OUT}", file=location, key=key)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UserError("holds half of a surrogate pair, which is no text", file=location, key=key) from None
    if turn.about.get("name"):
        notes["names of speakers, which are not trained on"] += 1
    # Only answers are trained on, so the weight of another message says nothing.
    trained = _trained(turn, location) or role != "assistant"
    return _Checked(Message(role, text), _role_key(turn), trained)


def _other_text(turn: Turn) -> str | None:
    """The first key of a message, of those that are not read, under which there is a text."""
    return next(
        (key for key, value in turn.about.items() if isinstance(value, str) and key not in _NO_CONTENT), None
    )


def _role(turn: Turn, settings: DialogueSource, location: str) -> Role:
    key = _role_key(turn)
    if not isinstance(turn.role, str):
        found = "nothing" if turn.role is None else type(turn.role).__name__
        raise UserError(f"must be a string, not {found}", file=location, key=key)
    if turn.role in settings.roles:
        return settings.roles[turn.role]
    word = turn.role.strip().lower()
    if word in ROLES:
        return ROLES[word]
    if word in _TOOL_ROLES or word.startswith(_TOOL_WORDS):
        raise UserError(
            f"must be system, user or assistant, not {short(turn.role)}: dialogues with tools can't be trained on; "
            f"{_TAKE_OUT}",
            file=location,
            key=key,
        )
    raise UserError(
        f"must be system, user or assistant, not {short(turn.role)}; say which it is in `roles`, such as "
        f"{{ {short(turn.role)} = 'assistant' }}",
        file=location,
        key=key,
    )


def _role_key(turn: Turn) -> str:
    return f"{turn.key}.{turn.role_key}" if turn.role_key else turn.key


def _text(value: Any, key: str, location: str, notes: Counter[str]) -> str:
    """The text of a content: itself, or its text parts, a line break between two, as the server reads them."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise UserError("must be text, and is bytes that are not UTF-8", file=location, key=key) from None
    if not isinstance(value, list):
        found = "nothing" if value is None else type(value).__name__
        raise UserError(f"must be a string, not {found}; {_TAKE_OUT}", file=location, key=key)
    texts = []
    for index, part in enumerate(value):
        where = f"{key}[{index}]"
        if not isinstance(part, dict):
            raise UserError(
                f'must be a part such as {{"type": "text", "text": "..."}}, not {type(part).__name__}',
                file=location,
                key=where,
            )
        kind = part.get("type", "text" if isinstance(part.get("text"), str) else None)
        if kind not in ("text", "input_text", "output_text"):
            raise UserError(
                f"is a part of type {short(kind)}, and only text can be trained on; {_TAKE_OUT}",
                file=location,
                key=where,
            )
        if not isinstance(part.get("text"), str):
            found = type(part["text"]).__name__ if part.get("text") is not None else "nothing"
            raise UserError(f"must be a string, not {found}", file=location, key=f"{where}.text")
        texts.append(part["text"])
    notes["contents in several parts, joined by a line break"] += len(texts) > 1
    return "\n".join(texts)


def _trained(turn: Turn, location: str) -> bool:
    """Whether a message counts in the loss, by OpenAI's ``weight`` (0 or 1)."""
    weight = turn.about.get("weight")
    if weight is None:
        return True
    if isinstance(weight, bool) or weight not in (0, 1):
        raise UserError(f"must be 0 or 1 (got {short(weight)})", file=location, key=f"{turn.key}.weight")
    return bool(weight)


def _in_turn(
    messages: Sequence[_Checked],
    settings: DialogueSource,
    location: str,
    notes: Counter[str],
    name: FormatName,
) -> list[_Checked]:
    """The messages, of which user and assistant take turns; repaired as far as the settings ask for it."""
    kept: list[_Checked] = []
    for each in messages:
        role, last = each.message.role, kept[-1] if kept else None
        same = last is not None and last.message.role == role and last.trained == each.trained
        if last is not None and same and "join_same_role" in settings.repair:
            joined = Message(role, f"{last.message.content}\n\n{each.message.content}")
            kept[-1] = _Checked(joined, last.key, last.trained)
            notes["messages joined to the one before, of the same role"] += 1
        else:
            kept.append(each)
    start = int(bool(kept) and kept[0].message.role == "system")
    roles = [each.message.role for each in kept[start:]]
    if "drop_first_answer" in settings.repair and roles[:1] == ["assistant"]:
        del kept[start]
        notes["first answers left out, for nothing was asked"] += 1
    if "drop_last_request" in settings.repair and roles[-1:] == ["user"]:
        kept.pop()
        notes["last requests left out, for there is no answer"] += 1
    _check_turns(kept, start, location, name)
    return kept


def _check_turns(messages: Sequence[_Checked], start: int, location: str, name: FormatName) -> None:
    for index, each in enumerate(messages[start:]):
        expected = "assistant" if index % 2 else "user"
        if each.message.role == expected:
            continue
        if each.message.role == "system":
            what = "a system message comes first, and there is one at most; mend the line"
        elif index == 0:
            what = (
                'user and assistant take turns, the user first; repair = ["drop_first_answer"] leaves it out'
            )
        else:
            what = 'user and assistant take turns, the user first; repair = ["join_same_role"] joins two of one role'
        raise UserError(
            f"must be {expected!r}, not {each.message.role!r}: {what}", file=location, key=each.key
        )
    if len(messages) == start or messages[-1].message.role != "assistant":
        key = next(iter(LISTS.get(name, ("",)))) or None
        raise UserError(
            "must end with an answer of the assistant; "
            'repair = ["drop_last_request"] leaves out a request without one',
            file=location,
            key=key,
        )
