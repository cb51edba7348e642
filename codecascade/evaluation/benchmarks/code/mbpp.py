"""MBPP (Austin et al. 2021): short Python programs from one sentence and three assertions.

``mbpp`` shows the solved tasks 2, 3 and 4 before each of the 500 tasks of the test set (ids 11 to 510), in the prompt
of the data's authors. ``mbpp_zero_shot`` shows none, and asks for the program between ``[PYTHON]`` tags, in the chat
format if the settings ask for it (paper, Table 8). Its prompt is that of the paper's Figure 12, in which the sentence
about the tests begins a new line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import Field

from codecascade.evaluation.answers.names import bound_names, names_read
from codecascade.evaluation.answers.parsing import parse_python
from codecascade.evaluation.answers.python_code import declares
from codecascade.evaluation.answers.replies import program_in, without_thoughts
from codecascade.evaluation.answers.texts import FENCE, cut_at_stops
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, PositiveInt
from codecascade.evaluation.benchmarks.code.humaneval import in_chat, pass_scores
from codecascade.evaluation.data import BenchmarkData, load_records
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.statements import TEN_SECONDS, benchmark_protocol, chat_condition, token_limit
from codecascade.evaluation.task import (
    Benchmark,
    ChatPrompt,
    EvaluationContext,
    Message,
    Program,
    Prompt,
    Task,
    TextPrompt,
)
from codecascade.ground.errors import UserError
from codecascade.sandbox.program import IMPORTED
from codecascade.sandbox.splitting import split_tests

DATA = BenchmarkData(
    files=("mbpp.jsonl*", "sanitized-mbpp.json*"),
    licence="CC BY 4.0",
    hub="google-research-datasets/mbpp",
    hub_files=("full/test-*.parquet", "full/prompt-*.parquet"),
)
SHOTS = (2, 3, 4)
TEST = range(11, 511)
STOPS = ("[DONE]",)
_BLOCK = (
    "You are an expert Python programmer, and here is your task: {text}{then}Your code should pass these tests:\n\n"
    "{tests}\n"
)
_TAGGED = re.compile(r"\[PYTHON\](.*?)(?:\[/PYTHON\]|\Z)", re.DOTALL)


class MbppSettings(BenchmarkSettings):
    """``[evaluate.mbpp]``."""

    key = "mbpp"

    max_new_tokens: PositiveInt = Field(512, description="tokens per answer, at most")


@dataclass(frozen=True)
class MbppProblem:
    """A problem of MBPP. ``tests`` are assertions, and ``setup`` is code that runs before them."""

    number: int
    text: str
    code: str
    tests: tuple[str, ...]
    setup: str = ""

    @property
    def task_id(self) -> str:
        return f"MBPP/{self.number}"

    def block(self, *, then: str = " ") -> str:
        """The task as it is in a prompt. ``then`` separates the question from the tests."""
        return _BLOCK.format(text=self.text, then=then, tests="\n".join(self.tests))

    @property
    def functions(self) -> frozenset[str]:
        """The names of the reference program that the tests use."""
        code = parse_python(self.code) or ast.Module([], [])
        tests = [tree for test in self.tests if (tree := parse_python(test)) is not None]
        defined = {name for statement in code.body for name in bound_names(statement)}
        return frozenset(defined.intersection(*map(names_read, tests)) if tests else defined)

    @property
    def check(self) -> str:
        """What runs after the answer: the setup, which in one task uses a class of the answer, and the tests."""
        return "\n".join([self.setup, *self.tests, ""])


def mbpp_problems(file: Path | None = None, *, benchmark: str = "mbpp") -> list[MbppProblem]:
    """All problems of a file, in the full or the sanitized form.

    Raises:
        UserError: the data was not found, or a record is malformed.
    """
    records = load_records(benchmark, DATA, file, {"task_id": int, "code": str, "test_list": list})
    problems = []
    for location, row in records:
        text = row.get("text", row.get("prompt"))
        if not isinstance(text, str):
            raise UserError("is missing, or no text", file=location, key="text")
        if not all(isinstance(test, str) for test in row["test_list"]):
            raise UserError("must be texts", file=location, key="test_list")
        setup = row.get("test_setup_code") or "\n".join(row.get("test_imports") or ())
        problems.append(
            MbppProblem(
                row["task_id"], text, _unix(row["code"]), tuple(map(_unix, row["test_list"])), _unix(setup)
            )
        )
    return problems


def mbpp_tasks(context: EvaluationContext) -> list[Task]:
    """The tasks of ``mbpp``, with three solved tasks in each prompt."""
    problems = mbpp_problems(context.data)
    by_number = {problem.number: problem for problem in problems}
    if missing := [number for number in SHOTS if number not in by_number]:
        raise UserError(f"the data lacks the tasks {missing} that prompts show", key="mbpp")
    shots = "".join(
        f"{by_number[number].block()}[BEGIN]\n{by_number[number].code}\n[DONE]\n" for number in SHOTS
    )
    return [
        _task(problem, TextPrompt(f"{shots}{problem.block()}[BEGIN]\n", (*STOPS, FENCE)), context)
        for problem in problems
        if problem.number in TEST
    ]


def mbpp_zero_shot_tasks(context: EvaluationContext) -> list[Task]:
    """The tasks of ``mbpp_zero_shot``."""
    return [
        _task(problem, _zero_shot(problem, context), context, tagged=True)
        for problem in mbpp_problems(context.data, benchmark="mbpp_zero_shot")
        if problem.number in TEST
    ]


def _zero_shot(problem: MbppProblem, context: EvaluationContext) -> Prompt:
    asked = problem.block(then="\n")
    text = f"{asked}Your code should start with a [PYTHON] tag and end with a [/PYTHON] tag."
    if in_chat(context.settings, context.model):
        return ChatPrompt((Message("user", text),), stop=("[/PYTHON]",))
    return TextPrompt(f"{text}\n[PYTHON]\n", ("[/PYTHON]",))


def _task(problem: MbppProblem, prompt: Prompt, context: EvaluationContext, *, tagged: bool = False) -> Task:
    apart = split_tests(problem.check, problem.code)

    def programs(completion: str) -> Sequence[Program]:
        return [Program(completion, name=IMPORTED, tests=problem.check, calls=apart.calls, given=apart.given)]

    return Task(
        problem.task_id,
        prompt,
        context.own(MbppSettings).max_new_tokens,
        expected=problem.code,
        test=problem.check.strip(),
        extract=partial(tagged_code, names=problem.functions)
        if tagged
        else partial(cut_at_stops, stops=STOPS),
        programs=programs,
        aliases=(str(problem.number), f"Mbpp/{problem.number}"),
    )


def tagged_code(text: str, names: Collection[str] = ()) -> str:
    """The program between ``[PYTHON]`` tags; without tags, the program in the whole reply.

    A code block between the tags, or in the reply, is preferred to the text around it. If there are several pairs of
    tags, the last one with a program counts, or the last one whose program defines one of ``names``.

    >>> tagged_code("[PYTHON]\\nx = 1\\n[/PYTHON] is it.")
    '\\nx = 1\\n'
    """
    text = without_thoughts(text)
    tagged = [program_in(match[1], names) for match in _TAGGED.finditer(text)]
    if not tagged:
        return program_in(text.partition("[/PYTHON]")[0], names)
    programs = [
        program
        for program in tagged
        if (tree := parse_python(program)) and (not names or declares(tree, names))
    ]
    return (programs or tagged)[-1]


def _unix(text: str) -> str:
    """A text with ``\\n`` as line ends and spaces in place of tabs. Some reference programs mix them."""
    return text.replace("\r\n", "\n").replace("\r", "").replace("\t", "    ")


_MBPP = Benchmark(
    "mbpp",
    "MBPP: 3-shot",
    "pass@1",
    DATA,
    frozenset({"sandbox"}),
    tasks=mbpp_tasks,
    scores=pass_scores,
    settings=MbppSettings,
    size=lambda settings: BenchmarkSize(500, 700, 350),
    paper_protocol=benchmark_protocol(
        MbppSettings,
        {"max_new_tokens": token_limit("an answer")},
        asking=("the shots are the tasks 2, 3 and 4 in the prompt of the data's authors",),
        silent=(TEN_SECONDS,),
    ),
    kept_out="fetched",
    in_words=True,
    task_ids=r"(MBPP|Mbpp)/\d+$",
    version=3,
)
BENCHMARKS = (
    _MBPP,
    _MBPP.sampled(),
    Benchmark(
        "mbpp_zero_shot",
        "MBPP: zero-shot",
        "pass@1",
        DATA,
        frozenset({"sandbox"}),
        tasks=mbpp_zero_shot_tasks,
        scores=pass_scores,
        settings=MbppSettings,
        size=lambda settings: BenchmarkSize(500, 180, 150),
        paper_protocol=benchmark_protocol(
            MbppSettings,
            {"max_new_tokens": token_limit("an answer")},
            chat_condition(
                True,
                "asked without a chat format, behind an opened tag; the paper asks its Instruct models in theirs",
            ),
            silent=(TEN_SECONDS,),
        ),
        in_words=True,
        task_ids=r"(MBPP|Mbpp)/\d+$",
        chats=True,
        version=4,
    ),
)
