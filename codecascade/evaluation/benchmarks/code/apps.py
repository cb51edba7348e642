"""APPS (Hendrycks et al. 2021): programming contest problems, in two kinds: read and print, or write a function.

The protocol is the paper's (Table 3): two solved problems are shown, or none in the chat format; the answer stands
in a code block; every sample counts, whether or not it solves the prompt's own examples; a sample passes if it
passes all test cases. Outputs are compared as APPS' own runner compares them, unless the settings say otherwise.
"""

from __future__ import annotations

import json
import warnings
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from codecascade.evaluation.answers.replies import program_in
from codecascade.evaluation.answers.texts import cut_at_stops, without_language_tag
from codecascade.evaluation.benchmarks.code import apps_programs
from codecascade.evaluation.benchmarks.code.apps_settings import STATED, AppsSettings
from codecascade.evaluation.benchmarks.code.humaneval import in_chat
from codecascade.evaluation.data import (
    BenchmarkData,
    FieldType,
    holds_data,
    locate_data,
    read_records,
    require_field,
)
from codecascade.evaluation.rates import ProblemValues, mean_scores, pass_at_k_scores
from codecascade.evaluation.scores import Scores, problem_key
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.task import (
    Benchmark,
    ChatPrompt,
    EvaluationContext,
    Message,
    Program,
    Prompt,
    SampleRow,
    Task,
    TextPrompt,
)
from codecascade.ground.errors import UserError
from codecascade.ground.reading import parse_json
from codecascade.sandbox.outcome import Outcome

DIFFICULTIES = ("introductory", "interview", "competition")
KS = (1, 5, 10, 100)
_INSTRUCTION = (
    "Write a python code to solve the following coding problem that obeys the constraints and passes the example "
    "test cases. The output code needs to {guide}. Please wrap your code answer using {fence}:\n{question}"
)
_STANDARD_IO = "read from and write to standard IO"
_CALL_BASED = "use the provided function signature"
_FENCES = {"backticks": "```", "quotes": "'''"}

DATA = BenchmarkData(
    files=("test.jsonl*", "apps*.jsonl*"),
    licence="MIT; texts: their sites'",
    hub="codeparrot/apps",
    hub_files=("test.jsonl",),
    fields=("problem_id", "input_output"),
)
_TRAIN = replace(DATA, files=("train.jsonl*",), hub_files=("train.jsonl",))
_FIELDS: dict[str, FieldType] = {
    "problem_id": (int, str),
    "question": str,
    "difficulty": str,
    "input_output": (str, dict),
}
_SHOWN = 1_000  # characters of a test case
_MOST_IN_A_SHOT = 2_500  # characters of question and solution: two must fit a context of 4,096 tokens


@dataclass(frozen=True)
class AppsProblem:
    """``packed`` are its test cases, compressed JSON: those of the whole test set are 1.2 GB of text.

    ``solution`` is the shortest known one that is valid Python, "" where there is none; ``function`` what is called,
    "" where standard input is read; ``first_case`` is for a reader.
    """

    problem_id: str
    difficulty: str
    question: str
    starter_code: str
    solution: str
    function: str
    first_case: str
    packed: bytes

    @property
    def call_based(self) -> bool:
        return bool(self.function)

    @property
    def cases(self) -> dict[str, Any]:
        """``inputs``, ``outputs`` (as many) and, for a call-based problem, ``fn_name``."""
        cases: dict[str, Any] = json.loads(zlib.decompress(self.packed))
        return cases

    @property
    def names(self) -> frozenset[str]:
        """What an answer has to define: of a call-based problem its function, or the class that has it."""
        return frozenset({self.function, "Solution"}) if self.call_based else frozenset()

    def instruction(self, fence: str) -> str:
        """What is asked, in the paper's words; of a call-based problem with the code to start from."""
        question = self.question.strip("\n")
        if self.call_based and self.starter_code.strip():
            question += f"\n\n{self.starter_code.rstrip()}"
        guide = _CALL_BASED if self.call_based else _STANDARD_IO
        return _INSTRUCTION.format(guide=guide, fence=fence, question=question)

    def shot(self, fence: str) -> str:
        """The problem and its solution, as an example."""
        return f"Q: {self.instruction(fence)}\nA: {fence}\n{self.solution.strip()}\n{fence}\n"


