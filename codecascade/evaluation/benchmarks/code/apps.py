"""APPS (Hendrycks et al. 2021): programming contest problems. A program reads and prints, or a function is written.

The protocol is the paper's (Table 3). Two solved problems are shown, or none in the chat format. The answer is in a
code block. Every sample counts, whether or not it solves the examples in the prompt. A sample passes if it passes all
test cases. Outputs are compared as APPS' own runner compares them, unless the settings say otherwise.
"""

from __future__ import annotations

import json
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
from codecascade.ground.files.reading import parse_json
from codecascade.ground.python_source import compiles
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
# Longest test case that a reader is shown, in characters.
_SHOWN = 1_000
# Longest solved problem that is shown, in characters. Two of them must fit a context of 4,096 tokens.
_MOST_IN_A_SHOT = 2_500


@dataclass(frozen=True)
class AppsProblem:
    """A problem of APPS.

    Attributes:
        solution: the shortest known solution that is valid Python; "" if there is none.
        function: the name of the function that is called; "" if the program reads standard input.
        first_case: the first test case, for a reader.
        packed: the test cases as compressed JSON. Those of the whole test set are 1.2 GB of text.
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
        """The test cases: ``inputs``, as many ``outputs``, and ``fn_name`` if a function is called."""
        cases: dict[str, Any] = json.loads(zlib.decompress(self.packed))
        return cases

    @property
    def names(self) -> frozenset[str]:
        """What the answer to a call-based problem must define one of: the function, or the class that has it."""
        return frozenset({self.function, "Solution"}) if self.call_based else frozenset()

    def instruction(self, fence: str) -> str:
        """The question in the paper's words. That of a call-based problem includes the code to start from."""
        question = self.question.strip("\n")
        if self.call_based and self.starter_code.strip():
            question += f"\n\n{self.starter_code.rstrip()}"
        guide = _CALL_BASED if self.call_based else _STANDARD_IO
        return _INSTRUCTION.format(guide=guide, fence=fence, question=question)

    def shot(self, fence: str) -> str:
        """The problem with its solution, as an example in a prompt."""
        return f"Q: {self.instruction(fence)}\nA: {fence}\n{self.solution.strip()}\n{fence}\n"


def tasks(context: EvaluationContext) -> list[Task]:
    """The problems of the test split. Of data without a test split: all except the two that are shown.

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
    """The problems of the train split and of the test split that have test cases.

    A problem's field ``split`` names its split. Without it, the problems of a file whose name contains "train" are of
    the train split, and all others of the test split.

    Args:
        with_train: also read the file of the train split, if there is one.
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
    """The solved problems that are shown: those with these ids, or a short one of each kind.

    (The paper does not say which it shows.)

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
    """``pass@1`` (with more samples ``pass@5``, ``@10``, ``@100``), and ``test_case_average``.

    pass@k is over all problems, and over each difficulty (``pass@5_introductory``). ``test_case_average`` is the mean
    share of test cases that a sample passes.
    """
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


def _problem(location: str, row: dict[str, Any]) -> AppsProblem | None:
    cases = _parsed(row["input_output"], location, "input_output")
    if not cases:
        return None
    if not isinstance(cases, dict):
        raise UserError("must be a JSON object", file=location, key="input_output")
    inputs, outputs = (
        require_field(cases, key, list, f"{location}: input_output") for key in ("inputs", "outputs")
    )
    if len(inputs) != len(outputs):
        raise UserError(
            f"{len(inputs)} inputs, but {len(outputs)} outputs", file=location, key="input_output"
        )
    solutions = _parsed(row.get("solutions") or "[]", location, "solutions")
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
    """The shortest solution that compiles; "" if none does.

    Some solutions are Python 2, and some return outside of any function, which APPS' own runner accepts.
    """
    return next(filter(compiles, sorted(solutions, key=len)), "")


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]} ..."


def _parsed(value: Any, location: str, key: str) -> Any:
    """The value of a field that is JSON inside a text, or plain JSON in some copies of the data."""
    if not isinstance(value, str):
        return value
    return parse_json(value, f"{location}: {key}") if value.strip() else None


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
    """Extracts the content of a block that the prompt opened, up to its closing fence."""
    return lambda text: without_language_tag(cut_at_stops(text, (_closing(fence),)))


def _closing(fence: str) -> str:
    """The string that ends an answer. Quotes count at the beginning of a line only: those of docstrings are
    indented.
    """
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
    version=4,
)
BENCHMARKS = (_APPS, _APPS.sampled())
