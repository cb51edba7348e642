"""The texts of the benchmarks in use: what every corpus is kept free of, whoever builds it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from codecascade.corpus.steps.decontamination import BenchmarkTexts, read_benchmark_file
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.data import is_available_offline, locate_data
from codecascade.ground.errors import UserError


def benchmark_texts(files: Iterable[Path] = (), in_use: Iterable[str] = ()) -> BenchmarkTexts:
    """The prompts, solutions and tests of all benchmarks whose data can be had, and of ``files``.

    A benchmark counts as unchecked if its data is neither on this machine nor, where the hub is asked, to be had
    from there; one of a file's name (``mbpp.jsonl``) counts as checked by that file. Benchmarks of one data set are
    named once, by what they have in common (``multipl_e``).

    Args:
        in_use: names of benchmarks that the hub is asked for besides those that are fetched in any case.

    Raises:
        UserError: one of ``files`` is missing, empty or broken.
    """
    texts: dict[str, str] = {}
    checked: list[str] = []
    missing: dict[str, list[str]] = {}
    files = [file.expanduser() for file in files]
    wanted = {name for name, benchmark in BENCHMARKS.items() if benchmark.kept_out == "fetched"} | {*in_use}
    seen: set[tuple[Path, ...]] = set()
    for name, benchmark in BENCHMARKS.items():
        data = benchmark.data
        if data is None or benchmark.kept_out == "never":
            continue
        try:
            found = locate_data(name, data, None) if name in wanted or is_available_offline(data) else []
        except UserError:  # the sentence says how to name it to an evaluation, not to a corpus
            found = []
        if not found:
            if not any(file.match(pattern) for file in files for pattern in data.files):
                missing.setdefault(data.hub, []).append(name)
        elif tuple(found) not in seen:
            seen.add(tuple(found))
            checked.append(name)
            for file in found:
                texts |= read_benchmark_file(file, name)
    for file in files:
        texts |= read_benchmark_file(file)
        checked.append(file.name)
    return BenchmarkTexts(texts, tuple(checked), tuple(map(_family, missing.values())))


def _family(names: Sequence[str]) -> str:
    """What benchmarks of one data set are called together: as their settings are."""
    settings = BENCHMARKS[names[0]].settings
    return names[0] if len(names) == 1 or settings is None else settings.key


def in_words(benchmarks: BenchmarkTexts) -> str:
    """What a corpus is not kept free of, as a sentence; empty if there is nothing to say."""
    if not benchmarks.unchecked:
        return ""
    names = ", ".join(benchmarks.unchecked)
    return f"not kept out, for their data is not here: {names}"
