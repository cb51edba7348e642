"""Single-line infilling: one whole line of a function is masked, and the model writes it again.

Two benchmarks of the same shape. ``infilling_single_line`` masks each line of HumanEval's canonical solutions, in
the way of the infilling benchmark (Bavarian et al. 2022; paper, Table 14), and runs HumanEval's tests.
``infilling_heldout`` masks a line of functions in held-out documents of the corpus, and runs their doctests where
they have some that pass with the true line.

``exact_match``, ``pass@1`` and ``ended`` (the share of generations that ended by themselves) are of the layout that
the settings name (PSM by default; another where the family does not know it), ``exact_match_spm`` or
``exact_match_psm`` of the other one. SPM is healed. A model without infilling tokens scores 0, and beside it stands
how it does left to right, line by line.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from codecascade.corpus.documents import Document
from codecascade.corpus.functions import Function, functions_of, parse
from codecascade.corpus.table import Corpus
from codecascade.evaluation.humaneval import HumanEvalProblem, humaneval_problems
from codecascade.evaluation.metrics import rate, wilson
from codecascade.evaluation.result import Bench, BenchmarkResult, Example, execution_row, seed_for, subset
from codecascade.evaluation.settings import EvaluateSettings
from codecascade.generation.requests import (
    Completion,
    Request,
    Sampling,
    completion_request,
    infilling_request,
)
from codecascade.sandbox.sandbox import Sandbox
from codecascade.tokens.tokenizer import Tokenizer

_LEFT_TO_RIGHT = ("left_to_right",)  # the only "layout" of a model without infilling tokens
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
    """``prefix + middle + suffix`` is the whole text; unless ``test`` is empty, it can be run between ``setup``
    and ``test``."""

    task_id: str
    prefix: str
    middle: str
    suffix: str
    test: str = ""
    setup: str = ""

    @property
    def text(self) -> str:
        return self.prefix + self.middle + self.suffix

    def program(self, middle: str) -> str:
        return self.setup + self.prefix + middle + self.suffix + self.test


# ---- problems -------------------------------------------------------------------------------------------------


def single_line_problems(problems: Iterable[HumanEvalProblem]) -> list[InfillingProblem]:
    """A problem for each line of each canonical solution that is not blank: 1,033 for all of HumanEval.

    Task ids, prefixes (with the blank line that the benchmark has before a body's first line), middles and suffixes
    are those of the published ``HumanEval-SingleLineInfilling``.
    """
    return [
        InfillingProblem(
            f"SingleLineInfilling/{problem.task_id}/L{number}",
            problem.prompt + "\n".join(lines[:number]) + "\n",
            line + "\n",
            "\n".join(lines[number + 1 :]),
            problem.check,
        )
        for problem in problems
        for lines in [problem.canonical_solution.split("\n")]
        for number, line in enumerate(lines)
        if line.strip()
    ]


def heldout_problems(corpus: Corpus, sandbox: Sandbox, settings: EvaluateSettings) -> list[InfillingProblem]:
    """A problem for each of ``infilling_problems`` functions of held-out Python documents, chosen by the seed.

    Functions are taken from as many documents as possible; the same text counts once. Functions with doctests that
    pass are rare: as far as there are some, they are a quarter of the problems.
    """
    rng = random.Random(settings.seed)
    table = corpus.documents("heldout", "python")
    wanted = settings.infilling_problems
    places = list(range(len(table)))
    rng.shuffle(places)
    if wanted is not None:
        places = places[: 4 * wanted]
    by_document = [_problems_of(table[place], settings, rng) for place in places]
    rounds = (
        problem for one_each in zip_longest(*by_document) for problem in one_each if problem is not None
    )
    problems = list({problem.text: problem for problem in rounds}.values())
    tested = [problem for problem in problems if problem.test][:wanted]
    outcomes = sandbox.run_many(problem.program(problem.middle) for problem in tested)
    sound = [problem for problem, outcome in zip(tested, outcomes, strict=True) if outcome.passed]
    chosen = sound[: None if wanted is None else wanted // 4]
    taken = {problem.text for problem in chosen}
    others = [replace(problem, test="", setup="") for problem in problems if problem.text not in taken]
    return [*chosen, *others][:wanted]


def _problems_of(
    document: Document, settings: EvaluateSettings, rng: random.Random
) -> list[InfillingProblem]:
    shortest, longest = settings.infilling_min_characters, settings.infilling_max_characters
    problems = []
    for function in functions_of(document.text):
        source = function.standalone.rstrip() + "\n"
        if shortest <= len(source) <= longest and (numbers := body_lines(source)):
            lines = source.splitlines(keepends=True)
            number = rng.choice(numbers)
            task_id = f"{document.id}/{function.qualified_name}/L{number}"
            prefix, suffix = "".join(lines[:number]), "".join(lines[number + 1 :])
            test = _doctests(function)
            # The function's module, for the imports and helpers that it needs; its own definition comes after.
            setup = f"exec(compile({document.text!r}, 'module', 'exec'), globals())\n" if test else ""
            problems.append(InfillingProblem(task_id, prefix, lines[number], suffix, test, setup))
    rng.shuffle(problems)
    return problems


def body_lines(source: str) -> list[int]:
    """Numbers (from 0) of the lines of a function's body, after its docstring, that hold more than a comment."""
    tree = parse(source)
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


def _doctests(function: Function) -> str:
    """A program's end that runs the doctests of a top-level function; it fails unless there are some and all pass."""
    if not function.docstring or ">>>" not in function.docstring or "." in function.qualified_name:
        return ""
    return _DOCTESTS.format(name=function.name)


# ---- scores ---------------------------------------------------------------------------------------------------


def run_single_line(bench: Bench) -> BenchmarkResult:
    """``infilling_single_line``."""
    settings = bench.settings
    problems = subset(single_line_problems(humaneval_problems()), settings.infilling_problems, settings.seed)
    return score("infilling_single_line", problems, bench)


def run_heldout(bench: Bench) -> BenchmarkResult:
    """``infilling_heldout``."""
    name = "infilling_heldout"
    return score(
        name, heldout_problems(bench.needs_corpus(name), bench.needs_sandbox(name), bench.settings), bench
    )


def score(name: str, problems: Sequence[InfillingProblem], bench: Bench) -> BenchmarkResult:
    """Greedy middles of ``problems`` in each layout that the model's family knows."""
    tokenizer = bench.generator.tokenizer
    known = tokenizer.infilling.formats if tokenizer.infilling else _LEFT_TO_RIGHT
    formats = tuple(sorted(known, key=lambda layout: layout != bench.settings.infilling_format))
    asked = [(problem, layout) for layout in formats for problem in problems]
    requests = [_request(tokenizer, problem, layout, bench.settings) for problem, layout in asked]

    def program(completion: Completion) -> str | None:
        problem, layout = asked[completion.request]
        return problem.program(_middle(completion, layout)) if problem.test and layout == formats[0] else None

    answers = bench.generate_and_run(requests, program, bench.needs_sandbox(name))
    samples: list[dict[str, Any]] = []
    examples = []
    for (problem, layout), (completion, outcome) in zip(asked, answers, strict=True):
        middle = _middle(completion, layout)
        right = middle.rstrip() == problem.middle.rstrip()
        samples.append(
            {
                "task_id": problem.task_id,
                "completion": middle,
                "format": layout,
                "exact_match": right,
                "ended": isinstance(completion.stopped_by, int),
                "finish_reason": completion.finish_reason,
                **execution_row(outcome),
            }
        )
        if layout == formats[0]:
            examples.append(
                Example(problem.task_id, problem.prefix, middle, right, problem.suffix, problem.middle)
            )
    first = [row for row in samples if row["format"] == formats[0]]
    metrics = {
        "exact_match": rate([row["exact_match"] for row in first]),
        "pass@1": rate([row["passed"] for row in first if "passed" in row]),
        "ended": rate([row["ended"] for row in first]),
    }
    if formats == _LEFT_TO_RIGHT:
        metrics = {name: wilson(0, metric.n) for name, metric in metrics.items()} | {
            f"{name}_left_to_right": metric for name, metric in metrics.items() if name != "ended"
        }
    for other in formats[1:]:
        rows = [row["exact_match"] for row in samples if row["format"] == other]
        metrics[f"exact_match_{other}"] = rate(rows)
    return BenchmarkResult(name, metrics, examples, samples, _notes(formats, first))


def _request(
    tokenizer: Tokenizer, problem: InfillingProblem, layout: str, settings: EvaluateSettings
) -> Request:
    sampling = Sampling(
        max_new_tokens=settings.infilling_max_new_tokens, seed=seed_for(settings.seed, problem.task_id)
    )
    if layout in _LEFT_TO_RIGHT:
        return completion_request(tokenizer, problem.prefix, sampling, stop=("\n",))
    return infilling_request(tokenizer, problem.prefix, problem.suffix, sampling, format=layout)


def _middle(completion: Completion, layout: str) -> str:
    """The text that goes between prefix and suffix.

    Left to right the line's end was the stop; a filling that never ended is cut there (``ended`` counts those that
    did end).
    """
    if layout in _LEFT_TO_RIGHT:
        return completion.text + "\n"
    if completion.finish_reason == "length":
        line, newline, _ = completion.text.partition("\n")
        return line + newline
    return completion.text


def _notes(formats: Sequence[str], rows: Sequence[dict[str, Any]]) -> list[str]:
    notes = []
    if formats == _LEFT_TO_RIGHT:
        notes.append(
            "The model has no infilling tokens and can't be asked to infill: exact_match, pass@1 and ended are 0. "
            "The figures named left_to_right are of what it can do: continue the prefix by one line, the suffix "
            "unseen."
        )
    elif formats[0] != "psm":
        notes.append(f"exact_match, pass@1 and ended are of the layout {formats[0].upper()}.")
    if too_long := sum(row["finish_reason"] == "context" for row in rows):
        notes.append(f"{too_long} problems don't fit into the model's context; they count as failed.")
    return notes
