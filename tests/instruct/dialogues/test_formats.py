"""The formats of public dialogues: each is known by its keys, and read rightly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codecascade.ground.errors import UserError
from codecascade.instruct.dialogues.reading import ReadDialogues, read_source
from codecascade.instruct.dialogues.settings import DialogueSource

Turns = list[tuple[str, str]]


def read(tmp_path: Path, *rows: object, **changes: Any) -> ReadDialogues:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return read_source(DialogueSource(source=str(path), **changes))


def turns(read: ReadDialogues, index: int = 0) -> Turns:
    return [(message.role, message.content) for message in read.table[index].messages]


def messages(*turns: tuple[str, Any]) -> list[dict[str, Any]]:
    return [{"role": role, "content": content} for role, content in turns]


ASKED = [("user", "Hi?"), ("assistant", "Hi.")]
BRIEF = [("system", "Be brief."), *ASKED]
ROWS: dict[str, tuple[object, str, Turns]] = {
    "messages": ({"messages": messages(*BRIEF)}, "messages", BRIEF),
    "a developer is the system": (
        {"messages": messages(("developer", "Be brief."), *ASKED)},
        "messages",
        BRIEF,
    ),
    "text parts": (
        {
            "messages": messages(
                ("user", [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]),
                ("assistant", [{"type": "output_text", "text": "c"}]),
            )
        },
        "messages",
        [("user", "a\nb"), ("assistant", "c")],
    ),
    "messages as a text of JSON": ({"messages": json.dumps(messages(*BRIEF))}, "messages", BRIEF),
    "messages as columns": (
        {"messages": {"role": ["user", "assistant"], "content": ["Hi?", "Hi."]}},
        "messages",
        ASKED,
    ),
    "nulls of other rows' keys": (
        {"messages": [{**m, "name": None, "tool_calls": None} for m in messages(*ASKED)], "tools": None},
        "messages",
        ASKED,
    ),
    "a system column beside messages": (
        {"system": "Be brief.", "messages": messages(*ASKED)},
        "messages",
        BRIEF,
    ),
    "sharegpt": (
        {
            "conversations": [
                {"from": "system", "value": "Be brief."},
                {"from": "human", "value": "Hi?"},
                {"from": "gpt", "value": "Hi."},
            ]
        },
        "sharegpt",
        BRIEF,
    ),
    "sharegpt, other spellings": (
        {
            "system": "",
            "conversation": [{"from": "Human", "value": "Hi?"}, {"from": "ChatGPT", "value": "Hi."}],
        },
        "sharegpt",
        ASKED,
    ),
    "sharegpt with OpenAI's keys": ({"conversations": messages(*ASKED)}, "sharegpt", ASKED),
    "alpaca": ({"instruction": "Hi?", "input": "", "output": "Hi."}, "alpaca", ASKED),
    "alpaca without input": ({"instruction": "Hi?", "input": None, "response": "Hi."}, "alpaca", ASKED),
    "alpaca with input": (
        {"instruction": "Sum.", "input": "1 2", "output": "3"},
        "alpaca",
        [("user", "Sum.\n\n1 2"), ("assistant", "3")],
    ),
    "alpaca with history and system": (
        {"instruction": "c", "output": "d", "system": "s", "history": [["a", "b"]]},
        "alpaca",
        [("system", "s"), ("user", "a"), ("assistant", "b"), ("user", "c"), ("assistant", "d")],
    ),
    "prompt and completion": ({"prompt": "Hi?", "completion": "Hi.", "n": 1}, "pairs", ASKED),
    "question and answer": (
        {"system_prompt": "Be brief.", "question": "Hi?", "answer": "Hi."},
        "pairs",
        BRIEF,
    ),
    "prompt and completion of messages": (
        {"prompt": messages(BRIEF[0], ASKED[0]), "completion": messages(ASKED[1])},
        "pairs",
        BRIEF,
    ),
    "input and output": ({"input": "Hi?", "output": "Hi."}, "pairs", ASKED),
}


@pytest.mark.parametrize("name", ROWS)
def test_each_format_is_known_by_its_keys(tmp_path: Path, name: str) -> None:
    row, kind, expected = ROWS[name]
    found = read(tmp_path, row)
    assert turns(found) == expected
    assert list(found.formats.values()) == [kind]


def test_columns_and_roles_of_any_name(tmp_path: Path) -> None:
    found = read(tmp_path, {"problem": "Hi?", "fix": "Hi."}, columns={"user": "problem", "assistant": "fix"})
    assert turns(found) == ASKED
    found = read(
        tmp_path,
        {
            "dialog": [{"who": "CUSTOMER", "says": "Hi?"}, {"who": "AGENT", "says": "Hi."}],
            "about": "Be brief.",
        },
        columns={"messages": "dialog", "role": "who", "content": "says", "system": "about"},
        roles={"CUSTOMER": "user", "AGENT": "assistant"},
    )
    assert turns(found) == BRIEF
    found = read(
        tmp_path,
        {"task": "Sum.", "data": "1 2", "result": "3"},
        columns={"user": "task", "input": "data", "assistant": "result"},
    )
    assert turns(found) == [("user", "Sum.\n\n1 2"), ("assistant", "3")]


def test_a_named_format_comes_before_the_keys(tmp_path: Path) -> None:
    row = {"messages": messages(*ASKED), "prompt": "p", "completion": "c"}
    assert turns(read(tmp_path, row)) == ASKED
    assert turns(read(tmp_path, row, format="pairs")) == [("user", "p"), ("assistant", "c")]


def test_a_file_of_no_known_format_names_its_keys(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.jsonl: is of no known format \(its keys are text, id\)"):
        read(tmp_path, {"text": "a", "id": "b"})
    with pytest.raises(UserError, match=r"no known format \(it has no objects\)"):
        read(tmp_path, "a", 2)


def test_of_preferences_the_chosen_answers_are_read_where_that_is_said(tmp_path: Path) -> None:
    row = {"prompt": "a", "chosen": "b", "rejected": "c"}
    with pytest.raises(
        UserError, match=r"holds preferences.*\{ user = \"prompt\", assistant = \"chosen\" \}"
    ):
        read(tmp_path, row)
    found = read(tmp_path, row, columns={"user": "prompt", "assistant": "chosen"})
    assert found.table[0].messages[1].content == "b"


def test_weights_of_answers_are_kept(tmp_path: Path) -> None:
    turn = [*messages(*ASKED), *messages(*ASKED)]
    found = read(
        tmp_path, {"messages": [turn[0], {**turn[1], "weight": 0}, turn[2], {**turn[3], "weight": 1.0}]}
    )
    assert found.table[0].without_loss == {1}
    assert found.notes == {"answers that are context only (weight 0)": 1}
    with pytest.raises(UserError, match=r"messages\[1\]\.weight: must be 0 or 1 \(got 0\.5\)"):
        read(tmp_path, {"messages": [turn[0], {**turn[1], "weight": 0.5}]})
    with pytest.raises(UserError, match="has no answer with a weight above 0"):
        read(tmp_path, {"messages": [turn[0], {**turn[1], "weight": 0}]})


def test_repairs_are_made_where_they_are_asked_for_and_counted(tmp_path: Path) -> None:
    row = {
        "messages": messages(
            ("assistant", "Welcome."), ("user", "a"), ("user", "b"), ("assistant", "c"), ("user", "d")
        )
    }
    for repair in ((), ("join_same_role",), ("join_same_role", "drop_first_answer")):
        with pytest.raises(UserError, match="repair = "):
            read(tmp_path, row, repair=repair)
    found = read(tmp_path, row, repair=("join_same_role", "drop_first_answer", "drop_last_request"))
    assert turns(found) == [("user", "a\n\nb"), ("assistant", "c")]
    assert sorted(found.notes.values()) == [1, 1, 1] and len(found.notes) == 3


def test_an_answer_that_is_learnt_is_not_joined_to_one_that_is_context(tmp_path: Path) -> None:
    user, answer = messages(*ASKED)
    row = {"messages": [user, {**answer, "weight": 0}, answer]}
    with pytest.raises(UserError, match=r"messages\[2\]\.role: must be 'user', not 'assistant'"):
        read(tmp_path, row, repair=("join_same_role",))
    row["messages"][2]["weight"] = 0
    row["messages"] += messages(*ASKED)
    assert read(tmp_path, row, repair=("join_same_role",)).table[0].without_loss == {1}


def test_the_weight_of_a_request_says_nothing(tmp_path: Path) -> None:
    asked = [{"role": "user", "content": "a", "weight": 0}, *messages(("user", "b"), ("assistant", "c"))]
    found = read(tmp_path, {"messages": asked}, repair=("join_same_role",))
    assert turns(found) == [("user", "a\n\nb"), ("assistant", "c")]


def test_an_input_without_an_instruction_is_the_request(tmp_path: Path) -> None:
    found = read(tmp_path, {"instruction": "", "input": "2 + 2?", "output": "4"})
    assert turns(found) == [("user", "2 + 2?"), ("assistant", "4")]


def test_what_was_done_to_read_a_line_is_counted(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    row = {"messages": [{"role": "user", "content": parts, "name": "Ann"}, *messages(("assistant", "c"))]}
    found = read(tmp_path, row, {"messages": messages(("system", ""), *ASKED)})
    assert found.notes == {
        "contents in several parts, joined by a line break": 1,
        "names of speakers, which are not trained on": 1,
        "empty system messages, taken as none": 1,
    }
    assert turns(found, 1) == ASKED


texts = st.text(min_size=1, max_size=30).filter(str.strip)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=st.lists(st.tuples(texts, texts), min_size=1, max_size=4), system=st.one_of(st.none(), texts))
def test_all_formats_say_the_same(tmp_path: Path, pairs: list[tuple[str, str]], system: str | None) -> None:
    """The same dialogue in every format that can hold it is the same dialogue."""
    told = [turn for user, answer in pairs for turn in (("user", user), ("assistant", answer))]
    begun = [("system", system)] if system is not None else []
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    (question, answer), history = pairs[-1], [list(pair) for pair in pairs[:-1]]
    rows: list[object] = [
        {"messages": messages(*begun, *told)},
        {"conversations": [{"from": names[role], "value": text} for role, text in [*begun, *told]]},
        {"instruction": question, "output": answer, "history": history, "system": system},
        {"system": system, "prompt": messages(*told[:-1]), "completion": messages(told[-1])},
    ]
    read_all = [read(tmp_path, row) for row in rows]
    assert {found.table.fingerprint for found in read_all} == {read_all[0].table.fingerprint}
    assert turns(read_all[0]) == [*begun, *told]


@pytest.mark.parametrize(
    "columns",
    [{"user": "instruction", "assistant": "clean"}, {"assistant": "clean"}, {"user": "instruction"}],
)
def test_an_alpaca_file_whose_answer_is_named_keeps_its_input(
    tmp_path: Path, columns: dict[str, str]
) -> None:
    row = {"instruction": "Sum it.", "input": "1 2", "output": "three", "clean": "3", "prompt": "Sum it."}
    found = read(tmp_path, row, columns=columns)
    answer = "3" if "assistant" in columns else "three"
    assert turns(found) == [("user", "Sum it.\n\n1 2"), ("assistant", answer)]
    assert [*found.formats.values()] == ["alpaca"]


@pytest.mark.parametrize(
    "nothing", [None, "", "[]", "null", " { } ", [], {}, {"name": None, "arguments": ""}]
)
def test_tools_that_are_none_are_written_in_many_ways(tmp_path: Path, nothing: Any) -> None:
    asked, answer = messages(*ASKED)
    row = {
        "messages": [asked, {**answer, "tool_calls": nothing, "function_call": nothing}],
        "tools": nothing,
        "functions": nothing,
    }
    assert turns(read(tmp_path, row)) == ASKED


@pytest.mark.parametrize("same", ["Be brief.\n", [{"type": "text", "text": "Be brief."}]])
def test_one_system_message_may_be_written_in_two_ways(tmp_path: Path, same: Any) -> None:
    inside = {"system": "Be brief.", "messages": messages(("system", same), *ASKED)}
    columns = {"system": same, "system_prompt": "Be brief.", "messages": messages(*ASKED)}
    for row in (inside, columns):
        found = turns(read(tmp_path, row))
        assert [(role, text.strip()) for role, text in found] == BRIEF
