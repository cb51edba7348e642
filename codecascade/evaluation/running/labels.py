"""What a sample's row says of itself: its language, benchmark and data set have to be those it is scored as.

Task ids don't tell: MultiPL-E's are the same in all languages.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath

from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.task import Benchmark, SampleRow, Task
from codecascade.ground.errors import UserError
from codecascade.sandbox.languages.table import canonical_name

_TOOLCHAIN = "toolchain:"
_COMMON = {"test", "train"}
"""Names of files that say nothing."""


def check_labels(row: SampleRow, task: Task, benchmark: Benchmark, place: str) -> None:
    """See that a row is no other language's, benchmark's or data set's.

    Raises:
        UserError: it says so (``file:line: key``).
    """
    said, own = row.get("language"), _language(task, benchmark)
    if isinstance(said, str) and own and _canonical(said) != _canonical(own):
        raise UserError(
            f"is {said!r}, and {benchmark.name} is in {own!r}; give each language its own file",
            file=place,
            key="language",
        )
    for key in ("benchmark", "dataset"):
        said = row.get(key)
        named = benchmarks_called(said) if isinstance(said, str) else set()
        if named and not any(
            benchmark.name == name or benchmark.name.startswith(f"{name}_") for name in named
        ):
            raise UserError(
                f"is {said!r}, which is not {benchmark.name}; score the row as what it says",
                file=place,
                key=key,
            )


def benchmarks_called(text: str) -> set[str]:
    """The benchmarks of the table that a name means (``openai_humaneval``, ``HumanEval+``); none if it means none."""
    wanted = _plain(text)
    names = [(alias, benchmark.name) for benchmark in BENCHMARKS.values() for alias in _aliases(benchmark)]
    found = {alias for alias, _ in names if alias == wanted} or {
        alias for alias, _ in names if alias in wanted
    }
    longest = max(found, key=len, default=None)
    return {name for alias, name in names if alias == longest}


def _aliases(benchmark: Benchmark) -> Iterator[str]:
    """A benchmark's name, its data set's, and those of its public files, in plain letters."""
    yield _plain(benchmark.name)
    if benchmark.data is not None:
        files = [PurePath(re.split(r"[*.]", name)[0]).name for name in benchmark.data.files]
        for name in (
            benchmark.data.package,
            benchmark.data.hub,
            benchmark.data.hub.rpartition("/")[2],
            *files,
        ):
            if len(plain := _plain(name)) > len("fim") and plain not in _COMMON:
                yield plain


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("+", "plus"))


def _language(task: Task, benchmark: Benchmark) -> str | None:
    """What a task's answer is written in; None where that is no programming language."""
    own = task.fields.get("language")
    if isinstance(own, str):
        return own
    named = [need.removeprefix(_TOOLCHAIN) for need in benchmark.needs if need.startswith(_TOOLCHAIN)]
    return named[0] if named else "python" if "sandbox" in benchmark.needs else None


def _canonical(language: str) -> str:
    # MultiPL-E's Go is called after a file.
    name = language.strip().lower().partition("_test.")[0]
    try:
        return canonical_name(name)
    except UserError:
        return name
