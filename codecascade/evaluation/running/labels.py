"""The labels of a given sample (language, benchmark, data set) must agree with the benchmark that it is scored by.

Task ids alone can't show a mistake: MultiPL-E's are the same in all languages.
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
"""Names of files that do not identify a benchmark."""


def check_labels(row: SampleRow, task: Task, benchmark: Benchmark, location: str) -> None:
    """Refuse a row that names another language, benchmark or data set.

    Raises:
        UserError: it does (``file:line: key``).
    """
    said, own = row.get("language"), _language(task, benchmark)
    if isinstance(said, str) and own and _canonical(said) != _canonical(own):
        raise UserError(
            f"is {said!r}, and {benchmark.name} is in {own!r}; give each language its own file",
            file=location,
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
                file=location,
                key=key,
            )


def benchmarks_called(text: str) -> set[str]:
    """The benchmarks that a name means (``openai_humaneval``, ``HumanEval+``); empty if it is no benchmark's name."""
    wanted = _plain(text)
    names = [(alias, benchmark.name) for benchmark in BENCHMARKS.values() for alias in _aliases(benchmark)]
    found = {alias for alias, _ in names if alias == wanted} or {
        alias for alias, _ in names if alias in wanted
    }
    longest = max(found, key=len, default=None)
    return {name for alias, name in names if alias == longest}


def _aliases(benchmark: Benchmark) -> Iterator[str]:
    """A benchmark's name, that of its data set, and those of its public files, in lower-case letters and digits."""
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
    """The programming language of a task's answer; None if it is not a program."""
    own = task.fields.get("language")
    if isinstance(own, str):
        return own
    named = [need.removeprefix(_TOOLCHAIN) for need in benchmark.needs if need.startswith(_TOOLCHAIN)]
    return named[0] if named else "python" if "sandbox" in benchmark.needs else None


def _canonical(language: str) -> str:
    # MultiPL-E names Go after a file: go_test.go.
    name = language.strip().lower().partition("_test.")[0]
    try:
        return canonical_name(name)
    except UserError:
        return name
