"""Docstrings for Python functions (CodeXGLUE, code to text; paper, Appendix), scored by smoothed BLEU-4.

The code in the data still has its docstring. The docstring is removed, the model fills in the text between the quotes
(in PSM, as in the paper), and the first line of it that is not blank is compared with the reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import ClassVar

from pydantic import Field

from codecascade.evaluation.answers.similarity import docstring_bleu
from codecascade.evaluation.answers.texts import first_nonblank_line
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, PositiveInt
from codecascade.evaluation.data import BenchmarkData, load_records, require_field
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.rates import mean_scores, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.task import (
    Benchmark,
    EvaluationContext,
    InfillingPrompt,
    SampleRow,
    Task,
    TextPrompt,
)
from codecascade.sandbox.outcome import Outcome

DATA = BenchmarkData(
    files=("python/test.jsonl*", "*/python/test.jsonl*", "test.jsonl*"),
    licence="C-UDA",
    hub="google/code_x_glue_ct_code_to_text",
    hub_files=("python/test-*.parquet",),
    fields=("code", "docstring_tokens"),
)
_STRING = re.compile(r"\"\"\"|'''|\"|'")
_SIGNATURE_END = re.compile(r":[ \t]*(?:#[^\n]*)?\n")


class DocstringsSettings(BenchmarkSettings):
    """``[evaluate.docstrings]``."""

    key = "docstrings"
    asking: ClassVar[frozenset[str]] = frozenset({"heal", "max_new_tokens"})

    heal: bool = Field(
        True, description="the prefix may end inside a token (token healing; the paper's is without)"
    )
    max_new_tokens: PositiveInt = Field(128, description="tokens per docstring, at most")


def tasks(context: EvaluationContext) -> list[Task]:
    """One task for each function. The reference is the first paragraph of its docstring, as tokens."""
    made: list[Task] = []
    settings = context.own(DocstringsSettings)
    layouts = context.model.infilling_formats
    for location, row in load_records("docstrings", DATA, context.data, {"code": str, "docstring": str}):
        tokens = require_field(row, "docstring_tokens", list, location)
        reference = " ".join(map(str, tokens))
        prefix, suffix = without_docstring(row["code"], row["docstring"])
        made.append(
            Task(
                f"docstrings/{len(made)}",
                InfillingPrompt(prefix, suffix, layouts[0], settings.heal)
                if layouts
                else TextPrompt(prefix, heal=settings.heal),
                settings.max_new_tokens,
                expected=reference,
                extract=first_nonblank_line,
                judge=_judge(reference),
                fields={"format": layouts[0] if layouts else LEFT_TO_RIGHT},
            )
        )
    return made


def without_docstring(code: str, docstring: str) -> tuple[str, str]:
    """The code up to the docstring's opening quotes, and the code from its closing quotes on.

    The docstring is found by its first words, because the code may be in a version of Python that can't be parsed.
    Code without the docstring gets empty quotes after its signature.
    """
    wanted = docstring.split()[:3]
    start = 0
    while wanted and (opening := _STRING.search(code, start)):
        body = _until(code, opening.end(), opening[0])
        if body is not None and body.split()[: len(wanted)] == wanted:
            return code[: opening.end()], code[opening.end() + len(body) :]
        start = opening.end() if body is None else opening.end() + len(body) + len(opening[0])
    signature = _SIGNATURE_END.search(code)
    cut = signature.end() if signature else len(code)
    return f'{code[:cut]}    """', f'"""\n{code[cut:]}'


def _until(code: str, start: int, quotes: str) -> str | None:
    """The text from ``start`` to the closing quotes; None if this is not a string (an apostrophe in a comment)."""
    end = code.find(quotes, start)
    while end > 0 and code[end - 1] == "\\":
        end = code.find(quotes, end + 1)
    body = code[start:end]
    return None if end < 0 or (len(quotes) == 1 and "\n" in body) else body


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """``bleu``: the mean over functions, a fraction of 1 (published figures are 100 times this).

    A model without infilling tokens sees only the code before the docstring. Its figure is ``bleu_left_to_right``.
    """
    left_to_right = bool(rows) and rows[0].get("format") == LEFT_TO_RIGHT
    return {
        f"bleu_{LEFT_TO_RIGHT}" if left_to_right else "bleu": mean_scores(
            values_by_problem(rows, "bleu")["bleu"]
        )
    }


def _judge(reference: str) -> Callable[[str, Sequence[Outcome]], SampleRow]:
    def judge(completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
        return {"bleu": docstring_bleu(reference, completion)}

    return judge


BENCHMARKS = (
    Benchmark(
        "docstrings",
        "CodeXGLUE: docstrings of Python functions",
        "bleu",
        data=DATA,
        tasks=tasks,
        scores=scores,
        greedy=True,
        settings=DocstringsSettings,
        size=lambda settings: BenchmarkSize(14_918, 250, 60),
        kept_out="never",
        task_ids="docstrings/",
        version=2,
    ),
)
