"""Key retrieval (paper, Table 18): does the model still use text that is far back in its context?

The prompt is Python code from any source. Among its functions is ``my_function``, which returns a two-digit number
(the key). The prompt ends in an assertion on this number, which the model completes.
"""

from __future__ import annotations

import random
import re
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator

from codecascade.corpus.corpus import Corpus, is_corpus
from codecascade.corpus.reading.functions import python_functions
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, CommonSettings, PositiveInt
from codecascade.evaluation.rates import ProblemValues, mean_scores
from codecascade.evaluation.scores import Scores, problem_key
from codecascade.evaluation.size import TokenEstimate
from codecascade.evaluation.statements import (
    UNASKED_ARE_LEFT_OUT,
    benchmark_protocol,
    compared_elsewhere,
    paper_value,
)
from codecascade.evaluation.task import (
    Benchmark,
    EvaluationContext,
    ReportedFigure,
    SampleRow,
    Task,
    TextPrompt,
    was_asked,
)
from codecascade.ground.errors import UserError
from codecascade.ground.python_source import parse_module
from codecascade.ground.seeds import generator
from codecascade.sandbox.outcome import Outcome

_ANSWER_TOKENS = 8
# In characters. With short blocks, the key can be close to any position, and the prompt to any length.
_LONGEST_BLOCK = 1500
_QUESTION = "\nassert my_function() =="
_TESTS = {"test", "tests", "site-packages", "dist-packages", "idlelib", "lib2to3"}


