"""``repobench_python`` and ``repobench_java``: RepoBench v1.1 (Liu et al. 2023), the next line of a file of GitHub.

Each row has ``cropped_code`` (the last lines of the file), ``import_statement``, ``next_line``, ``repo_name``,
``file_path``, ``level`` (how long the prompt is) and ``context``: parts of other files (``path``, ``snippet``). Of
these, ``gold_snippet_index`` names the one that defines what the line uses. There are three sets: lines that use
another file for the first time (``cross_file_first``) or again (``cross_file_random``), and lines that use none
(``in_file``). What stands behind the line is not in the data, so that every model is asked left to right.

Of an answer the first line counts that is neither blank nor a comment. Exact match ignores white space, as there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import Field

from codecascade.corpus.code.syntax import Scanner, syntax_of
from codecascade.evaluation.answers.similarity import edit_similarity
from codecascade.evaluation.benchmark_settings import CommonSettings, PositiveInt
from codecascade.evaluation.benchmarks.repository.published import (
    PublishedLine,
    PublishedSettings,
    Shown,
    published_notes,
    published_scores,
    published_size,
    published_tasks,
)
from codecascade.evaluation.data import (
    BenchmarkData,
    Record,
    locate_data,
    read_records,
    require_field,
)
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import TokenEstimate
from codecascade.evaluation.task import Benchmark, EvaluationContext, SampleRow, Task
from codecascade.ground.errors import UserError
from codecascade.sandbox.outcome import Outcome
from codecascade.tokens.repository import RepositoryChunk

_SUFFIXES = {"python": ".py", "java": ".java"}
_COMMENTS = {"python": "#", "java": "//"}
_SETS = ("cross_file_first", "cross_file_random", "in_file")
_METRICS = ("exact_match", "edit_similarity")
_FIELDS = {
    "file_path": str,
    "context": list,
    "import_statement": str,
    "cropped_code": str,
    "next_line": str,
}
# As its authors do: a gap of blank lines in a prompt is two line breaks.
_BLANK = re.compile(r"\n{4,}")


def _data(language: str) -> BenchmarkData:
    name = f"repobench_{language}"
    return BenchmarkData(
        files=(
            f"{name}*/data/*.parquet",
            *(f"{place}.{kind}" for place in (f"{name}*", f"{language}/*") for kind in ("parquet", "jsonl*")),
            *(f"{name}[0-9]*.{kind}" for kind in ("parquet", "jsonl*")),
            "data/*.parquet",
            *(f"*{one}*.{kind}" for one in _SETS for kind in ("parquet", "jsonl*")),
        ),
        licence="CC BY 4.0; files: own",
        hub=f"tianyang/repobench_{language}_v1.1",
        hub_files=("data/*.parquet",),
        fields=("cropped_code", "next_line", "import_statement"),
    )


DATA = {language: _data(language) for language in _SUFFIXES}
"""The data of each language."""


class RepoBenchSettings(PublishedSettings):
    """``[evaluate.repobench]``."""

    key = "repobench"
    asking = frozenset({"max_new_tokens", "context_tokens", "others_share", "heal", "contexts"})

    context_tokens: int = Field(4096, ge=128, description="tokens of the prompt and the answer, at most")
    others_share: float = Field(
        0.75, gt=0, lt=1, description="of these tokens, what parts of other files get at most"
    )
    max_new_tokens: PositiveInt = Field(
        128, description="tokens per line and the comments before it, at most"
    )
    levels: tuple[str, ...] = Field(
        ("2k", "4k", "8k", "12k", "16k"),
        description="the lengths of prompts that are asked, as the data names them; none: all",
    )


def tasks(language: str, context: EvaluationContext) -> list[Task]:
    """Each line with each context.

    Raises:
        UserError: a record is malformed, or there is no line of the language and the levels.
    """
    settings = context.own(RepoBenchSettings)
    name = f"repobench_{language}"
    paths = locate_data(name, DATA[language], context.data)
    lines: list[PublishedLine] = []
    # A set may be in several files, whose rows are numbered on.
    numbers: dict[str, Iterator[int]] = {}
    for path in paths:
        group = next((one for one in _SETS if one in path.name), "")
        part = group or path.name.partition(".")[0]
        records = zip(read_records(path, required=_FIELDS), numbers.setdefault(part, count()), strict=False)
        lines += _lines(records, part, language, group, settings)
    if not lines:
        of_levels = f" of the levels {', '.join(settings.levels)}" if settings.levels else ""
        raise UserError(f"has no lines of {language}{of_levels}", file=paths[0], key=name)
    return published_tasks(lines, context, settings, partial(_first_code_line, language), _judge)


def _lines(
    records: Iterable[tuple[Record, int]],
    part: str,
    language: str,
    group: str,
    settings: RepoBenchSettings,
) -> Iterator[PublishedLine]:
    for (location, row), number in records:
        is_asked = not settings.levels or row.get("level", settings.levels[0]) in settings.levels
        if is_asked and Path(row["file_path"]).suffix == _SUFFIXES[language]:
            yield _line(f"{part}/{number}", location, row, language, group)


def _line(task_id: str, location: str, row: Mapping[str, Any], language: str, group: str) -> PublishedLine:
    sign = _COMMENTS[language]
    chunks = []
    for part in row["context"]:
        if not isinstance(part, dict):
            raise UserError("must hold objects with path and snippet", file=location, key="context")
        chunks.append(
            RepositoryChunk(
                require_field(part, "path", str, location), require_field(part, "snippet", str, location)
            )
        )
    repository = str(row.get("repo_name", ""))
    head = f"{sign} Repo Name: {repository}\n"
    texts: dict[Shown, str] = {}
    if chunks:
        texts["published"] = head + "".join(_snippet(sign, chunk) for chunk in chunks)
    gold = row.get("gold_snippet_index")
    if isinstance(gold, int) and 0 <= gold < len(chunks):
        texts["gold"] = head + _snippet(sign, chunks[gold])
    path = row["file_path"]
    prefix = f"{sign} Path: {path}\n{row['import_statement']}\n{row['cropped_code']}\n"
    return PublishedLine(
        task_id,
        language,
        repository,
        path,
        _BLANK.sub("\n\n", prefix),
        row["next_line"],
        # the first ones are kept where not all fit
        chunks=tuple(reversed(chunks)),
        texts={shown: _BLANK.sub("\n\n", text) for shown, text in texts.items()},
        group=group,
    )


def _snippet(sign: str, chunk: RepositoryChunk) -> str:
    return f"{sign} Path: {chunk.path}\n{chunk.text}\n\n"


def _first_code_line(language: str, line: PublishedLine, answer: str) -> str:
    """The first line of an answer that has code; the first one at all if none has."""
    scanner = Scanner(syntax_of(language, ""))
    lines = answer.lstrip("\n").split("\n")
    for each in lines:
        within = scanner.in_text
        for _ in scanner.read(f"{each}\n"):
            pass
        begins = ("#", '"""', "'''") if language == "python" else ("//", "/*")
        if each.strip() and not within and not each.strip().startswith(begins):
            return each
    return lines[0]


def _judge(expected: str, _language: str, completion: str, _outcomes: Sequence[Outcome] = ()) -> SampleRow:
    return {
        "exact_match": completion.split() == expected.split(),
        "edit_similarity": edit_similarity(completion.strip(), expected.strip()),
    }


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """The means with the published context (``exact_match``), in the others (``exact_match_none``), and by set."""
    found = published_scores(rows, _METRICS)
    return {name.removesuffix("_left_to_right"): values for name, values in found.items()}


def notes(rows: Sequence[SampleRow], context: EvaluationContext) -> list[str]:
    """How many lines were asked, and how."""
    return published_notes(rows, context.own(RepoBenchSettings))


def _size(settings: CommonSettings) -> TokenEstimate:
    return published_size(20_000, settings, RepoBenchSettings, 1)


BENCHMARKS = tuple(
    Benchmark(
        f"repobench_{language}",
        f"RepoBench: the next line, {language.capitalize()}",
        "exact_match",
        data,
        tasks=partial(tasks, language),
        scores=scores,
        notes=notes,
        greedy=True,
        settings=RepoBenchSettings,
        size=_size,
        kept_out="never",
        version=2,
    )
    for language, data in DATA.items()
)
