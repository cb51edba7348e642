"""MultiPL-E (Cassano et al. 2023): HumanEval's problems in other languages, from signatures and comments.

``multipl_e_<language>`` reads the rows of one language in the form that the hub has. Each row names its stop strings,
at which the completion is cut. The program is the prompt, the completion, a line break and the row's tests. It passes
with exit status 0 (some languages add a rule). If the toolchain of a language is missing, its programs are not run
and are in no figure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from functools import partial

from pydantic import Field

from codecascade.evaluation.answers.texts import FENCE, cut_at_stops
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, PositiveInt
from codecascade.evaluation.data import BenchmarkData, Record, load_records, require_field
from codecascade.evaluation.rates import pass_at_k_scores, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.statements import TEN_SECONDS, benchmark_protocol, token_limit
from codecascade.evaluation.task import Benchmark, EvaluationContext, Program, SampleRow, Task, TextPrompt
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome

LANGUAGES = {
    "cpp": "C++",
    "java": "Java",
    "php": "PHP",
    "ts": "TypeScript",
    "cs": "C#",
    "sh": "Bash",
    "js": "JavaScript",
    "go": "Go",
    "rs": "Rust",
    "pl": "Perl",
    "r": "R",
    "rb": "Ruby",
    "lua": "Lua",
}
"""The languages by their short names in the data. The first six are the paper's (Table 4)."""

_FIELD = {"go": "go_test.go"}
"""The value of the data's field ``language``, if it is not the short name."""

_FIELDS = {"name": str, "language": str, "prompt": str, "tests": str}


class MultiplESettings(BenchmarkSettings):
    """``[evaluate.multipl_e]``."""

    key = "multipl_e"

    max_new_tokens: PositiveInt = Field(512, description="tokens per completion, at most")


def tasks(language: str, context: EvaluationContext) -> list[Task]:
    """The problems of one language. There are 154 to 161."""
    name, data = f"multipl_e_{language}", _data(language)
    return [
        _task(record, language, context.own(MultiplESettings).max_new_tokens)
        for record in load_records(name, data, context.data, _FIELDS)
    ]


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """``pass@1`` (with more samples ``pass@10``, ``pass@100``), over the problems whose programs could be run."""
    return pass_at_k_scores(values_by_problem(rows, "passed")["passed"])


def notes(language: str, rows: Sequence[SampleRow], context: EvaluationContext) -> list[str]:
    """How many programs were not run, and why."""
    reasons: Counter[str] = Counter(str(row.get("detail")) for row in rows if row.get("passed") is None)
    if not reasons:
        return []
    return [
        f"{reasons.total()} programs in {LANGUAGES[language]} were not run and are in no figure: "
        + "; ".join(sorted(reasons))
    ]


_PAPERS = ("cpp", "java", "php", "ts", "cs", "sh")
_STATED = benchmark_protocol(
    MultiplESettings,
    {"max_new_tokens": token_limit("an answer")},
    silent=("the language's compiler or interpreter", TEN_SECONDS),
)


def _benchmark(language: str) -> Benchmark:
    """The benchmark of one language."""
    return Benchmark(
        f"multipl_e_{language}",
        f"MultiPL-E: HumanEval in {LANGUAGES[language]}",
        "pass@1",
        data=_data(language),
        needs=frozenset({"sandbox", f"toolchain:{language}"}),
        tasks=partial(tasks, language),
        scores=scores,
        notes=partial(notes, language),
        settings=MultiplESettings,
        size=lambda settings: BenchmarkSize(159, 250, 250),
        translation=LANGUAGES[language],
        paper_protocol=_STATED if language in _PAPERS else None,
        task_ids=r"HumanEval_\d+_",
        version=2,
    )


def problem_number(task_id: str) -> int | None:
    """The number of a HumanEval problem: 23 for the task ids ``HumanEval_23_strlen`` and ``HumanEval/23``."""
    found = re.match(r"HumanEval[_/](\d+)", task_id)
    return int(found[1]) if found else None


def _data(language: str) -> BenchmarkData:
    return BenchmarkData(
        files=(f"humaneval-{language}.jsonl*", f"*-{language}.jsonl*"),
        licence="BSD-3-Clause, no training",
        hub="nuprl/MultiPL-E",
        hub_files=(f"humaneval-{language}/*.parquet",),
        fields=("prompt", "stop_tokens"),
    )


def _task(record: Record, language: str, max_new_tokens: int) -> Task:
    location, row = record
    if row["language"] not in (language, _FIELD.get(language)):
        raise UserError(
            f"is a problem in {row['language']!r}, not in {language!r}; name each language's own file",
            file=location,
            key="language",
        )
    stops = require_field(row, "stop_tokens", list, location)
    if not all(isinstance(stop, str) and stop for stop in stops):
        raise UserError("must be a list of texts", file=location, key="stop_tokens")
    prompt, tests = row["prompt"], row["tests"]
    return Task(
        row["name"],
        TextPrompt(prompt, (*stops, FENCE)),
        max_new_tokens,
        test=tests,
        extract=partial(cut_at_stops, stops=stops),
        from_solution=lambda solution: solution.removeprefix(prompt),
        programs=lambda completion: [Program(f"{prompt}{completion}\n{tests}", language)],
        judge=verdict,
        fields={"language": language},
    )


def verdict(completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
    """``passed`` is None if the program could not be run: a missing toolchain is not a fault of the answer."""
    if outcomes and outcomes[0].outcome == "not_started":
        return {"passed": None}
    return {}


BENCHMARKS = tuple(map(_benchmark, LANGUAGES))