class KeyRetrievalSettings(BenchmarkSettings):
    """``[evaluate.key_retrieval]``."""

    key = "key_retrieval"

    lengths: tuple[PositiveInt, ...] = Field(
        (4096, 8192, 16384, 24576), description="lengths of the prompts, in tokens"
    )
    positions: tuple[Annotated[float, Field(ge=0, lt=1)], ...] = Field(
        (0.0, 0.2, 0.4), description="where the key is, relative to the prompt's length"
    )
    examples: PositiveInt = Field(64, description="prompts per length and position")
    beyond_context: bool = Field(
        True,
        description="a model in memory is asked prompts longer than its config's positions, too (the paper's way)",
    )

    @field_validator("lengths", "positions")
    @classmethod
    def _at_least_one(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if not values:
            raise ValueError("must have at least one value")
        return values


@dataclass(frozen=True)
class KeyProblem:
    """A prompt of at most ``length`` tokens, including those of the answer. ``position`` is that of the key, in
    [0, 1).
    """

    task_id: str
    length: int
    position: float
    prompt: str
    value: int

    @property
    def cell(self) -> str:
        return _cell(self.length, self.position)


def _cell(length: int, position: float) -> str:
    return f"{length}@{position:g}"


def key_tasks(context: EvaluationContext) -> list[Task]:
    """One task for each prompt."""
    beyond = context.own(KeyRetrievalSettings).beyond_context
    return [
        Task(
            problem.task_id,
            TextPrompt(problem.prompt, ("\n",), beyond_context=beyond),
            _ANSWER_TOKENS,
            expected=f" {problem.value}",
            judge=partial(_judge, problem.value),
            fields={"cell": problem.cell, "value": problem.value},
        )
        for problem in key_problems(context)
    ]


def _judge(value: int, completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
    return {"passed": _first_number(completion) == value}


def key_scores(rows: Iterable[SampleRow]) -> dict[str, Scores]:
    """``accuracy`` over all prompts that were asked, and that of each cell ``<length>@<position>``.

    A prompt that does not fit the model's context was not asked. A cell without any prompt that was asked is over no
    prompts (not run), which is not an accuracy of 0.
    """
    cells: dict[str, ProblemValues] = {}
    for row in rows:
        cell = cells.setdefault(row["cell"], {})
        if was_asked(row):
            cell.setdefault(problem_key(row), []).append(row["passed"])
    everything = {prompt: passed for cell in cells.values() for prompt, passed in cell.items()}
    return {"accuracy": mean_scores(everything)} | {
        cell: mean_scores(found, is_part=True) for cell, found in cells.items()
    }


def key_problems(context: EvaluationContext) -> Iterator[KeyProblem]:
    """``settings.examples`` prompts for each length and position. Only the key's position differs between
    positions.
    """
    settings, count = context.own(KeyRetrievalSettings), context.model.count_tokens
    blocks = _blocks(context, max(settings.lengths))
    for length, example in product(settings.lengths, range(settings.examples)):
        for position in settings.positions:
            rng = generator(context.seed, length, example)
            value = rng.randint(10, 99)
            key = f'def my_function() -> int:\n    """Return the key."""\n    return {value}\n'
            prompt = _prompt(count, blocks, key, length - _ANSWER_TOKENS, position, rng)
            yield KeyProblem(f"{length}@{position:g}/{example}", length, position, prompt, value)


def _blocks(context: EvaluationContext, longest: int) -> list[tuple[str, int]]:
    """Functions of Python files with their numbers of tokens, enough for several prompts of the longest length."""
    texts: list[str] = []
    size = 0
    for text in _files(context):
        for function in python_functions(text):
            source = function.standalone.rstrip() + "\n"
            if len(source) <= _LONGEST_BLOCK and "my_function" not in source and parse_module(source):
                texts.append(source)
                size += len(source)
        if size > 32 * longest:
            break
    if not texts:
        raise UserError("there are no Python functions to fill prompts with", key="key_retrieval")
    count = context.model.counter_of("".join(texts))
    return [(text, count(text)) for text in texts]


def _files(context: EvaluationContext) -> Iterator[str]:
    """The texts of Python files: of the folder that was named, else of the corpus, else of the standard library."""
    corpus = context.corpus
    if context.data is not None:
        if not context.data.exists():
            raise UserError("there is no such file or folder", file=context.data, key="--data key_retrieval")
        corpus = Corpus.open(context.data) if is_corpus(context.data) else None
    if corpus is not None:
        yield from (document.text for document in corpus.documents("heldout", "python"))
        return
    folder = context.data or Path(sysconfig.get_paths()["stdlib"])
    files = [folder] if folder.is_file() else sorted(folder.rglob("*.py"))
    random.Random(context.seed).shuffle(files)
    for file in files:
        if not _TESTS & set(file.parts):
            with suppress(OSError, UnicodeDecodeError):
                yield file.read_text(encoding="utf-8")


def _prompt(
    count: Callable[[str], int],
    blocks: list[tuple[str, int]],
    key: str,
    budget: int,
    position: float,
    rng: random.Random,
) -> str:
    """Blocks in random order, up to ``budget`` tokens, with the key between two of them, nearest to ``position``.

    If there are few blocks, they are repeated.
    """
    # One token, such as BOS, comes before the text.
    budget -= 1
    room = budget - count(f"{key}\n{_QUESTION}")
    filler: list[str] = []
    # Where each block starts, in tokens, and where the last one ends.
    starts = [0]
    for text, size in _endless(blocks, rng):
        if starts[-1] + size + 1 > room:
            break
        filler.append(text)
        starts.append(starts[-1] + size + 1)
    index = min(range(len(starts)), key=lambda index: abs(starts[index] - position * budget))
    # The sum of the blocks' tokens is an estimate: tokens merge or split where blocks meet.
    while True:
        prompt = "\n".join([*filler[:index], key, *filler[index:]]) + _QUESTION
        if not filler or count(prompt) <= budget:
            return prompt
        filler.pop()


def _endless(blocks: list[tuple[str, int]], rng: random.Random) -> Iterator[tuple[str, int]]:
    while True:
        yield from rng.sample(blocks, len(blocks))


def _first_number(text: str) -> int | None:
    match = re.match(r"\s*(\d+)", text)
    return int(match[1]) if match else None


def _size(settings: CommonSettings) -> TokenEstimate:
    own = settings.own(KeyRetrievalSettings)
    cells = len(own.positions) * own.examples
    return TokenEstimate(sum(own.lengths) * cells, _ANSWER_TOKENS * len(own.lengths) * cells)


_STATED = benchmark_protocol(
    KeyRetrievalSettings,
    {
        "lengths": compared_elsewhere("a column is of one length"),
        "positions": compared_elsewhere("a column is of one position"),
        "examples": paper_value(
            64, lambda value: f"prompts for each length and position: {value}; the paper has 64"
        ),
        "beyond_context": paper_value(
            True,
            lambda value: "prompts beyond the model's own context were not asked; the paper extrapolates",
        ),
    },
    {
        "cut_answers": compared_elsewhere("its answers are a number, and end after a few tokens"),
        "unasked": UNASKED_ARE_LEFT_OUT,
        "source": compared_elsewhere("the filler is ours in any case"),
    },
    always=("our own filler and wording",),
)
BENCHMARKS = (
    Benchmark(
        "key_retrieval",
        "Key retrieval",
        "accuracy",
        needs=frozenset({"filler"}),
        tasks=key_tasks,
        scores=key_scores,
        settings=KeyRetrievalSettings,
        paper_protocol=_STATED,
        size=_size,
        columns=(ReportedFigure("accuracy", "Keys retrieved"),),
        rank=110,
        unasked_fail=False,
        picture="cells",
        greedy=True,
    ),
)
