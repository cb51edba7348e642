"""Bodies of held-out Python functions: how well a model predicts them from the head and the docstring.

``bits_per_byte`` is of the body after the head and the docstring, ``bits_per_byte_bare`` of the same body after the
head alone. The difference is what the model takes from the docstring: how well it reads natural language about code.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import Field

from codecascade.corpus.corpus import Corpus
from codecascade.corpus.documents import Document
from codecascade.corpus.reading.functions import SourcePositions, python_functions
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, CommonSettings, PositiveInt
from codecascade.evaluation.benchmarks.language_modelling.validation import ScoredSequence, score_sequences
from codecascade.evaluation.rates import ratio_scores
from codecascade.evaluation.scores import Scores, metrics_of
from codecascade.evaluation.size import TokenEstimate
from codecascade.evaluation.subsets import subset
from codecascade.evaluation.task import Benchmark, EvaluationContext, SampleRow, ScoredTexts
from codecascade.generation.requests import start_id
from codecascade.ground.errors import UserError
from codecascade.ground.python_source import parse_module
from codecascade.tokens.tokenizer import Tokenizer


class DocstringBodySettings(BenchmarkSettings):
    """``[evaluate.docstring_bodies]``."""

    key = "docstring_bodies"

    problems: PositiveInt | None = Field(500, description="functions, at most; none: all")
    min_docstring: PositiveInt = Field(60, description="shortest docstring, in characters")
    max_characters: PositiveInt = Field(2000, description="longest function, in characters")


@dataclass(frozen=True)
class DocumentedFunction:
    """A function in three parts: its head with decorators, its docstring, its body; each of whole lines."""

    task_id: str
    head: str
    docstring: str
    body: str


def score(context: EvaluationContext) -> ScoredTexts:
    """``bits_per_byte`` and ``bits_per_byte_bare`` of the same bodies.

    Intervals are bootstraps over functions. Functions that do not fit the model's context are left out.
    """
    settings = context.own(DocstringBodySettings)
    corpus = context.needs_corpus("docstring_bodies")
    scorer, tokenizer = context.needs_scorer("docstring_bodies")
    room = context.model.context_length
    assert room is not None
    functions = documented_functions(corpus, settings, context.seed)
    sequences = [
        _sequence(tokenizer, index, each, with_docstring=True) for index, each in enumerate(functions)
    ]
    sequences += [
        _sequence(tokenizer, index, each, with_docstring=False) for index, each in enumerate(functions)
    ]
    too_long = {sequence.document for sequence in sequences if len(sequence.ids) > room}
    kept = [sequence for sequence in sequences if sequence.document not in too_long]
    nats, tokens = score_sequences(scorer, kept, len(kept) // 2, len(functions), context.progress)
    rows: list[SampleRow] = [
        {
            "task_id": each.task_id,
            "bytes": len(each.body.encode()),
            "tokens": int(tokens[0][index]),
            "nats": float(nats[0][index]),
            "nats_bare": float(nats[1][index]),
        }
        for index, each in enumerate(functions)
        if index not in too_long
    ]
    if not rows:
        raise UserError(f"no function fits the model's context of {room:,} tokens", key="docstring_bodies")
    return ScoredTexts(metrics_of(scores(rows), context.seed), rows, [])


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """The bits of each function's body by its bytes, with and without the docstring."""
    fields = {"bits_per_byte": "nats", "bits_per_byte_bare": "nats_bare"}
    return {name: ratio_scores(rows, field, "bytes", math.log(2)) for name, field in fields.items()}


def documented_functions(
    corpus: Corpus, settings: DocstringBodySettings, seed: int
) -> list[DocumentedFunction]:
    """Functions with a docstring of held-out Python documents, chosen by the seed; each text once.

    Raises:
        UserError: there is none.
    """
    table = corpus.documents("heldout", "python")
    wanted = settings.problems
    # about one documented function in a document is enough
    documents = subset(range(len(table)), None if wanted is None else 4 * wanted, seed)
    found = {
        each.head + each.body: each for index in documents for each in _documented(table[index], settings)
    }
    functions = list(found.values())
    if not functions:
        raise UserError("the corpus has no held-out function with a docstring", key="docstring_bodies")
    return [functions[index] for index in subset(range(len(functions)), wanted, seed)]


def _documented(document: Document, settings: DocstringBodySettings) -> Iterator[DocumentedFunction]:
    for function in python_functions(document.text):
        if function.docstring is None or len(function.docstring) < settings.min_docstring:
            continue
        source = function.standalone.rstrip() + "\n"
        parts = _parts(source)
        if parts is not None and len(source) <= settings.max_characters:
            yield DocumentedFunction(f"{document.id}/{function.qualified_name}", *parts)


def _parts(source: str) -> tuple[str, str, str] | None:
    """Head, docstring and body of a function's source; None where they share a line or there is no body."""
    tree = parse_module(source)
    if tree is None or not isinstance(node := tree.body[0], ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    docstring, *body = node.body
    if not body or docstring.end_lineno is None:
        return None
    lines = SourcePositions(source).line_starts
    first, last = lines[docstring.lineno - 1], lines[docstring.end_lineno]
    parts = source[:first], source[first:last], source[last:]
    whole = parts[0].strip() and source[first : first + docstring.col_offset].isspace()
    return parts if whole and body[0].lineno > docstring.end_lineno and parts[2].strip() else None


def _sequence(
    tokenizer: Tokenizer, index: int, function: DocumentedFunction, *, with_docstring: bool
) -> ScoredSequence:
    """The function as tokens. The body is encoded on its own, so that both contexts predict the same tokens."""
    before = function.head + function.docstring * with_docstring
    context = [start_id(tokenizer), *tokenizer.encode(before)]
    return ScoredSequence(index, [*context, *tokenizer.encode(function.body)], len(context))


def _size(settings: CommonSettings) -> TokenEstimate:
    """Each function is read twice, with 600 characters. A token is estimated to have four."""
    own = settings.own(DocstringBodySettings)
    return TokenEstimate(2 * (own.problems or 2000) * 600 // 4)


BENCHMARKS = (
    Benchmark(
        "docstring_bodies",
        "Bodies of held-out functions from their docstrings",
        "bits_per_byte",
        needs=frozenset({"corpus", "scores"}),
        higher_is_better=False,
        settings=DocstringBodySettings,
        size=_size,
        plain_metrics=("bits_per_byte", "bits_per_byte_bare"),
        score=score,
        scores=scores,
    ),
)
