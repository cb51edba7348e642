"""``crosscodeeval``: CrossCodeEval (Ding et al. 2023), the rest of a statement that needs another file.

Its data is Python, Java, TypeScript and C# from GitHub, with parts of other files that its authors retrieved. A row
has ``prompt`` (the file up to the cursor), ``groundtruth``, ``right_context`` (the file behind it), ``metadata``
(``task_id``, ``repository``, ``file``), and ``crossfile_context`` with the parts as a ``list`` (``retrieved_chunk``,
``filename``), the most similar one first, and as one ``text`` of comments.

The authors ask left to right. A model that can infill is asked with the text behind the cursor as well. Of an answer
the first statement counts, without its comments: up to the first ``;``, ``{`` or ``}``, in Python up to the first end
of a line at which no bracket is open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import Field

from codecascade.corpus.code.syntax import OPENING, Scanner, syntax_of
from codecascade.evaluation.benchmark_settings import CommonSettings, PositiveInt
from codecascade.evaluation.benchmarks.repository.judging import METRICS
from codecascade.evaluation.benchmarks.repository.published import (
    PublishedLine,
    PublishedSettings,
    published_notes,
    published_scores,
    published_size,
    published_tasks,
)
from codecascade.evaluation.data import BenchmarkData, load_records, require_field
from codecascade.evaluation.size import TokenEstimate
from codecascade.evaluation.task import Benchmark, EvaluationContext, SampleRow, Task
from codecascade.ground.errors import UserError
from codecascade.tokens.repository import RepositoryChunk

NAME = "crosscodeeval"
DATA = BenchmarkData(
    files=(
        "line_completion_rg1_bm25.jsonl*",
        "*/line_completion_rg1_bm25.jsonl*",
        "line_completion*.jsonl*",
        "*/line_completion.jsonl*",
        "*.jsonl*",
    ),
    licence="Apache-2.0; files: own",
    fields=("prompt", "groundtruth", "metadata"),
)
_FIELDS = {"prompt": str, "groundtruth": str, "metadata": dict}
_LANGUAGES = {
    ".py": "python",
    ".java": "java",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".cs": "csharp",
}
_BLOCK = r"\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''"
_STRING = r"\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'"
_COMMENT = {
    "python": re.compile(rf"{_BLOCK}|{_STRING}|(?P<comment>#[^\n]*)", re.DOTALL),
    "": re.compile(rf"{_BLOCK}|{_STRING}|`(?:\\.|[^`\\])*`|(?P<comment>//[^\n]*|/\*.*?\*/)", re.DOTALL),
}


class CrossCodeEvalSettings(PublishedSettings):
    """``[evaluate.crosscodeeval]``. The authors' values: 512 of 2,048 tokens for other files, 50 new tokens."""

    key = "crosscodeeval"
    asking = frozenset({"max_new_tokens", "context_tokens", "others_share", "heal", "contexts"})

    max_new_tokens: PositiveInt = Field(50, description="tokens per statement, at most")


def tasks(context: EvaluationContext) -> list[Task]:
    """Each statement in each layout, with each context.

    Raises:
        UserError: a record is malformed, or of a language that the benchmark does not have.
    """
    records = load_records(NAME, DATA, context.data, _FIELDS)
    lines = [_line(location, row) for location, row in records]
    settings = context.own(CrossCodeEvalSettings)
    return published_tasks(lines, context, settings, counted_part)


def _line(location: str, row: Mapping[str, Any]) -> PublishedLine:
    about = row["metadata"]
    path = str(require_field(about, "file", str, location))
    language = _LANGUAGES.get(path[path.rfind(".") :])
    if language is None:
        raise UserError(
            f"names no file in Python, Java, TypeScript or C# ({path})", file=location, key="metadata.file"
        )
    suffix = row.get("right_context")
    chunks, text = _others(location, row)
    return PublishedLine(
        str(require_field(about, "task_id", (str, int), location)),
        language,
        str(about.get("repository", "")),
        path,
        row["prompt"],
        without_comments(row["groundtruth"], language),
        suffix if isinstance(suffix, str) else None,
        chunks,
        {"published": f"{text}\n"} if text else {},
    )


def _others(location: str, row: Mapping[str, Any]) -> tuple[tuple[RepositoryChunk, ...], str]:
    """The parts of other files, the most similar one last, and the authors' text of them. Some files have none."""
    given = row.get("crossfile_context")
    if given is None:
        return (), ""
    found = require_field(row, "crossfile_context", (dict, str), location)
    if isinstance(found, str):
        return (), found
    parts = require_field(found, "list", list, location) if found.get("list") is not None else []
    chunks = []
    for part in parts:
        if not isinstance(part, dict):
            raise UserError("must hold objects", file=location, key="crossfile_context.list")
        text = require_field(part, "retrieved_chunk", str, location)
        chunks.append(RepositoryChunk(str(part.get("filename", "")), text))
    return tuple(reversed(chunks)), str(found.get("text") or "")


def counted_part(line: PublishedLine, answer: str) -> str:
    """What counts of an answer: its first statement, without comments."""
    return without_comments(first_statement(line.prefix, answer, line.language), line.language)


def first_statement(prefix: str, answer: str, language: str) -> str:
    """The beginning of an answer that ends the statement at the cursor; all of it if it does not end."""
    if language != "python":
        end = re.search(r"[;{}]", answer)
        return answer if end is None else answer[: end.end()]
    scanner = Scanner(syntax_of(language, ""))
    depth = _depth(scanner, prefix, 0)
    kept = ""
    for line in answer.split("\n"):
        depth = _depth(scanner, f"{line}\n", depth)
        kept += line
        if kept.strip() and not depth and not scanner.in_text and not line.endswith("\\"):
            return kept.rstrip()
        kept += "\n"
    return answer


def _depth(scanner: Scanner, text: str, depth: int) -> int:
    """How many brackets are open behind a text."""
    for _, bracket in scanner.read(text):
        depth = max(0, depth - 1) if bracket in OPENING else depth + 1
    return depth


def without_comments(code: str, language: str) -> str:
    """Code without its comments. What looks like one within a string is left."""
    pattern = _COMMENT.get(language, _COMMENT[""])
    return pattern.sub(lambda found: "" if found["comment"] else found[0], code).rstrip()


def notes(rows: Sequence[SampleRow], context: EvaluationContext) -> list[str]:
    """How many lines were asked, and how."""
    return published_notes(rows, context.own(CrossCodeEvalSettings))


def _size(settings: CommonSettings) -> TokenEstimate:
    return published_size(9_928, settings, CrossCodeEvalSettings, 2)


BENCHMARKS = (
    Benchmark(
        NAME,
        "CrossCodeEval: statements that need another file",
        "exact_match",
        DATA,
        tasks=tasks,
        scores=published_scores,
        notes=notes,
        greedy=True,
        by_one_rule=METRICS,
        settings=CrossCodeEvalSettings,
        size=_size,
        kept_out="never",
        version=2,
    ),
)
