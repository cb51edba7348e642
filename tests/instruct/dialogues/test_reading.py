"""Dialogues in JSON lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codecascade.ground.errors import UserError
from codecascade.instruct.dialogues import Dialogue, read_dialogues
from codecascade.tokens.chat import Message

USER, ANSWER = {"role": "user", "content": "Hello?"}, {"role": "assistant", "content": "Hello."}


def write(path: Path, *rows: object) -> Path:
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return path


def test_dialogues_are_read_in_order_with_stable_ids(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    rows = [{"messages": [system, USER, ANSWER], "path": "x.py"}, {"messages": [USER, ANSWER, USER, ANSWER]}]
    table = read_dialogues(write(tmp_path / "a.jsonl", *rows))
    assert len(table) == 2
    assert table[0].messages == (
        Message("system", "Be brief."),
        Message("user", "Hello?"),
        Message("assistant", "Hello."),
    )
    again = read_dialogues(write(tmp_path / "b.jsonl", *rows))
    assert again.fingerprint == table.fingerprint and [d.id for d in again] == [d.id for d in table]
    turned = read_dialogues(write(tmp_path / "c.jsonl", *reversed(rows)))
    assert turned.fingerprint != table.fingerprint and {d.id for d in turned} == {d.id for d in table}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "x"}, r"messages: must be a list"),
        ({"messages": []}, r"messages: must be a list"),
        ({"messages": ["x"]}, r"messages\[0\]: must be an object, not str"),
        (
            {"messages": [USER, {"role": "assistant"}]},
            r"messages\[1\].content: must be a string, not nothing",
        ),
        (
            {"messages": [USER, {**ANSWER, "content": ["a"]}]},
            r"messages\[1\].content\[0\]: must be a part such as",
        ),
        ({"messages": [USER, {**ANSWER, "content": " \n"}]}, r"content: must not be empty"),
        ({"messages": [ANSWER, USER]}, r"messages\[0\].role: must be 'user', not 'assistant'"),
        ({"messages": [USER, USER]}, r"messages\[1\].role: must be 'assistant', not 'user'"),
        (
            {"messages": [USER, {"role": "tool", "content": "x"}]},
            r"role: must be system, user or assistant, not 'tool'",
        ),
        ({"messages": [USER, ANSWER, USER]}, r"must end with an answer"),
        ({"messages": [{"role": "system", "content": "s"}]}, r"must end with an answer"),
    ],
)
def test_what_is_no_dialogue_is_refused_by_file_and_line(tmp_path: Path, row: object, reason: str) -> None:
    path = write(tmp_path / "bad.jsonl", {"messages": [USER, ANSWER]}, row)
    with pytest.raises(UserError, match=rf"bad\.jsonl:2: .*{reason}"):
        read_dialogues(path)


def test_a_hash_tells_whose_answers_are_context_only() -> None:
    messages = [
        Message("user", "a"),
        Message("assistant", "b"),
        Message("user", "c"),
        Message("assistant", "d"),
    ]
    assert Dialogue.of(messages).id != Dialogue.of(messages, frozenset({1})).id


def test_no_file_no_lines_and_no_json(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such file"):
        read_dialogues(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n\n")
    with pytest.raises(UserError, match="holds no dialogues"):
        read_dialogues(tmp_path / "empty.jsonl")
    (tmp_path / "broken.jsonl").write_text('{"messages": [}\n')
    with pytest.raises(UserError, match=r"broken\.jsonl:1: is not valid JSON"):
        read_dialogues(tmp_path / "broken.jsonl")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {"messages": [USER, ANSWER]}, {"messages": [USER, ANSWER]})
    marked = tmp_path / "marked.jsonl"
    marked.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_dialogues(marked).fingerprint == read_dialogues(path).fingerprint
    marked.write_bytes(path.read_text().encode("utf-16"))
    with pytest.raises(UserError, match="is text in UTF-16"):
        read_dialogues(marked)
