"""Pages with a benchmark's problems and answers: ``problems/<benchmark>/index.html`` and pages of 40 problems each.

Multi-line infilling has 5,815 problems in two layouts. A file for each would be slow to copy and to pack; one page
for all would have 20 MB. The index lists links to the problems, grouped by their outcome.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from codecascade.evaluation.analysis.evaluation_folder import (
    Evaluation,
    MeasuredBenchmark,
    ProblemKey,
    TaskRow,
    problem_key,
)
from codecascade.evaluation.analysis.failures import (
    PASSED,
    CountedCompletion,
    ProblemOutcomes,
    ordered_kinds,
    outcomes_by_problem,
)
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.ground.files.atomic import atomic_folder
from codecascade.ground.format import counted, said_of_blank
from codecascade.reports.evaluation.highlight import highlight
from codecascade.reports.rendering import render

PER_PAGE = 40
_PROMPT_LINES = 40
_SUFFIX_LINES = 24
# Characters of an answer, a test, a message or what follows a gap.
_LONGEST = 6000
_MESSAGES = 40
_FIELDS = 60
# Characters of a name, or of the value of another field.
_LONGEST_NAME = 300
_PLAIN = "text"
# The id of a corpus document, which is too long for a list of links.
_DOCUMENT = re.compile(r"^([0-9a-f]{6})[0-9a-f]{26}(?=/)")
_TEXTS = frozenset(
    {"task_id", "prompt", "suffix", "messages", "prefill", "expected", "test", "format", "language"}
)


@dataclass(frozen=True)
class Excerpt:
    """A text that is cut for the page: ``html``, and what is left out before and after it ("3 lines")."""

    html: str
    before: str = ""
    after: str = ""


@dataclass(frozen=True)
class _Asked:
    """A task whose ``prompt`` is cut to the lines that a page shows, and what was left out before them."""

    task: TaskRow
    before: str = ""


def problem_address(index: int) -> str:
    """The page and anchor of a problem, relative to its benchmark's folder.

    Args:
        index: the problem's index in the order of the samples, from 0.
    """
    return f"{index // PER_PAGE + 1:03d}.html#p{index + 1}"


def kind_anchor(kind: str) -> str:
    """The anchor of an outcome's section in the index."""
    return (kind or "scored").replace(" ", "-")


def problem_outcomes(measured: MeasuredBenchmark) -> dict[ProblemKey, ProblemOutcomes]:
    """The outcomes of the benchmark's problems; empty if nothing was generated (losses)."""
    return outcomes_by_problem(row for row in measured.rows() if "completion" in row)


def write_pages(
    evaluation: Evaluation, measured: MeasuredBenchmark, problems: Mapping[ProblemKey, ProblemOutcomes]
) -> None:
    """Write ``problems/<benchmark>``, and replace an older one. An interrupted call changes nothing."""
    asked = _asked(measured)
    overlapping = frozenset((measured.contamination or {}).get("tasks", ()))
    index_of = {key: index for index, key in enumerate(problems)}
    common = {
        "evaluation": evaluation,
        "measured": measured,
        "address": problem_address,
        "anchor": kind_anchor,
    }
    with atomic_folder(evaluation.folder / "problems" / measured.name) as folder:
        start = _common_start([task_id for task_id, _ in problems])
        sections = _sections(problems, index_of, overlapping, len(start))
        index = {**common, "sections": sections, "problems": len(problems), "start": start}
        longest = max(len(item["name"]) for section in sections for item in section["problems"])
        # Wide enough that few names need a second line.
        index["width"] = min(320, 60 + 7 * longest)
        index["several"] = any(problem.samples > 1 for problem in problems.values())
        (folder / "index.html").write_text(render("problems.html", index), encoding="utf-8")
        ordered_problems = list(problems.values())
        pages = [ordered_problems[start : start + PER_PAGE] for start in range(0, len(problems), PER_PAGE)]
        for number, group in enumerate(pages, 1):
            shown = [
                _shown(measured, problem, asked.get(problem.key, _Asked({})), overlapping)
                for problem in group
            ]
            _say_tests_once(shown)
            view = {
                **common,
                "shown": shown,
                "number": number,
                "pages": len(pages),
                "first": index_of[group[0].key],
            }
            (folder / f"{number:03d}.html").write_text(render("problem_page.html", view), encoding="utf-8")


def _say_tests_once(shown: list[dict[str, Any]]) -> None:
    """Show a test once on a page. Infilling problems made of the same program share it, and it would fill the
    page.
    """
    said: dict[str, int] = {}
    for number, item in enumerate(shown):
        item["test_of"] = said.setdefault(item["test"], number)


def _asked(measured: MeasuredBenchmark) -> dict[ProblemKey, _Asked]:
    """The tasks. Of a long prompt only the lines that a page shows are kept."""
    found = {}
    for row in measured.asked():
        prompt, before = _end(row.get("prompt", ""))
        found[problem_key(row)] = _Asked(row | {"prompt": prompt}, before)
    return found


def _end(prompt: str) -> tuple[str, str]:
    """The last lines of a prompt, and what is left out before them."""
    lines = prompt.split("\n")
    shown = "\n".join(lines[-_PROMPT_LINES:])
    if len(shown) > 4 * _LONGEST:
        return shown[-4 * _LONGEST :], counted(len(prompt) - 4 * _LONGEST, "character")
    return shown, counted(len(lines) - _PROMPT_LINES, "line") if len(lines) > _PROMPT_LINES else ""


