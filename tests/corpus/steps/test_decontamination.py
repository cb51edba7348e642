"""Benchmark texts are found whatever their spacing, and nothing else is."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from codecascade.corpus.steps.decontamination import LENGTH, BenchmarkIndex, read_benchmark_file, squeeze

PROMPT = '''def has_close_elements(numbers, threshold):
    """ Check if in given list of numbers, are any two numbers closer to each other than the threshold. """
'''


def test_a_planted_problem_is_found_in_any_dress() -> None:
    index = BenchmarkIndex({"HumanEval/0": PROMPT}, overlap=0.5)
    filler = "import os\n\n\ndef other():\n    return os.getcwd()\n\n" * 40
    assert index.match(filler + PROMPT + filler) == "HumanEval/0"
    assert index.match(PROMPT.replace(" ", "\n\t ").upper().replace('"""', "'''")) == "HumanEval/0"
    assert index.match(filler) is None
    assert index.match(filler + PROMPT[: len(PROMPT) // 3]) is None, "a third is less than half"


def test_the_share_decides() -> None:
    half = PROMPT[: int(len(PROMPT) * 0.8)]
    assert BenchmarkIndex({"a": PROMPT}, overlap=0.9).match(half) is None
    assert BenchmarkIndex({"a": PROMPT}, overlap=0.4).match(half) == "a"


def test_short_texts_are_named_and_never_match() -> None:
    index = BenchmarkIndex({"short": "return x + y", "long": PROMPT}, overlap=0.5)
    assert index.too_short == ["short"]
    assert index.match("def add(x, y):\n    return x + y\n") is None
    assert BenchmarkIndex({}, overlap=0.5).match(PROMPT) is None


def test_a_text_that_is_a_part_of_a_benchmarks_is_found_too() -> None:
    index = BenchmarkIndex({"a": PROMPT, "b": PROMPT * 2}, overlap=0.5)
    part = PROMPT[40:120]
    assert index.match(part) is None
    assert index.shares_of_shorter(part) == {"a": 1.0, "b": 1.0}
    assert index.shares_of_shorter(PROMPT + "x" * 500)["a"] == 1.0, "of the benchmark's, if that is shorter"
    assert 0 < index.shares_of_shorter(part + "nothing of this is in the benchmark at all " * 2)["b"] < 0.5
    assert index.shares_of_shorter("nothing of this is in the benchmark at all " * 3) == {}


LETTERS = st.text("ab1", min_size=LENGTH - 10, max_size=120)


@settings(max_examples=200)
@given(
    LETTERS,
    st.text("ab1 _", max_size=80),
    st.text("ab1 _", max_size=80),
    st.integers(0, 70),
    st.integers(50, 120),
)
def test_the_fast_filter_changes_nothing(text: str, before: str, after: str, start: int, length: int) -> None:
    """The verdict is that of counting shared n-grams, for any part of the text at any alignment."""
    index = BenchmarkIndex({"it": text}, overlap=0.3)
    document = before + text[start : start + length] + after

    def grams(string: str) -> set[bytes]:
        squeezed = squeeze(string)
        return {squeezed[i : i + LENGTH] for i in range(len(squeezed) - LENGTH + 1)}

    wanted = grams(text)
    contained = bool(wanted) and len(wanted & grams(document)) / len(wanted) >= 0.3
    assert (index.match(document) == "it") is contained


def test_records_of_one_id_are_all_looked_for(tmp_path: Path) -> None:
    """Several answers to a problem, in a file that begins with a byte order mark."""
    rows = [{"task_id": "T/0", "solution": f"return {n}"} for n in range(3)]
    path = tmp_path / "answers.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8-sig")
    assert sorted(read_benchmark_file(path).values()) == ["return 0", "return 1", "return 2"]
