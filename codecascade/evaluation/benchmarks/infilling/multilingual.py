"""Single-line infilling in Python, Java and JavaScript by exact match (Ben Allal et al. 2023; paper, Table 6).

The data is SantaCoder's: solutions of MultiPL-E's problems with one line masked. A middle is right if it equals the
line, except for white space around it. Nothing is cut and nothing is run, so a middle that does not end is wrong:
this is the benchmark's own rule, by which the paper's figures were made. ``first_line`` is by the rule that is the
same for a model that continues the prefix: the first line that is not blank must be right, whatever follows it.

``multilingual_infilling_tests`` asks the same and also runs the tests that each row has, since another line may be as
right. It has ``pass@1`` beside ``exact_match``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from codecascade.evaluation.benchmarks.infilling.gaps import (
    asked_layouts,
    asked_suffixes,
    infilling_prompt,
    main_layout,
    middle_of,
)
from codecascade.evaluation.benchmarks.infilling.settings import STATED_OF_LANGUAGES, InfillingTaskSettings
from codecascade.evaluation.data import BenchmarkData, load_records, require_field
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.rates import mean_scores, rows_by_field, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.task import (
    Benchmark,
    EvaluationContext,
    Program,
    Prompt,
    SampleRow,
    Task,
    TextPrompt,
    was_asked,
)
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import IMPORTED
from codecascade.sandbox.splitting import split_tests

DATA = BenchmarkData(
    files=("santacoder-fim-task.jsonl*", "*fim*.jsonl*", "*fim*.parquet", "train*.parquet"),
    licence="OpenRAIL",
    hub="bigcode/santacoder-fim-task",
    hub_files=("data/train-*.parquet",),
    fields=("language", "canonical_solution", "suffix"),
)
_NAMES = {"py": "python", "js": "javascript"}
_FIELDS = {"name": str, "language": str, "prompt": str, "suffix": str, "canonical_solution": str}


def tasks(context: EvaluationContext, *, run: bool = False) -> list[Task]:
    """Each masked line in each layout that the model knows. The layout of the main figures comes first.

    Args:
        run: the text with the model's line is run with the row's tests.
    """
    seen: Counter[tuple[str, str]] = Counter()
    lines: list[tuple[str, str, dict[str, Any]]] = []
    for location, row in load_records("multilingual_infilling", DATA, context.data, _FIELDS):
        if run:
            require_field(row, "tests", str, location)
        language: str = _NAMES.get(row["language"]) or row["language"]
        lines.append((f"{language}/{row['name']}/{seen[language, row['name']]}", language, row))
        seen[language, row["name"]] += 1
    suffixes = asked_suffixes([row["suffix"] for _, _, row in lines], context.own(InfillingTaskSettings))
    return [
        Task(
            task_id,
            _prompt(row["prompt"], suffix, language, layout, context),
            context.own(InfillingTaskSettings).max_new_tokens,
            expected=row["canonical_solution"],
            test=row["tests"] if run else "",
            programs=partial(_programs, row, language) if run else None,
            judge=_judge(row["canonical_solution"]),
            fields={"language": language, "format": layout},
            from_solution=partial(middle_of, prefix=row["prompt"], suffix=row["suffix"]),
        )
        for layout in asked_layouts(context.model, context.own(InfillingTaskSettings).asked)
        for (task_id, language, row), suffix in zip(lines, suffixes, strict=True)
    ]


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """``exact_match`` of all lines and ``exact_match_<language>``, in the first layout; and of each layout by name.

    The names of the latter end in ``_psm`` or ``_spm``. A model without infilling tokens has only figures that end in
    ``_left_to_right``, as in :mod:`infilling`. ``first_line`` is over all languages.
    """
    return _shares(rows, "exact_match", "exact_match") | _shares(rows, "first_line", "first_line", whole=True)


def _shares(rows: Sequence[SampleRow], metric: str, field: str, *, whole: bool = False) -> dict[str, Scores]:
    """The shares of each layout, over all languages and, unless ``whole``, in each."""
    found: dict[str, Scores] = {}
    layouts = rows_by_field(rows, "format")
    for layout, of_layout in layouts.items():
        first = layout == main_layout(layouts)
        for language, some in {"": of_layout, **rows_by_field(of_layout, "language")}.items():
            values = values_by_problem(some, field)[field]
            if whole and (language or not values):
                continue
            name = f"{metric}{'_' * bool(language)}{language}"
            found[f"{name}_{layout}"] = lines = mean_scores(values)
            if first:
                found[name] = lines
    return found


def scores_with_tests(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """Those of :func:`scores`, and ``pass@1`` by the same endings, over the lines whose programs could be run."""
    return {**_shares(rows, "pass@1", "passed"), **scores(rows)}


def notes(rows: Sequence[SampleRow], context: EvaluationContext) -> list[str]:
    """How many programs were not run, and why."""
    reasons = Counter(
        str(row.get("detail")) for row in rows if row.get("outcome") == "not_started" and was_asked(row)
    )
    if not reasons:
        return []
    return [f"{reasons.total()} programs were not run and are not in pass@1: {'; '.join(sorted(reasons))}"]


def _programs(row: dict[str, Any], language: str, middle: str) -> Sequence[Program]:
    """The text with its tests. Lines that are apart in the data are joined by the line breaks that it leaves out."""
    text = _joined(_joined(row["prompt"], middle), row["suffix"])
    if language == "java":
        # The tests are members of the class, and begin with the brace that ends its method.
        text = text.rstrip().removesuffix("}").rstrip().removesuffix("}").rstrip()
    if language != "python":
        return [Program(_joined(text, row["tests"]), language=language)]
    reference = _joined(_joined(row["prompt"], row["canonical_solution"]), row["suffix"])
    apart = split_tests(row["tests"], reference)
    return [Program(text, name=IMPORTED, tests=row["tests"], calls=apart.calls, given=apart.given)]


def _joined(first: str, second: str) -> str:
    if not first or not second or first.endswith("\n") or second.startswith("\n"):
        return first + second
    return f"{first}\n{second}"


def _prompt(prompt: str, suffix: str, language: str, layout: str, context: EvaluationContext) -> Prompt:
    if layout == LEFT_TO_RIGHT:
        # In most rows the line break before the masked line is in neither the prompt nor the line.
        return TextPrompt(prompt if prompt.endswith("\n") else f"{prompt}\n", ("\n",))
    return infilling_prompt(prompt, suffix, layout, context.own(InfillingTaskSettings), "single", language)


def _judge(line: str) -> Callable[[str, Sequence[Outcome]], SampleRow]:
    def judge(completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
        answer, true = completion.strip(), line.strip()
        return {"exact_match": answer == true, "first_line": answer.partition("\n")[0].rstrip() == true}

    return judge


_LINES = Benchmark(
    "multilingual_infilling",
    "Single-line infilling in Python, Java, JavaScript",
    "exact_match",
    data=DATA,
    tasks=tasks,
    scores=scores,
    greedy=True,
    by_one_rule=("first_line",),
    task_ids=r"(python|java|javascript)/(humaneval-)?HumanEval_",
    version=3,
    settings=InfillingTaskSettings,
    paper_protocol=STATED_OF_LANGUAGES,
    size=lambda settings: BenchmarkSize(4_792, 300, 20, len(settings.own(InfillingTaskSettings).asked)),
)
BENCHMARKS = (
    _LINES,
    replace(
        _LINES,
        name="multilingual_infilling_tests",
        title=f"{_LINES.title}, with tests",
        metric="pass@1",
        needs=frozenset({"sandbox", "toolchain:java", "toolchain:js"}),
        tasks=partial(tasks, run=True),
        scores=scores_with_tests,
        notes=notes,
        paper_protocol=None,
    ),
)
