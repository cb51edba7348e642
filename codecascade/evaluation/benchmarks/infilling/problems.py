"""Infilling problems: functions with a masked part. They are read from published files, or made here.

Published files (Bavarian et al. 2022) mask one line, several lines or any span of HumanEval's solutions. The problems
with one line can be made from HumanEval itself. Held-out problems are made from the corpus.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from codecascade.corpus.corpus import Corpus
from codecascade.corpus.documents import Document
from codecascade.corpus.reading.functions import PythonFunction, python_functions
from codecascade.evaluation.benchmarks.code.humaneval import HumanEvalProblem
from codecascade.evaluation.benchmarks.infilling.settings import InfillingTaskSettings
from codecascade.evaluation.data import Record, require_field
from codecascade.ground.python_source import parse_module
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox
from codecascade.sandbox.splitting import TOGETHER, SplitDecision, split_tests

_DOCTESTS = """
import doctest as _doctest
_runner = _doctest.DocTestRunner(
    verbose=False, optionflags=_doctest.ELLIPSIS | _doctest.NORMALIZE_WHITESPACE
)
for _test in _doctest.DocTestFinder().find({name}, {name!r}, False, globals()):
    _runner.run(_test)
assert _runner.tries and not _runner.failures
"""


@dataclass(frozen=True)
class InfillingProblem:
    """A text ``prefix + middle + suffix`` whose middle is masked.

    Attributes:
        test: code that tests the text; empty if it can't be run.
        setup: code that runs before the text.
        entry_point: the function that ``test`` calls, if that is all that it needs of the text.
        apart: else, how ``test`` runs in another process than the text.
    """

    task_id: str
    prefix: str
    middle: str
    suffix: str
    test: str = ""
    setup: str = ""
    entry_point: str | None = None
    apart: SplitDecision = TOGETHER

    @property
    def text(self) -> str:
        return self.prefix + self.middle + self.suffix

    def program(self, middle: str) -> Program:
        apart = (
            self.apart if self.entry_point is None else split_tests(self.test, self.text, self.entry_point)
        )
        source = self.setup + self.prefix + middle + self.suffix
        return Program(source, tests=self.test, calls=apart.calls, given=apart.given)


def single_line_problems(problems: Iterable[HumanEvalProblem]) -> list[InfillingProblem]:
    """A problem for each line of each canonical solution that is not blank: 1,033 for all of HumanEval.

    Task ids, prefixes, middles and suffixes equal those of the published ``HumanEval-SingleLineInfilling``. (Its
    prefixes have a blank line before the first line of a body.)
    """
    return [
        InfillingProblem(
            f"SingleLineInfilling/{problem.task_id}/L{number}",
            problem.prompt + "\n".join(lines[:number]) + "\n",
            line + "\n",
            "\n".join(lines[number + 1 :]),
            problem.check,
            entry_point=problem.entry_point,
        )
        for problem in problems
        for lines in [problem.canonical_solution.split("\n")]
        for number, line in enumerate(lines)
        if line.strip()
    ]


def heldout_problems(
    corpus: Corpus, sandbox: Sandbox, settings: InfillingTaskSettings, seed: int
) -> list[InfillingProblem]:
    """A problem for each of ``settings.problems`` functions of held-out Python documents, chosen by the seed.

    Functions are taken from as many documents as possible, and a text that occurs twice counts once. Functions with
    doctests that pass are rare, so they are preferred: up to a quarter of the problems.
    """
    rng = random.Random(seed)
    table = corpus.documents("heldout", "python")
    wanted = settings.problems
    document_indices = list(range(len(table)))
    rng.shuffle(document_indices)
    if wanted is not None:
        document_indices = document_indices[: 4 * wanted]
    by_document = [_problems_of(table[index], settings, rng) for index in document_indices]
    rounds = (
        problem for one_each in zip_longest(*by_document) for problem in one_each if problem is not None
    )
    problems = list({problem.text: problem for problem in rounds}.values())
    tested = [problem for problem in problems if problem.test][:wanted]
    passing = list(_passing(tested, sandbox))
    chosen = passing[: None if wanted is None else wanted // 4]
    taken = {problem.text for problem in chosen}
    others = [
        replace(problem, test="", setup="", apart=TOGETHER)
        for problem in problems
        if problem.text not in taken
    ]
    return [*chosen, *others][:wanted]


def _passing(tested: Sequence[InfillingProblem], sandbox: Sandbox) -> Iterator[InfillingProblem]:
    """The problems whose original function passes its tests.

    The tests run in another process if the function passes so. One that prints can't: it runs with its tests.
    """
    apart = list(sandbox.run_many(problem.program(problem.middle) for problem in tested))
    others = [
        replace(problem, apart=TOGETHER)
        for problem, outcome in zip(tested, apart, strict=True)
        if not outcome.passed
    ]
    together = {
        problem.task_id: problem
        for problem, outcome in zip(
            others, sandbox.run_many(problem.program(problem.middle) for problem in others), strict=True
        )
        if outcome.passed
    }
    for problem, outcome in zip(tested, apart, strict=True):
        if outcome.passed:
            yield problem
        elif problem.task_id in together:
            yield together[problem.task_id]


def _problems_of(
    document: Document, settings: InfillingTaskSettings, rng: random.Random
) -> list[InfillingProblem]:
    shortest, longest = settings.min_characters, settings.max_characters
    problems = []
    for function in python_functions(document.text):
        source = function.standalone.rstrip() + "\n"
        if shortest <= len(source) <= longest and (numbers := body_lines(source)):
            lines = source.splitlines(keepends=True)
            number = rng.choice(numbers)
            task_id = f"{document.id}/{function.qualified_name}/L{number}"
            prefix, suffix = "".join(lines[:number]), "".join(lines[number + 1 :])
            test = _doctests(function)
            # The whole module runs first, for the imports and helpers that the function needs.
            setup = f"exec(compile({document.text!r}, 'module', 'exec'), globals())\n" if test else ""
            apart = SplitDecision((function.name,), setup + source) if test else TOGETHER
            problems.append(
                InfillingProblem(task_id, prefix, lines[number], suffix, test, setup, apart=apart)
            )
    rng.shuffle(problems)
    return problems


def body_lines(source: str) -> list[int]:
    """The numbers (from 0) of the lines of a function's body that have code. The docstring is left out."""
    tree = parse_module(source)
    if tree is None or not isinstance(node := tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef):
        return []
    first = node.body[0]
    header = first.end_lineno if ast.get_docstring(node) is not None else _first_line(first) - 1
    assert header is not None
    lines = source.splitlines()
    return [
        number
        for number in range(max(header, node.lineno), len(lines))
        if lines[number].strip() and not lines[number].lstrip().startswith("#")
    ]


def _first_line(statement: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(statement, "decorator_list", [])
    return min([statement.lineno, *(decorator.lineno for decorator in decorators)])


def _doctests(function: PythonFunction) -> str:
    """Code that runs the doctests of a top-level function; empty if it has none. It fails unless all pass."""
    if not function.docstring or ">>>" not in function.docstring or "." in function.qualified_name:
        return ""
    return _DOCTESTS.format(name=function.name)


def published_problems(records: Iterable[Record], kind: str) -> list[InfillingProblem]:
    """The problems of one ``kind`` in a published file. Their task ids begin with the kind (``SingleLine``).

    Raises:
        UserError: a record is malformed.
    """
    fields = ("task_id", "prompt", "suffix", "canonical_solution", "test", "entry_point")
    records = list(records)
    for location, row in records:
        for field in fields:
            require_field(row, field, str, location)
    return [
        InfillingProblem(
            row["task_id"],
            row["prompt"],
            row["canonical_solution"],
            row["suffix"],
            f"\n{row['test']}\ncheck({row['entry_point']})\n",
            entry_point=row["entry_point"],
        )
        for _, row in records
        if row["task_id"].startswith(f"{kind}Infilling")
    ]
