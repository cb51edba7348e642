"""Single-line infilling in Python, Java and JavaScript by exact match (Ben Allal et al. 2023; paper, Table 6).

The data is SantaCoder's: solutions of MultiPL-E's problems with one line masked. A middle is right if it equals the
line, except for white space around it. Nothing is cut and nothing is run, so a middle that does not end is wrong:
this is the benchmark's own rule, by which the paper's figures were made. ``first_line`` is by the rule that is the
same for a model that continues the prefix: the first line that is not blank must be right, whatever follows it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
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
from codecascade.evaluation.data import BenchmarkData, load_records
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.rates import mean_scores, rows_by_field, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.task import (
    Benchmark,
    EvaluationContext,
    Prompt,
    SampleRow,
    Task,
    TextPrompt,
)
from codecascade.sandbox.outcome import Outcome

DATA = BenchmarkData(
    files=("santacoder-fim-task.jsonl*", "*fim*.jsonl*", "*fim*.parquet"),
    licence="OpenRAIL",
    hub="bigcode/santacoder-fim-task",
    hub_files=("data/train-*.parquet",),
    fields=("language", "canonical_solution"),
)
_NAMES = {"py": "python", "js": "javascript"}
_FIELDS = {"name": str, "language": str, "prompt": str, "suffix": str, "canonical_solution": str}


def tasks(context: EvaluationContext) -> list[Task]:
    """Each masked line in each layout that the model knows. The layout of the main figures comes first."""
    seen: Counter[tuple[str, str]] = Counter()
    lines: list[tuple[str, str, dict[str, Any]]] = []
    for _, row in load_records("multilingual_infilling", DATA, context.data, _FIELDS):
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
            judge=_judge(row["canonical_solution"]),
            fields={"language": language, "format": layout},
            from_solution=partial(middle_of, prefix=row["prompt"], suffix=row["suffix"]),
        )
        for layout in asked_layouts(context)
        for (task_id, language, row), suffix in zip(lines, suffixes, strict=True)
    ]


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """``exact_match`` of all lines and ``exact_match_<language>``, in the first layout; and of each layout by name.

    The names of the latter end in ``_psm`` or ``_spm``. A model without infilling tokens has only figures that end in
    ``_left_to_right``, as in :mod:`infilling`. ``first_line`` is over all languages.
    """
    found: dict[str, Scores] = {}
    layouts = rows_by_field(rows, "format")
    for layout, of_layout in layouts.items():
        first = layout == main_layout(layouts)
        for language, some in {"": of_layout, **rows_by_field(of_layout, "language")}.items():
            for metric in ("exact_match", "first_line"):
                values = values_by_problem(some, metric)[metric]
                if metric == "first_line" and (language or not values):
                    continue
                name = f"{metric}{'_' * bool(language)}{language}"
                found[f"{name}_{layout}"] = lines = mean_scores(values)
                if first:
                    found[name] = lines
    return found


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


BENCHMARKS = (
    Benchmark(
        "multilingual_infilling",
        "Single-line infilling in Python, Java, JavaScript",
        "exact_match",
        data=DATA,
        tasks=tasks,
        scores=scores,
        greedy=True,
        by_one_rule=("first_line",),
        task_ids=r"(python|java|javascript)/HumanEval_",
        settings=InfillingTaskSettings,
        paper_protocol=STATED_OF_LANGUAGES,
        size=lambda settings: BenchmarkSize(4_792, 300, 20, len(settings.own(InfillingTaskSettings).asked)),
    ),
)
