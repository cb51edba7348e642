"""The report and the datasheet of a self-instruct folder, made from its files alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from codecascade.ground.files.atomic import atomic_write
from codecascade.ground.format import counted, show_count, show_seconds
from codecascade.instruct.self_instruct.languages.table import LANGUAGES
from codecascade.instruct.self_instruct.pipeline import read_summary
from codecascade.instruct.self_instruct.summary import Summary
from codecascade.instruct.self_instruct.triplets import REASONS
from codecascade.reports.evaluation.highlight import highlight
from codecascade.reports.rendering import render
from codecascade.reports.self_instruct.examples import (
    licences_of_seeds,
    question_examples,
    shown,
    triplet_examples,
)
from codecascade.sandbox.languages.table import canonical_name

STEPS: Mapping[str, str] = {
    "prompts": "prompts for questions",
    "parsed": "questions read",
    "duplicate": "left out: duplicates",
    "near_duplicate": "left out: near-duplicates",
    "contaminated": "left out: a benchmark has them",
    "unusable": "left out: no usable question",
    "questions": "questions",
    "with_tests": "with tests",
    "with_solutions": "with solutions that could be run",
    "kept": "kept",
}
"""The lines of the funnel."""
DATASHEET = "datasheet.md"
"""It is written last: a folder with it is complete."""
_MAIN = ("questions", "with_tests", "with_solutions", "kept")
_SOLUTIONS: Mapping[str, str] = {
    "passed_all": "passed all tests",
    "passed_some": "passed some tests",
    "passed_none": "passed no test",
    "timed_out": "did not end on some test",
    "without_program": "held no program with the function",
}
_MOST_TOPICS = 40


def write_self_instruct_report(folder: Path, *, command: str = "") -> None:
    """Write ``report.md``, ``report.html`` and ``datasheet.md`` into a finished folder.

    Args:
        command: the command that made it, if one did.

    Raises:
        UserError: the folder is not finished, or a file of it is damaged (file and line are named).
    """
    summary = read_summary(folder)
    kept, fallen = triplet_examples(folder)
    view = {
        "summary": summary,
        "title": f"{counted(summary.dialogues, 'dialogue')} of "
        f"{counted(summary.funnel.get('questions', 0), 'question')}",
        "command": command,
        "funnel": _funnel(summary),
        "reasons": [(REASONS.get(name, name), count) for name, count in summary.reasons.items()],
        "solutions": _parts(summary.solutions, _SOLUTIONS),
        "options": _options(summary),
        "tables": _tables(summary),
        "costs": _costs(summary),
        "teachers": _teachers(summary),
        "settings": {name: _text(value) for name, value in _flat(summary.settings)},
        "notes": [f"{note[:1].upper()}{note[1:].rstrip('.')}." for note in summary.notes],
        "kept": kept,
        "fallen": [(REASONS.get(name, name), rows) for name, rows in fallen.items()],
        "left": [
            (STEPS.get(name, name).removeprefix("left out: "), rows)
            for name, rows in question_examples(folder).items()
        ],
        "licences": licences_of_seeds(folder),
        "language": LANGUAGES[canonical_name(summary.settings["language"])],
        "paint": lambda code: highlight(code, canonical_name(summary.settings["language"])),
        "rate": summary.dialogues / summary.funnel["questions"] if summary.funnel.get("questions") else None,
    }
    for name in ("report.md", "report.html", DATASHEET):
        atomic_write(folder / name, render(f"self_instruct/{name}", view))


def _funnel(summary: Summary) -> list[dict[str, Any]]:
    """Lines of the funnel: what it is, how many, and which share of the questions."""
    questions = summary.funnel.get("questions") or 0
    return [
        {
            "title": STEPS.get(name, name.replace("_", " ")),
            "count": count,
            "share": count / questions if name in _MAIN and questions else None,
        }
        for name, count in summary.funnel.items()
    ]


def _parts(counts: Mapping[str, int], titles: Mapping[str, str]) -> list[tuple[str, int, float]]:
    total = sum(counts.values())
    return [(title, counts[name], counts[name] / total) for name, title in titles.items() if counts.get(name)]


def _options(summary: Summary) -> list[tuple[str, str, str]]:
    """``(option, whether it was in use, what it did or would do)``."""
    options, settings = summary.options, summary.settings
    select = settings["select"]
    first, group = options.get("kept_by_first_passing", 0), options.get("kept_by_agreement", 0)
    vacuous = (
        f"{options.get('vacuous_tests', 0):,} tests of {options.get('questions_with_vacuous_tests', 0):,} questions "
        f"say nothing; {options.get('questions_that_a_stub_passes', 0):,} questions have tests that a stub passes"
    )
    if not settings["drop_vacuous"]:
        vacuous = (
            vacuous.partition(";")[0] + "; whether a stub passes all tests of a question was not decisive"
        )
    return [
        (
            "all tests must pass (the paper)",
            _in_use(select == "first_passing"),
            f"keeps {counted(first, 'question')}",
        ),
        (
            "agreement of solutions and tests (CodeT)",
            _in_use(select == "agreement"),
            f"keeps {counted(group, 'question')}: at least {settings['agreement_solutions']} solutions pass the same "
            f"{settings['agreement_tests']} or more tests",
        ),
        ("tests that say nothing are left out", _in_use(bool(settings["drop_vacuous"])), vacuous),
    ]


def _in_use(used: bool) -> str:
    return "in use" if used else "not in use"


def _tables(summary: Summary) -> list[dict[str, Any]]:
    """Questions and kept ones by topic, difficulty and source; a table of one nameless line says nothing."""
    found = []
    for title, counts in (
        ("Topics", summary.topics),
        ("Difficulties", summary.difficulties),
        ("Sources", summary.sources),
    ):
        if set(counts) <= {"not stated"}:
            continue
        rows = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))
        found.append(
            {
                "title": title,
                "rows": [(shown(name), *pair, pair[1] / pair[0]) for name, pair in rows[:_MOST_TOPICS]],
                "more": len(rows) - min(len(rows), _MOST_TOPICS),
            }
        )
    return found


def _costs(summary: Summary) -> list[tuple[str, str]]:
    costs = summary.costs
    rows = [
        ("time, over all starts", show_seconds(costs["seconds"])),
        ("processor time of programs", show_seconds(costs["cpu_seconds"])),
    ]
    for who, title in (("questions", "questions"), ("answers", "tests and solutions")):
        cost = costs[who]
        if cost["answers"]:
            rows.append(
                (
                    title,
                    f"{counted(cost['prompts'], 'prompt')} of {show_count(cost['prompt_tokens'])} tokens, "
                    f"{counted(cost['answers'], 'answer')} of {show_count(cost['answer_tokens'])} tokens",
                )
            )
    if summary.dialogues:
        tokens = costs["questions"]["answer_tokens"] + costs["answers"]["answer_tokens"]
        rows.append(("written for each kept dialogue", f"{show_count(tokens / summary.dialogues)} tokens"))
        rows.append(("time for each kept dialogue", show_seconds(costs["seconds"] / summary.dialogues)))
    return rows


def _teachers(summary: Summary) -> list[tuple[str, str]]:
    """``(what, by whom)``, with revision, precision and address."""
    asked = summary.costs["questions"]["answers"] > 0
    rows = []
    for what, title in (("questions", "questions"), ("answers", "tests and solutions")):
        if what == "questions" and not asked:
            continue
        about = dict(summary.teachers[what])
        name = about.pop("name")
        details = ", ".join(f"{key} {value}" for key, value in about.items())
        rows.append((title, shown(f"{name} ({details})" if details else name)))
    return rows


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Sequence[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((prefix + name, value))
    return rows


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return " ".join(f"{key}={_text(each)}" for key, each in value.items() if each not in (None, [], ()))
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
