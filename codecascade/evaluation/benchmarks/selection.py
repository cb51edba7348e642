"""The benchmarks, data and samples files that a command or a recipe names, checked before anything is loaded."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from codecascade.evaluation.answers.forms import check_form
from codecascade.evaluation.benchmarks.table import BENCHMARKS, check_benchmark_names
from codecascade.evaluation.data import holds_data, is_available_offline, locate_data, read_records
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.ground.errors import UserError
from codecascade.ground.files.paths import expanded


def named_benchmarks(lists: Iterable[str]) -> list[str]:
    """The benchmark names in lists such as ``a,b``, each once.

    Raises:
        UserError: there is no such benchmark.
    """
    names = [name.strip() for each in lists for name in each.split(",") if name.strip()]
    check_benchmark_names(names, "--benchmark")
    return list(dict.fromkeys(names))


def assign_data(given: Sequence[str], names: Sequence[str], key: str = "--data") -> dict[str, Path]:
    """``[NAME=]PATH`` by benchmark.

    A path with ``NAME=`` is for this benchmark, and for the others that have the same data and are not named
    themselves: ``mbpp=FILE`` is for ``mbpp_zero_shot`` too. A path without ``NAME=`` is for the only benchmark in
    ``names``; if there are several, for those whose public files it has.

    Args:
        key: what errors call the option or the setting.

    Raises:
        UserError: there is no such benchmark or path, or a path fits none of the benchmarks.
    """
    found: dict[str, Path] = {}
    unnamed = []
    for text in given:
        name, equals, path_text = text.partition("=")
        if equals and "/" not in name:
            check_benchmark_names([name], key)
            found[name] = _existing_path(path_text, key)
        else:
            unnamed.append(_existing_path(text, key))
    for name, path in list(found.items()):
        if (data := BENCHMARKS[name].data) is not None:
            same = (other for other, benchmark in BENCHMARKS.items() if benchmark.data == data)
            found = dict.fromkeys(same, path) | found
    for path in unnamed:
        fitting = [
            name
            for name in names or BENCHMARKS
            if name not in found and (data := BENCHMARKS[name].data) is not None and holds_data(data, path)
        ]
        if len(names) == 1 and names[0] not in found:
            fitting = [names[0]]
        if not fitting:
            raise UserError(
                f"is the data of none of the benchmarks by its name and fields; say whose it is: {_say_whose(key)}",
                file=path,
            )
        found |= dict.fromkeys(fitting, path)
    return found


def named_data(settings: EvaluateSettings) -> dict[str, Path]:
    """The data that ``[evaluate] data`` names, by benchmark. Raises as :func:`assign_data`."""
    return assign_data(settings.data, (), "evaluate.data")


def _say_whose(key: str) -> str:
    return f"{key} NAME=PATH" if key.startswith("--") else f'{key} = ["NAME=PATH"]'


def assign_samples(given: Sequence[str], names: Sequence[str]) -> dict[str, Path]:
    """``[NAME=]PATH`` by benchmark, for samples files.

    A path without ``NAME=`` is for the only benchmark in ``names``; else for the benchmark that the file is named
    after; else for those with the task ids of its first row. Without ``names`` all benchmarks are considered.

    Raises:
        UserError: there is no such benchmark or file, a file fits none of the benchmarks, or a benchmark has no file
            or two.
    """
    found: dict[str, Path] = {}
    for text in given:
        name, equals, path_text = text.partition("=")
        if equals and "/" not in name and not Path(text).exists():
            check_benchmark_names([name], "--samples")
            path, fitting = _samples_file(path_text), [name]
        else:
            path = _samples_file(text)
            fitting = list(names) if len(names) == len(given) == 1 else _benchmarks_of(path, names)
        for name in fitting:
            if names and name not in names:
                raise UserError(f"is of {name}, which --benchmark does not name", file=path, key="--samples")
            if name in found:
                raise UserError(f"{name} has samples already, in {found[name]}", file=path, key="--samples")
            found[name] = path
    if given and (without := [name for name in names if name not in found]):
        raise UserError(f"no file has samples of {', '.join(without)}; name it: NAME=FILE", key="--samples")
    return {name: found[name] for name in names or found if name in found}


def _samples_file(text: str) -> Path:
    path = expanded(text)
    if not path.exists():
        raise UserError("there is no such file", file=path, key="--samples")
    if path.is_dir():
        raise UserError("is a folder; name a file of samples", file=path, key="--samples")
    return path


def _benchmarks_of(path: Path, names: Sequence[str]) -> list[str]:
    """The benchmarks of a file's samples, by the name of the file or the task id of its first row."""
    known = list(names) or [name for name, benchmark in BENCHMARKS.items() if benchmark.samples == 1]
    if (stem := path.name.partition(".")[0]) in known:
        return [stem]
    check_form(path)
    first = next((str(row.get("task_id")) for _, row in read_records(path)), "")
    fitting = [name for name in known if (ids := BENCHMARKS[name].task_ids) and re.match(ids, first)]
    if not fitting or (not names and len(fitting) > 1):
        which = (
            f"may be of {', '.join(fitting)}" if fitting else "is of none of the benchmarks by its task ids"
        )
        raise UserError(f"{which}; say whose it is: NAME={path}", file=path, key="--samples")
    return fitting


def check_needs(names: Iterable[str], data: Mapping[str, Path], *, corpus: bool, model: bool) -> bool:
    """Refuse benchmarks that lack something. Returns whether any of them runs programs.

    Args:
        corpus, model: whether there is a corpus, and a model in memory.

    Raises:
        UserError: a corpus, files, a model in memory or the benchmark's data is missing.
    """
    sandbox = False
    for name in names:
        benchmark = BENCHMARKS[name]
        if "corpus" in benchmark.needs and not corpus:
            raise UserError("measures on held-out documents; name a corpus: --corpus DIR", key=name)
        if "files" in benchmark.needs and not corpus and name not in data:
            raise UserError(f"needs files: --data {name}=FOLDER, or --corpus DIR", key=name)
        if "scores" in benchmark.needs and not model:
            raise UserError(
                "measures probabilities, which only a model in memory gives; name a folder or a GGUF file",
                key=name,
            )
        if benchmark.data is not None:
            locate_data(name, benchmark.data, data.get(name))
        sandbox |= any(need == "sandbox" or need.startswith("toolchain") for need in benchmark.needs)
    return sandbox


def data_location(name: str, given: Mapping[str, Path], *, corpus: bool) -> str:
    """Whether a benchmark's data is available, in a few words; else the option that names it."""
    benchmark = BENCHMARKS[name]
    if name in given:
        return "yes, as named"
    if benchmark.needs & {"corpus", "files"}:
        without = "--data" if "files" in benchmark.needs else "--corpus"
        return "yes, the corpus" if corpus else without
    if benchmark.data is None or is_available_offline(benchmark.data):
        return "yes"
    return "on the hub" if benchmark.data.hub else "--data"


def _existing_path(path: str, key: str) -> Path:
    if not path.strip():
        raise UserError("names no file or folder; the current folder is written '.'", key=key)
    found = expanded(path)
    if not found.exists():
        raise UserError("there is no such file or folder", file=path, key=key)
    return found
