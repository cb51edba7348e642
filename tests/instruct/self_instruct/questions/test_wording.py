"""The same question, alike questions, and questions of benchmarks."""

from __future__ import annotations

import pytest

from codecascade.corpus.steps.decontamination import BenchmarkTexts
from codecascade.instruct.self_instruct.questions.contamination import BenchmarkCheck, statements_of
from codecascade.instruct.self_instruct.questions.wording import AlikeIndex, normal_form, question_id

REVERSE = "Write a Python function that reverses the words of a sentence but keeps their letters."


@pytest.mark.parametrize(
    "other",
    [
        REVERSE.upper(),
        REVERSE.replace(" ", "  \n"),
        REVERSE.removesuffix(".") + " !",
        f'"{REVERSE}"',
        REVERSE.replace("f", "\uff46"),
    ],
)
def test_the_same_question(other: str) -> None:
    assert question_id(other) == question_id(REVERSE)


def test_other_questions_are_not_the_same() -> None:
    assert question_id(REVERSE) != question_id(REVERSE.replace("words", "word"))
    assert question_id("Add 12 and 3.") != question_id("Add 1 and 23.")
    assert question_id("反转一个字符串") != question_id("反转一个列表")
    assert question_id("?!") == ""
    assert normal_form("Straße, CAFÉ") == "strasse café"


def test_alike_questions() -> None:
    index = AlikeIndex(0.75)
    index.add("a", REVERSE)
    index.add("b", "Write a function that returns the second largest number of a list of integers.")
    index.add("c", "Reverse a string.")
    match = index.match(
        "Implement a function which reverses words in a given sentence, keeping letters as they are."
    )
    assert match is not None
    assert match[0] == "a"
    assert 0.75 <= match[1] < 1
    assert index.match("Given a list of integers, find the second smallest number.") is None
    assert index.match("Please write a function reversing the given strings!") == ("c", 1.0)
    assert index.match("Reverse a list.") is None, "of two words, one other is another question"
    assert index.match("a of the") is None


def test_of_two_that_are_equally_alike_the_first_is_named() -> None:
    index = AlikeIndex(0.5)
    index.add("first", "sort numbers by digits")
    index.add("second", "sort numbers by digits")
    assert index.match("sort the numbers by their digits") == ("first", 1.0)


HUMANEVAL = '''from typing import List


def below_all(numbers: List[int], limit: int) -> bool:
    """ Tell whether all of the given measurements lie below the limit that the operator has set.
    >>> below_all([1, 2], 3)
    True
    """
'''
MBPP = "Write a function to count the peaks of a mountain range."
LONG = (
    "A gardener plants tulips in n rows. Every row has one more tulip than the row before it, and the first row has "
    "k. After each storm the last row is lost. Read n, k and the number of storms, and print how many tulips stay."
)
CHECK = BenchmarkCheck(
    BenchmarkTexts(
        {"H/0/prompt": HUMANEVAL, "M/1/text": MBPP, "M/1/code": "def peaks(x):\n  return 1", "A/2": LONG}
    ),
    overlap=0.5,
    alike=0.8,
)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        (HUMANEVAL, "H/0/prompt"),
        (
            "Tell whether all of the given measurements lie below the limit that the operator has set.",
            "H/0/prompt",
        ),
        (
            "Write a function that tells if all measurements lie below a limit which an operator set.",
            "H/0/prompt",
        ),
        (MBPP, "M/1/text"),
        (
            "Write a function that counts the peaks of a mountain range. If there is none, return 0.",
            "M/1/text",
        ),
        ("Given a mountain range, write a function that returns how to count its peaks.", "M/1/text"),
        ("Consider this. " + LONG[: len(LONG) // 2], "A/2"),
        (
            LONG + " Explain your answer. Use no loops. Think about storms that come more often than rows.",
            "A/2",
        ),
    ],
)
def test_a_question_of_a_benchmark_is_found(question: str, name: str) -> None:
    assert CHECK.match(question) == name


@pytest.mark.parametrize(
    "question",
    [
        "Write a function that counts the valleys between the two highest peaks of a list of heights.",
        "A gardener plants tulips in rows of equal length. Return the number of rows.",
        "You are given a list of integers. Return how often the most frequent one occurs.",
        "Write a function that takes a list of integers and returns the sum of the even ones.",
    ],
)
def test_another_question_is_not(question: str) -> None:
    assert CHECK.match(question) is None


def test_without_benchmarks_nothing_is_found() -> None:
    assert BenchmarkCheck(BenchmarkTexts(), overlap=0.5, alike=0.8).match(MBPP) is None


def test_code_states_nothing() -> None:
    assert list(statements_of("def f(x):\n    return x")) == []
    assert list(statements_of("assert f(1) == 2")) == []
    (statement,) = statements_of(HUMANEVAL)
    assert statement.startswith("Tell whether") and ">>>" not in statement