def _start(text: str, most: int = _LONGEST) -> str:
    """The beginning of a text, and how much of it is left out."""
    return text if len(text) <= most else f"{text[:most]}… ({counted(len(text) - most, 'character')} more)"


def _sections(
    problems: Mapping[ProblemKey, ProblemOutcomes],
    index_of: Mapping[ProblemKey, int],
    overlapping: frozenset[str],
    start: int,
) -> list[dict[str, Any]]:
    """The problems grouped by outcome, those that failed first."""
    kinds = ordered_kinds(problem.kind for problem in problems.values())
    if PASSED in kinds:
        kinds = [*(kind for kind in kinds if kind != PASSED), PASSED]
    return [
        {
            "kind": kind or "scored",
            "anchor": kind_anchor(kind),
            "problems": [
                {
                    "name": _DOCUMENT.sub(r"\1…", _name(problem)[start:]),
                    "address": problem_address(index_of[problem.key]),
                    "share": f"{problem.passed}/{problem.samples}" if problem.samples > 1 and kind else "",
                    "overlaps": problem.key[0] in overlapping,
                }
                for problem in problems.values()
                if problem.kind == kind
            ],
        }
        for kind in kinds
    ]


def _common_start(names: Sequence[str]) -> str:
    """What all names begin with, up to a slash or an underscore. The links leave it out."""
    if len(names) < 2:
        return ""
    # A prefix of the first and the last name in sorted order is a prefix of all.
    first, last = min(names), max(names)
    length = next((at for at, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    shared = first[:length]
    return shared[: 1 + max(shared.rfind("/"), shared.rfind("_"))]


def _name(problem: ProblemOutcomes) -> str:
    name = " · ".join(part for part in (problem.key[0], problem.key[1].replace("_", " ")) if part)
    return _start(name, _LONGEST_NAME)


def _shown(
    measured: MeasuredBenchmark, problem: ProblemOutcomes, asked: _Asked, overlapping: frozenset[str]
) -> dict[str, Any]:
    task = asked.task
    language = str(task.get("language", "python"))
    if "messages" in task:
        language = _PLAIN if not task.get("test") else language
    prompt = task.get("prompt", "")
    in_words = measured.name in BENCHMARKS and BENCHMARKS[measured.name].in_words
    context = "" if in_words else prompt
    suffix = task.get("suffix")
    expected, messages = task.get("expected", ""), task.get("messages", [])
    return {
        "name": _name(problem),
        "problem": problem,
        "overlaps": problem.key[0] in overlapping,
        "fields": {
            _start(name, _LONGEST_NAME): _start(str(value), _LONGEST_NAME)
            for name, value in islice(task.items(), _FIELDS)
            if name not in _TEXTS
        },
        "in_words": in_words,
        "messages": [
            {"role": _start(message["role"], _LONGEST_NAME), "content": _start(message["content"])}
            for message in messages[-_MESSAGES:]
        ],
        "earlier": max(0, len(messages) - _MESSAGES),
        "prompt": Excerpt(highlight(prompt, _PLAIN if in_words else language), before=asked.before)
        if prompt
        else None,
        "suffix": _suffix(prompt, suffix, language) if isinstance(suffix, str) else None,
        "expected": highlight(expected[:_LONGEST], language, after=context) if expected else "",
        "test": highlight(str(task.get("test", ""))[:_LONGEST], language),
        "answers": [_answer(answer, context, language) for answer in _best_first(problem.answers)],
        "others": problem.samples - sum(answer.count for answer in problem.answers),
    }


def _suffix(prompt: str, suffix: str, language: str) -> Excerpt:
    lines = suffix.split("\n")
    shown, after = "\n".join(lines[:_SUFFIX_LINES]), ""
    if len(shown) > _LONGEST:
        shown, after = shown[:_LONGEST], counted(len(suffix) - _LONGEST, "character")
    elif len(lines) > _SUFFIX_LINES:
        after = counted(len(lines) - _SUFFIX_LINES, "line")
    return Excerpt(highlight(shown, language, after=f"{prompt}\n"), after=after)


def _best_first(answers: Sequence[CountedCompletion]) -> list[CountedCompletion]:
    return sorted(answers, key=lambda answer: answer.kind != PASSED)


def _answer(answer: CountedCompletion, context: str, language: str) -> dict[str, Any]:
    row = answer.row
    completion = str(row.get("completion", ""))
    scores = {
        _start(name, _LONGEST_NAME): value
        for name, value in islice(row.items(), _FIELDS)
        if isinstance(value, float) and name not in ("seconds", "cpu_seconds", "wall_seconds")
    }
    return {
        "kind": answer.kind or "scored",
        "passed": answer.kind == PASSED,
        "html": highlight(completion[:_LONGEST], language, after=context),
        "blank": said_of_blank(completion),
        "cut": max(0, len(completion) - _LONGEST),
        "detail": "" if answer.kind == PASSED else _start(str(row.get("detail") or "")),
        "stderr": "" if answer.kind == PASSED else str(row.get("stderr") or "").strip()[-2000:],
        "count": answer.count,
        "number": answer.number,
        "scores": scores,
        "finish_reason": str(row.get("finish_reason") or ""),
    }
