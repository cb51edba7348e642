"""Questions in what models write: lists, bullets, JSON and paragraphs, with prose around; whole or cut off."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.instruct.self_instruct.questions.cleaning import ONLY_CODE, TOO_LONG, TOO_SHORT
from codecascade.instruct.self_instruct.questions.parsing import UNFINISHED, parse_questions

ADD = "Write a function that adds two numbers."
CUT = "Write a function that cuts a text into words."
SUM = "Given a list of numbers, return the sum of the two largest."
THREE = (ADD, CUT, SUM)


@pytest.mark.parametrize(
    "answer",
    [
        f"1. {ADD}\n2. {CUT}\n3. {SUM}",
        f"Sure! Here are 3 questions:\n\n1. {ADD}\n\n2. {CUT}\n\n3. {SUM}\n\nI hope that these help!",
        f"1) {ADD}\n2) {CUT}\n3) {SUM}",
        f"(1) {ADD}\n(2) {CUT}\n(3) {SUM}",
        f"  1: {ADD}\n  2: {CUT}\n  3: {SUM}",
        f"7. {ADD}\n8. {CUT}\n9. {SUM}",
        f"1. {ADD}\n1. {CUT}\n1. {SUM}",
        f"**1.** {ADD}\n**2.** {CUT}\n**3.** {SUM}",
        f"1. **{ADD}**\n2. **{CUT}**\n3. **{SUM}**",
        f"1\ufe0f\u20e3 {ADD}\n2\ufe0f\u20e3 {CUT}\n3\ufe0f\u20e3 {SUM}",
        f"### Question 1\n{ADD}\n\n### Question 2\n{CUT}\n\n### Question 3\n{SUM}\n",
        f"Question 1: {ADD}\nQuestion 2: {CUT}\nQuestion 3: {SUM}",
        f"Q1. {ADD}\nQ2. {CUT}\nQ3. {SUM}",
        f"1. Easy: {ADD}\n2. (Medium) {CUT}\n3. Difficulty: easy - {SUM}",
        f'1. "{ADD}"\n2. “{CUT}”\n3. {SUM}',
        f"- {ADD}\n- {CUT}\n- {SUM}\n\nTell me if you need more.",
        f"* {ADD}\n* {CUT}\n* {SUM}",
        f"• {ADD}\n• {CUT}\n• {SUM}",
        f"{ADD}\n\n{CUT}\n\n{SUM}\n\nThese cover many things.",
        f"1. {ADD}\r\n2. {CUT}\r\n3. {SUM}\r\n",
        f"\ufeff1. {ADD}\n2. \u202e{CUT}\n3. {SUM}\x1b",
        json.dumps(THREE),
        json.dumps(THREE, indent=2),
        f"Here they are:\n```json\n{json.dumps(THREE)}\n```\nBye.",
        json.dumps({"questions": [{"id": i, "question": text} for i, text in enumerate(THREE)]}),
        json.dumps([{"Problem": text, "difficulty": "easy"} for text in THREE]),
        json.dumps({"1": ADD, "2": CUT, "3": SUM}),
        "\n".join(json.dumps({"instruction": text}) for text in THREE),
        f"1. {ADD}\n\nSolution:\n```python\ndef add(a, b):\n    return a + b\n```\n\n2. {CUT}\n\n"
        f"```python\ndef cut(text):\n    return text.split()\n```\n\n3. {SUM}\n\nAnswer: sort them.",
    ],
)
def test_every_form_gives_the_same_questions(answer: str) -> None:
    assert parse_questions(answer).questions == THREE


def test_what_is_numbered_inside_of_a_question_belongs_to_it() -> None:
    answer = f"1. {ADD}\n   1. Ints stay ints.\n   2. Floats stay floats.\n2. {CUT}\n```\n1. no item\n```"
    first, second = parse_questions(answer).questions
    assert first.splitlines() == [ADD, "1. Ints stay ints.", "2. Floats stay floats."]
    assert second == f"{CUT}\n```\n1. no item\n```"
    assert parse_questions("1. Round to 2\n3.5 is half of seven, so write a function for it.").questions == (
        "Round to 2\n3.5 is half of seven, so write a function for it.",
    )


@pytest.mark.parametrize("numbers", [(1, 2, 3, 5, 6), (1, 5), (998, 999, 1000, 1001), (1, 3, 4, 8)])
def test_numbers_that_a_list_leaves_out_are_no_end(numbers: tuple[int, ...]) -> None:
    asked = tuple(f"Write a function that returns the number {number}." for number in numbers)
    answer = "\n".join(f"{number}. {text}" for number, text in zip(numbers, asked, strict=True))
    assert parse_questions(answer).questions == asked


@pytest.mark.parametrize(
    ("answer", "rest"),
    [
        (f"1. {ADD}\n2. {SUM}\n5. or so.\n3. {CUT}", f"{SUM}\n5. or so."),
        (f"13) {ADD}\n14) {SUM}\n(1) small\n(2) quick\n15) {CUT}", f"{SUM}\n(1) small\n(2) quick"),
        (
            f"### Question 1\n{ADD}\n### Question 2\n{SUM}\n1. small\n2. quick\n3. short\n### Question 3\n{CUT}",
            f"{SUM}\n1. small\n2. quick\n3. short",
        ),
    ],
)
def test_numbers_of_another_kind_or_place_belong_to_an_item(answer: str, rest: str) -> None:
    assert parse_questions(answer).questions == (ADD, rest, CUT)


def test_a_title_stays_with_its_question() -> None:
    answer = f"### 1. Sums\n\n{ADD}\n\n### 2. Texts\n\n{CUT}\n"
    assert parse_questions(answer).questions == (f"Sums\n\n{ADD}", f"Texts\n\n{CUT}")


def test_stars_of_code_are_no_bold() -> None:
    question = "Write a function `power(x, y)` that returns `x**y` for **positive** numbers `x**2` too."
    assert parse_questions(f"1. {question}").questions == (question.replace("**positive**", "positive"),)


@pytest.mark.parametrize(
    "answer", [f"1. {ADD}\n2. {CUT}\n3. Given a list of numbers, return", f'["{ADD}", "{CUT}", "Given a list']
)
def test_the_item_that_the_limit_cut_off_is_left_out(answer: str) -> None:
    found = parse_questions(answer, finished=False)
    assert found.questions == (ADD, CUT)
    assert [reason for _, reason in found.left_out] == [UNFINISHED] * answer.startswith("1")


def test_a_json_list_that_ended_before_the_limit_loses_nothing() -> None:
    assert parse_questions(json.dumps(THREE), finished=False).questions == THREE


def test_items_that_are_no_questions_are_named() -> None:
    long = "Write a function that " + "does this and that " * 200
    answer = f"1. {ADD}\n2. Lists.\n3. {long}\n4. ```python\nprint('a', 'b', 'c', 'd', 'e')\n```"
    found = parse_questions(answer)
    assert found.questions == (ADD,)
    assert [reason for _, reason in found.left_out] == [TOO_SHORT, TOO_LONG, ONLY_CODE]


@pytest.mark.parametrize(
    "answer", ["", "No.", "I can't help with that.", "[1, 2, 3]", "{}", "\x00\x01", "1."]
)
def test_nothing_usable_gives_nothing(answer: str) -> None:
    assert parse_questions(answer).questions == ()


@pytest.mark.parametrize(
    "answer",
    [
        "1. " * 1_000_000,
        "1.\n" * 500_000,
        "1.\n" + "2.\n" * 500_000,
        "".join(f"{n % 9999}.\n" for n in range(1, 300_000, 3)),
        "[" * 1_000_000,
        '{"a":' * 200_000,
        "```" * 500_000,
        "**" * 1_000_000,
        " " * 2_000_000,
        "\n" * 2_000_000,
        "- \n" * 500_000,
        "question " * 200_000,
        '"' * 1_000_000,
        "1. (" + "easy " * 200_000,
        "def f:\n" * 200_000,
    ],
    ids=lambda text: text[:10],
)
def test_hostile_answers_take_no_time(answer: str) -> None:
    start = time.process_time()
    parse_questions(answer)
    assert time.process_time() - start < 5


@given(st.text(max_size=300), st.booleans())
def test_any_text_is_read(answer: str, finished: bool) -> None:
    for question in parse_questions(answer, finished=finished).questions:
        assert question == question.strip()
        assert question.encode()
