"""The texts of benchmarks, which are kept out of every corpus that a run or ``corpus build`` makes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from codecascade.corpus.steps.decontamination import BenchmarkTexts, read_benchmark_file
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.data import is_available_offline, locate_data
from codecascade.ground.errors import UserError
from codecascade.ground.files.paths import expanded

NOTHING_GIVEN: Mapping[str, Path] = MappingProxyType({})


def benchmark_texts(
    files: Iterable[Path] = (), in_use: Iterable[str] = (), given: Mapping[str, Path] = NOTHING_GIVEN
) -> BenchmarkTexts:
    """The prompts, solutions and tests of all benchmarks whose data is at hand, and the texts in ``files``.

    A benchmark is unchecked if its data is not on this machine and can't be fetched from the hub. If one of ``files``
    has the name of its data (``mbpp.jsonl``), it counts as checked. Benchmarks with the same data are named once, by
    what they have in common (``multipl_e``).

    Args:
        in_use: names of benchmarks whose data may be fetched. Some benchmarks' data is fetched in any case.
        given: by benchmark, the file or folder that the user names as its data.

    Raises:
        UserError: one of ``files`` is missing, empty or broken.
    """
    texts: dict[str, str] = {}
    checked: list[str] = []
    missing: dict[str, list[str]] = {}
    files = [expanded(file) for file in files]
    wanted = {name for name, benchmark in BENCHMARKS.items() if benchmark.kept_out == "fetched"} | {*in_use}
    seen: set[tuple[Path, ...]] = set()
    for name, benchmark in BENCHMARKS.items():
        data = benchmark.data
        if data is None or benchmark.kept_out == "never":
            continue
        try:
            at_hand = name in wanted or name in given or is_available_offline(data)
            found = locate_data(name, data, given.get(name)) if at_hand else []
        except UserError:
            # its message is for an evaluation; of a corpus the benchmark is named as unchecked
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
    """The common name of benchmarks with the same data: that of the first, or else the key of their settings.

    Benchmarks with other data may have the same settings.
    """
    settings = BENCHMARKS[names[0]].settings
    if settings is None or all(name.startswith(names[0]) for name in names):
        return names[0]
    return settings.key


def in_words(benchmarks: BenchmarkTexts) -> str:
    """A sentence that names the unchecked benchmarks; empty if there are none."""
    if not benchmarks.unchecked:
        return ""
    names = ", ".join(benchmarks.unchecked)
    return f"not kept out, for their data is not here: {names}"
