"""What can't be trained on is refused by file, line and key, or skipped and counted; never dropped silently."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from work import grows_linearly

from codecascade.ground.errors import UserError
from codecascade.instruct.dialogues import checking
from codecascade.instruct.dialogues.checking import DialogueChecker
from codecascade.instruct.dialogues.reading import FileRows, read_source
from codecascade.instruct.dialogues.rows import read_rows
from codecascade.instruct.dialogues.settings import DialogueSource
from codecascade.instruct.dialogues.usable import usable
from codecascade.tokens.chat import DialogueTokens
from codecascade.tokens.training import train_tokenizer

USER, ANSWER = {"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}
GOOD = {"messages": [USER, ANSWER]}
CALL = {"function": {"name": "f", "arguments": "{}"}}
BAD: list[tuple[Any, str]] = [
    ("no object", "must be an object, not str"),
    ([USER, ANSWER], "must be an object, not list"),
    (None, "must be an object, not NoneType"),
    ({"messages": [USER, {"role": "assistant", "content": None}]}, r"messages\[1\]\.content: .* not nothing"),
    (
        {"messages": [{"role": "user", "text": "x"}, ANSWER]},
        r"messages\[0\]\.content: is missing, and there is 'text'; .* `columns`, such as \{ content = 'text' \}",
    ),
    (
        {"messages": [USER, {"role": "assistant", "content": None, "reasoning_content": "x"}]},
        r"messages\[1\]\.content: .* not nothing",
    ),
    ({"messages": [USER, {"role": "assistant", "content": 5}]}, r"content: must be a string, not int"),
    ({"messages": [USER, {"role": "assistant", "content": {"text": "x"}}]}, r"content: must be a string, not dict"),
    ({"messages": [{"role": None, "content": "x"}, ANSWER]}, r"messages\[0\]\.role: must be a string, not nothing"),
    ({"messages": [{"role": "narrator", "content": "x"}, ANSWER]}, r"not 'narrator'; say which it is in `roles`"),
    ({"messages": [USER, {"role": "tool", "content": "x"}, ANSWER]}, "dialogues with tools can't be trained on"),
    ({"messages": [USER, {"role": "function_call", "content": "x"}, ANSWER]}, "dialogues with tools"),
    ({"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [CALL]}]}, r"_calls: calls a tool"),
    ({"messages": [USER, {**ANSWER, "function_call": CALL}]}, r"\.function_call: calls a tool"),
    ({"messages": [USER, ANSWER], "tools": [CALL]}, "tools: offers tools"),
    (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, ANSWER]},
        r"messages\[0\]\.content\[0\]: is a part of type 'image_url', and only text",
    ),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}, ANSWER]}, r"content\[0\]\.text: .* not nothing"),
    ({"messages": [{"role": "user", "content": []}, ANSWER]}, r"content: must not be empty"),
    ({"messages": [{"role": "user", "content": " \n"}, ANSWER]}, r"messages\[0\]\.content: must not be empty"),
    ({"messages": [ANSWER, USER, ANSWER]}, r"repair = \[\"drop_first_answer\"\] leaves it out"),
    ({"messages": [USER, USER, ANSWER]}, r"repair = \[\"join_same_role\"\]"),
    ({"messages": [USER, ANSWER, USER]}, r"repair = \[\"drop_last_request\"\]"),
    ({"messages": [USER, ANSWER, {"role": "system", "content": "s"}]}, "a system message comes first"),
    ({"messages": [{"role": "system", "content": "s"}]}, "must end with an answer"),
    ({"system": "a", "messages": [{"role": "system", "content": "b"}, USER, ANSWER]}, "system: is another system"),
    ({"messages": "not JSON"}, "messages: must be a list"),
    ({"messages": "[{]"}, "messages: must be a list .*no JSON"),
    ({"messages": {"role": ["user"], "content": ["a", "b"]}}, "messages: must be a list"),
    ({"messages": [["user", "x"]]}, r"messages\[0\]: must be an object, not list"),
    ({"messages": [{"role": "user", "content": "\ud800"}, ANSWER]}, "half of a surrogate pair"),
    ({"messages": [USER, ANSWER], "label": False}, "label: is false: preference data mark an answer so"),
    ({"messages": [USER, ANSWER], "kto_tag": "False"}, "kto_tag: is false: preference data"),
]  # fmt: skip


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


@pytest.mark.parametrize(("row", "why"), BAD)
def test_a_line_is_refused_or_skipped_and_counted(tmp_path: Path, row: Any, why: str) -> None:
    path = write(tmp_path / "bad.jsonl", GOOD, row, GOOD)
    with pytest.raises(UserError, match=rf"^{path}:2: (?s:.*){why}"):
        read_source(DialogueSource(source=str(path)))
    found = read_source(DialogueSource(source=str(path), unusable="skip"))
    assert len(found.table) == 2
    assert found.skipped.total() == 1


OTHERS: list[tuple[str, Any, str]] = [
    ("alpaca", {"instruction": "x", "output": ""}, "output: must not be empty"),
    ("alpaca", {"instruction": "x", "output": None}, "output: must be a string, not nothing"),
    ("alpaca", {"instruction": 5, "output": "x"}, "instruction: must be a string, not int"),
    ("alpaca", {"instruction": "x", "input": ["y"], "output": "x"}, "input: must be text"),
    ("alpaca", {"instruction": "x", "output": "x", "history": [["a"]]}, r"history\[0\]: must be a pair"),
    ("alpaca", {"instruction": "x", "output": "x", "history": "a"}, "history: must be a list of pairs"),
    ("pairs", {"prompt": "x"}, "completion: must be a string, not nothing"),
    ("pairs", {"question": "x", "answer": 42}, "answer: must be a string, not int"),
    ("sharegpt", {"conversations": [{"from": "human", "value": None}]}, r"conversations\[0\]\.value: must be"),
    ("sharegpt", {"conversations": [{"from": "alien", "value": "x"}]}, r"conversations\[0\]\.from: .*'alien'"),
    ("sharegpt", {"conversations": [{"from": "observation", "value": "x"}]}, ".*dialogues with tools"),
    ("sharegpt", {"conversations": []}, "conversations: must be a list"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "row", "why"), OTHERS)
def test_each_format_names_its_own_keys(tmp_path: Path, name: Any, row: Any, why: str) -> None:
    path = write(tmp_path / "bad.jsonl", row)
    with pytest.raises(UserError, match=rf"bad\.jsonl:1: {why}"):
        read_source(DialogueSource(source=str(path), format=name))


@pytest.mark.parametrize("label", [True, "true", None, 0, 3, "joke"])
def test_other_labels_say_nothing_against_an_answer(tmp_path: Path, label: Any) -> None:
    path = write(tmp_path / "pairs.jsonl", {"prompt": "a", "completion": "b", "label": label})
    assert len(read_source(DialogueSource(source=str(path))).table) == 1
    left_alone = DialogueChecker(DialogueSource(source=str(path))).check(str(path)).left_alone
    assert dict(left_alone) == ({} if label in (True, "true", None) else {"label": 1})


def test_answers_that_are_not_wanted_are_left_out_of_pairs(tmp_path: Path) -> None:
    rows = [{"prompt": f"a{n}", "completion": "b", "label": n != 1} for n in range(3)]
    path = write(tmp_path / "kto.jsonl", *rows)
    with pytest.raises(UserError, match=r'kto\.jsonl:2: label: is false.*unusable = "skip"'):
        read_source(DialogueSource(source=str(path)))
    found = read_source(DialogueSource(source=str(path), unusable="skip"))
    assert [dialogue.messages[0].content for dialogue in found.table] == ["a0", "a2"]
    assert found.skipped.total() == 1


def test_a_file_of_which_nothing_is_left_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "bad.jsonl", {"messages": []}, {"messages": [USER]})
    with pytest.raises(UserError, match="holds no dialogue that can be used: messages: must be a list"):
        read_source(DialogueSource(source=str(path), unusable="skip"))


def test_a_limit_draws_the_same_dialogues_and_keeps_their_order(tmp_path: Path) -> None:
    rows = [{"prompt": f"q{number}", "completion": "a"} for number in range(50)]
    path = write(tmp_path / "a.jsonl", *rows)
    some = read_source(DialogueSource(source=str(path), limit=10)).table
    more = read_source(DialogueSource(source=str(path), limit=20)).table
    numbers = [int(dialogue.messages[0].content[1:]) for dialogue in some]
    assert len(numbers) == 10 and numbers == sorted(numbers) and numbers != list(range(10))
    assert {dialogue.id for dialogue in some} < {dialogue.id for dialogue in more}


def test_two_system_messages_are_never_reduced_to_one(tmp_path: Path) -> None:
    def read(row: Any, **settings: Any) -> list[str]:
        path = tmp_path / "data.jsonl"
        path.write_text(json.dumps(row) + "\n")
        found = read_source(DialogueSource(source=str(path), **settings)).table[0]
        return [message.content for message in found.messages if message.role == "system"]

    pair = {"prompt": "a", "completion": "b"}
    with pytest.raises(
        UserError, match=r"data\.jsonl:1: system_prompt: is another system message than system"
    ):
        read({**pair, "system": "One.", "system_prompt": "Two."})
    assert read({**pair, "system": "One.", "system_prompt": "One."}) == ["One."]
    assert read({**pair, "system": " ", "system_prompt": "Two."}) == ["Two."]
    assert read({**pair, "system": "One.", "system_prompt": "Two."}, columns={"system": "system"}) == ["One."]
    for role in ("system", "developer", "boss"):
        own = [{"role": role, "content": "Mine."}, USER, ANSWER]
        with pytest.raises(UserError, match=r"system: is another system message than messages\[0\]"):
            read({"messages": own, "system": "One."}, roles={"boss": "system"})
        # An empty one is none.
        own[0] = {"role": role, "content": ""}
        assert read({"messages": own, "system": "One."}, roles={"boss": "system"}) == ["One."]


def test_a_column_that_would_change_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(json.dumps({**GOOD, "context": "c"}) + "\n" + json.dumps({**GOOD, "sys": "s"}) + "\n")
    with pytest.raises(UserError, match="read as 'messages', which has no `input`"):
        read_source(DialogueSource(source=str(path), columns={"input": "context"}))
    with pytest.raises(UserError, match="no row has the key 'sytem', which `columns` names as `system`"):
        read_source(DialogueSource(source=str(path), columns={"system": "sytem"}))
    assert (
        len(read_source(DialogueSource(source=str(path), columns={"system": "sys"})).table[1].messages) == 3
    )


def test_counting_tokens_takes_time_in_proportion_to_the_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "dialogue_tokens", lambda *_: DialogueTokens([1], [1]))
    monkeypatch.setattr(checking, "each_row", lambda rows, _: rows.rows)
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(GOOD) + "\n")
    source = DialogueSource(source=str(path))
    row = next(read_rows(str(path)))
    one = (row, usable(row, "messages", source))
    tokenizer = train_tokenizer(["x"], 300, "bytes")

    def check(lines: str) -> None:
        monkeypatch.setattr(
            checking, "open_file", lambda *_: FileRows(str(path), "messages", iter([one] * len(lines)))
        )
        found = DialogueChecker(source, tokenizer).check(str(path))
        assert found.tokens is not None and found.tokens.most == 1

    assert grows_linearly(check, lambda size: "x" * size, size=3_000)