def tasks(context: EvaluationContext) -> list[Task]:
    """The problems of the test split (of a file that has none: all but the two that are shown).

    Problems without test cases can't be judged and are left out.
    """
    wanted = () if in_chat(context.settings, context.model) else context.own(AppsSettings).shots
    train, test = problems(context.data, with_train=wanted != ())
    shots = choose_shots(train, wanted)
    shown = {problem.problem_id for problem in shots}
    fence = _FENCES[context.own(AppsSettings).fence]
    examples = "".join(problem.shot(fence) for problem in shots)
    return [
        _task(problem, examples, fence, context)
        for problem in test or [problem for problem in train if problem.problem_id not in shown]
    ]


def problems(given: Path | None, *, with_train: bool = True) -> tuple[list[AppsProblem], list[AppsProblem]]:
    """The problems that have test cases: of the train split, and of the test split.

    A problem's split is its own field ``split``, or ``train`` in a file whose name says so.

    Args:
        with_train: read the train split's own file too, if there is one.
    """
    apps_programs.allow_long_integers()
    splits: tuple[list[AppsProblem], list[AppsProblem]] = ([], [])
    paths = locate_data("apps", DATA, given)
    if with_train and (given is None or (given.is_dir() and holds_data(_TRAIN, given))):
        paths += locate_data("apps", _TRAIN, given)
    for path in paths:
        for record in read_records(path, required=_FIELDS):
            in_train = record[1].get("split", "train" if "train" in path.name else "test") == "train"
            if (problem := _problem(*record)) is not None:
                splits[not in_train].append(problem)
    return splits


def choose_shots(train: Sequence[AppsProblem], ids: Sequence[int] | None) -> list[AppsProblem]:
    """The solved problems that are shown: those named, or a short one of each kind (the paper does not say which).

    Raises:
        UserError: they are not in the train split, or have no solution.
    """
    solved = {problem.problem_id: problem for problem in train if problem.solution}
    if ids is not None:
        if missing := [str(number) for number in ids if str(number) not in solved]:
            raise UserError(
                f"{', '.join(missing)}: no such problem with a solution in the train split", key="apps.shots"
            )
        return [solved[str(number)] for number in ids]
    short = [
        problem for problem in solved.values() if len(problem.question + problem.solution) <= _MOST_IN_A_SHOT
    ]
    first_of_each = [
        next((problem for problem in short if problem.call_based is kind), None) for kind in (False, True)
    ]
    shots = [problem for problem in first_of_each if problem is not None]
    shots += [problem for problem in short if problem not in shots][: 2 - len(shots)]
    if len(shots) < 2:
        raise UserError(
            "two solved problems of the train split are shown to the model, and the data holds none; put train.jsonl "
            "beside test.jsonl, or show none with apps.shots = []",
            key="apps",
        )
    return shots


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """``pass@1`` (more samples: ``pass@5``, ``@10``, ``@100``) of all problems and of each difficulty
    (``pass@5_introductory``), and ``test_case_average``, the mean share of test cases passed."""
    levels: dict[str, ProblemValues] = {}
    shares: ProblemValues = {}
    for row in rows:
        levels.setdefault(row["difficulty"], {}).setdefault(problem_key(row), []).append(row["passed"])
        shares.setdefault(problem_key(row), []).append(
            row["cases_passed"] / row["cases"] if row["cases"] else 0.0
        )
    everything = {task: values for level in levels.values() for task, values in level.items()}
    found = pass_at_k_scores(everything, ks=KS)
    for difficulty in DIFFICULTIES:
        if difficulty in levels:
            found |= pass_at_k_scores(levels[difficulty], ks=KS, suffix=f"_{difficulty}")
    return found | {"test_case_average": mean_scores(shares)}


