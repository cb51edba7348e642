"""Long code completion (Guo et al. 2023), balanced over file length (paper, Table 7): the next line of a long file.

The paper resampled LCC's validation and test sets so that all lengths count equally, and did not publish which
examples it took. Here the examples of each language are put into buckets by length, and the same number is drawn from
each. Lengths are counted in words and punctuation, not in a model's tokens, so that every model is asked the same
examples.

A model without long-context training sees the last 4,000 tokens of a file (the paper's rule). A model with it sees
the whole file, however many positions its config names. Whether a model had this training is a setting, because no
config says it; the default depends on the number of positions.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from codecascade.evaluation.answers.similarity import (
    code_bleu4,
    code_tokens,
    edit_similarity,
    equal_tokens,
)
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, PositiveInt
from codecascade.evaluation.data import BenchmarkData, Record, holds_data, locate_data, read_records
from codecascade.evaluation.rates import mean_scores, rows_by_field, values_by_problem
from codecascade.evaluation.scores import Scores
from codecascade.evaluation.size import BenchmarkSize
from codecascade.evaluation.statements import (
    UNASKED_ARE_LEFT_OUT,
    Statement,
    benchmark_protocol,
    none_in_paper,
    our_choice,
)
from codecascade.evaluation.task import Benchmark, EvaluationContext, SampleRow, Task, TextPrompt, was_asked
from codecascade.ground.errors import UserError
from codecascade.ground.seeds import generator
from codecascade.sandbox.outcome import Outcome

LANGUAGES = ("python", "java", "csharp")
_FIELDS = {"context": str, "gt": str}
# As in LongCoder.
_MAX_NEW_TOKENS = 128
# In tokens: the context of the paper's long-context models.
_LONG_CONTEXT = 16_384
_SHORT_VIEW = 4_000
_SCORES = ("exact_match", "bleu", "edit_similarity")
_LITERAL = re.compile(r"<(STR|NUM|CHAR)_LIT(?::(.*?))?>", re.DOTALL)


def _data(language: str) -> BenchmarkData:
    return BenchmarkData(
        files=(
            f"LCC_{language}/test.jsonl*",
            f"LCC_{language}/*test*",
            f"*/LCC_{language}/*test*",
            *(f"{name}*.{kind}" for name in (f"LCC_{language}", language) for kind in ("jsonl*", "parquet")),
        ),
        licence="C-UDA",
        hub=f"microsoft/LCC_{language}",
        hub_files=("data/test-*.parquet", "data/validation-*.parquet"),
        fields=("context", "gt"),
    )


def _validation(language: str) -> BenchmarkData:
    """The validation set of a local copy, whose test set was found by a name with ``test``."""
    files = tuple(f"{folder}LCC_{language}/*{name}*" for folder in ("", "*/") for name in ("valid", "dev"))
    return replace(DATA[language], files=files, hub_files=("data/validation-*.parquet",))


DATA = {language: _data(language) for language in LANGUAGES}
"""The data of each language."""


class LccSettings(BenchmarkSettings):
    """``[evaluate.lcc]``."""

    key = "lcc"

    examples_per_bucket: PositiveInt = Field(64, description="examples per language and length, at most")
    long_context: bool | None = Field(
        None,
        description="whether the model had long-context training and sees whole files, else their last 4,000 tokens; "
        "none: if its config has 16,384 positions or more",
    )
    bucket_tokens: PositiveInt = Field(1024, description="width of a bucket of lengths, in words and signs")


def tasks(context: EvaluationContext) -> list[Task]:
    """The balanced examples of each language, in the order of the data."""
    settings = context.own(LccSettings)
    made = []
    for language, records in _records(context).items():
        lengths = [len(code_tokens(row["context"])) for _, row in records]
        rng = generator(context.seed, language)
        for index in balanced(
            lengths, width=settings.bucket_tokens, most=settings.examples_per_bucket, rng=rng
        ):
            row = records[index][1]
            made.append(_task(f"{language}/{index}", language, row, lengths[index], context))
    return made


def balanced(lengths: Sequence[int], *, width: int, most: int, rng: random.Random) -> list[int]:
    """Indices of examples, the same number from each bucket of lengths, and as many in all as possible.

    A bucket with fewer examples than this number is left out. (To keep a bucket with two examples, all others would
    be reduced to two.)

    Args:
        width: of a bucket.
        most: how many examples of a bucket, at most.
    """
    buckets: dict[int, list[int]] = {}
    for index, length in enumerate(lengths):
        buckets.setdefault(length // width, []).append(index)
    sizes = sorted((min(most, len(indices)) for indices in buckets.values()), reverse=True)
    each = max(sizes, key=lambda size: (size * sum(other >= size for other in sizes), size), default=0)
    chosen = [
        index
        for _, indices in sorted(buckets.items())
        if len(indices) >= each
        for index in rng.sample(indices, each)
    ]
    return sorted(chosen)


def scores(rows: Sequence[SampleRow]) -> dict[str, Scores]:
    """``exact_match``, ``bleu`` and ``edit_similarity``, over all examples and by language (``bleu_java``)."""
    found = {}
    for language, some in {"": rows, **rows_by_field(rows, "language")}.items():
        values = values_by_problem(filter(was_asked, some), *_SCORES)
        for name in _SCORES:
            found[f"{name}{'_' * bool(language)}{language}"] = mean_scores(values[name])
    return found


def notes(rows: Sequence[SampleRow], context: EvaluationContext) -> list[str]:
    """Whether the model was taken to have long-context training, and how many files were cut."""
    with_or_without = "with" if _is_long(context) else "without"
    why = "" if context.own(LccSettings).long_context is not None else ", by the positions of its context"
    found = [f"The model is taken for one {with_or_without} long-context training{why} (lcc.long_context)."]
    cut = sum(bool(row.get("cut")) for row in rows)
    if cut:
        found.append(
            f"Of {cut} of {len(rows)} files the model saw the last {_view(context):,} tokens at most."
        )
    return found


def _records(context: EvaluationContext) -> dict[str, list[Record]]:
    """The examples of each language.

    They come from three data sets, from one file in which each example names its language, or from a folder with
    files of some languages.
    """
    given = context.data
    if given is not None and given.is_file():
        return _of_one_file([*read_records(given, required=_FIELDS)], given.name)
    found: dict[str, list[Record]] = {}
    missing: UserError | None = None
    for language in LANGUAGES:
        try:
            paths = locate_data("lcc", DATA[language], given)
        except UserError as error:
            if given is None or not given.is_dir():
                raise
            missing = error
            continue
        if given is not None and holds_data(other := _validation(language), given):
            paths += [path for path in locate_data("lcc", other, given) if path not in paths]
        paths = [path for path in paths if "train" not in path.name] or paths
        found[language] = [record for path in paths for record in read_records(path, required=_FIELDS)]
    if not found and missing is not None:
        raise missing
    return found


def _of_one_file(records: list[Record], name: str) -> dict[str, list[Record]]:
    default = next((language for language in LANGUAGES if language in name.lower()), None)
    found: dict[str, list[Record]] = {}
    for location, row in records:
        language = row.get("language", default)
        if language not in LANGUAGES:
            raise UserError(
                f"must be one of {', '.join(LANGUAGES)} (or be in the file's name)",
                file=location,
                key="language",
            )
        found.setdefault(language, []).append((location, row))
    return found


def _task(task_id: str, language: str, row: dict[str, Any], length: int, context: EvaluationContext) -> Task:
    text = restored(row["context"])
    text += "" if text.endswith("\n") else "\n"
    line = restored(row["gt"])
    view = _view(context)
    seen = text if view is None else last_tokens(text, view, context.model.count_tokens)
    return Task(
        task_id,
        TextPrompt(seen, ("\n",), beyond_context=view is None),
        _MAX_NEW_TOKENS,
        expected=line,
        extract=lambda completion: restored(completion.partition("\n")[0]),
        judge=_judge(line),
        fields={"language": language, "length": length, "cut": len(seen) < len(text)},
    )


def _judge(line: str) -> Callable[[str, Sequence[Outcome]], SampleRow]:
    def judge(completion: str, outcomes: Sequence[Outcome]) -> SampleRow:
        return {
            "exact_match": equal_tokens(line, completion),
            "bleu": code_bleu4(line, completion),
            "edit_similarity": edit_similarity(line.strip(), completion.strip()),
        }

    return judge


def _is_long(context: EvaluationContext) -> bool:
    """Whether the model is taken to have had long-context training."""
    said, length = context.own(LccSettings).long_context, context.model.context_length
    return (length is None or length >= _LONG_CONTEXT) if said is None else said


def _view(context: EvaluationContext) -> int | None:
    """How many tokens of a file the model may see; None for all.

    A server accepts no more than its context has room for. One that does not state its context is taken to have
    16,384 tokens.
    """
    length = context.model.context_length
    if _is_long(context):
        if context.model.tokenizer is not None:
            return None
        # One token, such as BOS, comes before the text.
        return _LONG_CONTEXT - _MAX_NEW_TOKENS if length is None else max(1, length - _MAX_NEW_TOKENS - 1)
    return _SHORT_VIEW if length is None else min(_SHORT_VIEW, max(1, length - _MAX_NEW_TOKENS - 1))


def last_tokens(text: str, most: int, count_tokens: Callable[[str], int]) -> str:
    """An end of ``text`` with at most ``most`` tokens, nearly the longest one."""
    seen = text
    while seen and (tokens := count_tokens(seen)) > most:
        # Cut a little more than in proportion, so that few rounds are needed.
        seen = seen[len(seen) - int(0.99 * len(seen) * most / tokens) :]
    return seen


def restored(code: str) -> str:
    """Code with its literals restored: some files have ``<STR_LIT:text>`` or an empty ``<NUM_LIT>`` (CodeXGLUE)."""
    return _LITERAL.sub(
        lambda found: found[2] or ("0" if found[1] == "NUM" and found[2] is None else ""), code
    )


_STATED = benchmark_protocol(
    LccSettings,
    {
        "examples_per_bucket": our_choice(lambda value: f"at most {value} examples a language and length"),
        "long_context": Statement(elsewhere="chooses between the paper's two ways; a note says which"),
        "bucket_tokens": our_choice(lambda value: f"lengths in steps of {value:,} words and signs"),
    },
    {
        "unasked": UNASKED_ARE_LEFT_OUT,
        "cut_inputs": none_in_paper(
            "files were seen from their end alone, as the paper does it where there was no long-context tuning"
        ),
    },
    always=("our own balanced draw from LCC's files; the paper's examples aren't published",),
    silent=("how BLEU cuts a line into words and is smoothed",),
)
BENCHMARKS = (
    Benchmark(
        "lcc",
        "LCC, balanced: the next line of long files",
        "exact_match",
        data=replace(DATA["python"], files=tuple(name for each in DATA.values() for name in each.files)),
        tasks=tasks,
        scores=scores,
        notes=notes,
        greedy=True,
        settings=LccSettings,
        paper_protocol=_STATED,
        unasked_fail=False,
        size=lambda settings: BenchmarkSize(1_472, 8_000, 20),
        kept_out="never",
        task_ids=r"(python|java|csharp)/\d+$",
    ),
)
