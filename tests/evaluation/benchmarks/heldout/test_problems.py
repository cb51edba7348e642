"""Which files the problems are drawn from, and what of a file is shown."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

import pytest

from codecascade.corpus.code.windows import FileWindows
from codecascade.corpus.documents import Document, document
from codecascade.evaluation.benchmarks.heldout.problems import heldout_problems
from codecascade.evaluation.benchmarks.heldout.settings import HeldoutSettings


def module(name: str, functions: int) -> Document:
    parts = [
        f"def {name}_{n}(a):\n    if a > {n}:\n        a += {n}\n        {name}(a)\n    b = a + {n}\n"
        "    return b\n\n\n"
        for n in range(functions)
    ]
    return document(
        "".join(parts), path=f"{name}.py", repository="r", language="python", license="own", kind="code"
    )


FILES = [module(name, 4) for name in ("alpha", "beta", "gamma", "delta")]


def ids(documents: list[Document], seed: int = 0, **settings: object) -> list[str]:
    return [problem.task_id for problem in heldout_problems(documents, HeldoutSettings(**settings), seed)]


def test_kinds_have_their_shares_and_files_take_turns() -> None:
    problems = heldout_problems(FILES, HeldoutSettings(problems=56), 0)
    assert Counter(problem.gap.kind for problem in problems) == {
        "line": 16, "rest": 16, "block": 8, "function": 8, "span": 8,
    }  # fmt: skip
    assert set(Counter(problem.document.path for problem in problems).values()) == {14}
    places = [(problem.document.id, problem.gap.start) for problem in problems]
    files = [file for file, _ in places]
    assert files == sorted(files, key=files.index) and len({each.task_id for each in problems}) == 56
    assert all(one[1] <= two[1] for one, two in pairwise(places) if one[0] == two[0])
    for problem in problems:
        assert problem.prefix + problem.middle + problem.suffix == problem.document.text and problem.is_parsed
        assert problem.middle.split("\n")[0] in problem.document.text.splitlines()[problem.line - 1]


def test_the_seed_decides_and_other_files_change_no_gap() -> None:
    assert ids(FILES, problems=12) == ids(FILES, problems=12) != ids(FILES, 1, problems=12)
    alone = set(ids(FILES[:1], problems=None, kinds=("line",)))
    assert alone and alone <= set(ids(FILES, problems=None, kinds=("line",)))


def test_a_large_file_does_not_make_up_the_figures() -> None:
    large = module("large", 200)
    counts = Counter(
        problem.document.path
        for problem in heldout_problems([*FILES, large], HeldoutSettings(problems=100), 0)
    )
    assert counts["large.py"] <= 40 and min(counts.values()) >= 15
    assert len(ids([large], problems=100)) == 100, "an only file gives all"


def test_there_are_no_more_problems_than_lines() -> None:
    lines = sum(line.strip() != "" for each in FILES for line in each.text.splitlines())
    assert 0.9 * lines <= len(ids(FILES, problems=None)) <= lines
    assert len(ids(FILES, problems=10_000)) == len(ids(FILES, problems=None))
    comment = document(
        "# nothing\n", path="a.py", repository="r", language="python", license="own", kind="code"
    )
    assert ids([comment]) == []


def test_the_same_gap_counts_once() -> None:
    copy = FILES[0]._replace(text=FILES[0].text, id="0" * 32, path="copy.py")
    both = ids([FILES[0], copy], problems=None, kinds=("line",))
    assert len(both) == len(ids(FILES[:1], problems=None, kinds=("line",)))


def words(text: str) -> int:
    return len(text.split())


TEXT = "".join(f"line {n} has seven words of text\n" for n in range(100))


@pytest.mark.parametrize(("room", "share"), [(70, 0.5), (70, 0.8), (700, 0.5), (10_000, 0.5), (20, 0.75)])
def test_the_nearest_lines_are_shown(room: int, share: float) -> None:
    windows = FileWindows(TEXT, words)
    for start in (0, TEXT.index("line 50 "), TEXT.index("50 has") + 3, TEXT.index("line 99 ")):
        end = TEXT.index("\n", start)
        prefix, suffix = windows.around(start, end, room, share)
        assert TEXT[:start].endswith(prefix) and TEXT[end:].startswith(suffix)
        assert words(prefix) + words(suffix) <= room
        whole_lines = words(TEXT) <= room
        assert (len(prefix), len(suffix)) == (start, len(TEXT) - end) or not whole_lines
        assert whole_lines or words(prefix) + words(suffix) >= room - 15, "room is not wasted"
        if not whole_lines and start > len(TEXT) // 3 and end < len(TEXT) // 2:
            assert abs(words(prefix) - share * room) <= 15
        assert not prefix or prefix.startswith("line ")


def test_of_a_line_that_does_not_fit_the_near_end_is_shown() -> None:
    text = f"{'a' * 500}|{'b' * 500}\nmore\n"
    prefix, suffix = FileWindows(text, len).around(500, 501, 100, 0.75)
    assert prefix == "a" * 75 and suffix == "b" * 25
    assert FileWindows("", len).around(0, 0, 10, 0.5) == ("", "")


@pytest.mark.parametrize("room", [1, 24, 700, 2000])
def test_letters_of_several_tokens_keep_the_budget(room: int) -> None:
    text = f"y = 1\nx = '{'漢' * 3000}' + z\n"
    windows = FileWindows(text, lambda part: len(part.encode()))
    for start, end in ((2, 20), (2900, 3010)):
        prefix, suffix = windows.around(start, end, room, 0.75)
        assert text[:start].endswith(prefix) and text[end:].startswith(suffix)
        shown = len((prefix + suffix).encode())
        assert shown <= room and (room == 1 or shown >= room - 6)