def _problem(place: str, row: dict[str, Any]) -> AppsProblem | None:
    cases = _parsed(row["input_output"], place, "input_output")
    if not cases:
        return None
    if not isinstance(cases, dict):
        raise UserError("must be a JSON object", file=place, key="input_output")
    inputs, outputs = (
        require_field(cases, key, list, f"{place}: input_output") for key in ("inputs", "outputs")
    )
    if len(inputs) != len(outputs):
        raise UserError(f"{len(inputs)} inputs, but {len(outputs)} outputs", file=place, key="input_output")
    solutions = _parsed(row.get("solutions") or "[]", place, "solutions")
    if not inputs:
        return None
    return AppsProblem(
        str(row["problem_id"]),
        row["difficulty"],
        row["question"],
        row.get("starter_code") or "",
        _shortest_valid(solutions),
        str(cases.get("fn_name") or ""),
        f"{len(inputs)} test cases, of which the first is:\n{_shown(inputs[0])}\n->\n{_shown(outputs[0])}",
        zlib.compress(json.dumps(cases).encode(), 1),
    )


def _shortest_valid(solutions: Sequence[str]) -> str:
    """Some are of Python 2, and some return outside of any function, which APPS' own runner lets pass."""
    with warnings.catch_warnings(action="ignore"):
        for solution in sorted(solutions, key=len):
            try:
                compile(solution, "solution.py", "exec", dont_inherit=True)
            except (SyntaxError, ValueError):
                continue
            return solution
    return ""


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _parsed(value: Any, place: str, key: str) -> Any:
    """Both fields are JSON in a text, in some copies plain JSON."""
    if not isinstance(value, str):
        return value
    return parse_json(value, f"{place}: {key}") if value.strip() else None


def _task(problem: AppsProblem, examples: str, fence: str, context: EvaluationContext) -> Task:
    like_apps = context.own(AppsSettings).comparison == "apps"

    def programs(code: str) -> list[Program]:
        return apps_programs.programs(code, problem.cases)

    def judge(code: str, outcomes: Sequence[Outcome]) -> SampleRow:
        return apps_programs.verdict(problem.cases, outcomes, like_apps=like_apps)

    chat = in_chat(context.settings, context.model)
    prompt: Prompt = (
        ChatPrompt((Message("user", problem.instruction(fence)),))
        if chat
        else TextPrompt(f"{examples}Q: {problem.instruction(fence)}\nA: {fence}", (_closing(fence),))
    )
    return Task(
        f"apps/{problem.problem_id}",
        prompt,
        context.own(AppsSettings).max_new_tokens,
        expected=problem.solution,
        test=problem.first_case,
        extract=partial(program_in, names=problem.names, quotes=True) if chat else _base_answer(fence),
        programs=programs,
        judge=judge,
        fields={"difficulty": problem.difficulty},
    )


def _base_answer(fence: str) -> Callable[[str], str]:
    """What a block holds that the prompt opened, up to where it is closed."""
    return lambda text: without_language_tag(cut_at_stops(text, (_closing(fence),)))


def _closing(fence: str) -> str:
    """What ends an answer: quotes at a line's beginning, for those of docstrings are indented."""
    return fence if fence == _FENCES["backticks"] else f"\n{fence}"


_APPS = Benchmark(
    "apps",
    "APPS: contest problems",
    "pass@1",
    data=DATA,
    needs=frozenset({"sandbox"}),
    tasks=tasks,
    scores=scores,
    settings=AppsSettings,
    paper_protocol=STATED,
    size=lambda settings: BenchmarkSize(5_000, 1_500, 350),
    in_words=True,
    temperature=0.6,
    chats=True,
    task_ids="apps/",
)
BENCHMARKS = (_APPS, _APPS.sampled())
