"""Reads the folder of a finished evaluation.

``results.json`` has figures, settings and cost; ``samples/<benchmark>.jsonl`` has a line for each sample;
``tasks/<benchmark>.jsonl`` has a line for each task, which says what was asked. Only the first must be there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codecascade.evaluation.analysis.stored import checked_benchmark
from codecascade.evaluation.metrics import Metric, without_unasked
from codecascade.evaluation.rows import SampleRow, TaskRow
from codecascade.evaluation.scores import ProblemKey, problem_key
from codecascade.ground.errors import UserError
from codecascade.ground.files.json_lines import read_jsonl
from codecascade.ground.files.reading import read_json
from codecascade.ground.files.values import integer, number

__all__ = [
    "Evaluation",
    "MeasuredBenchmark",
    "ProblemKey",
    "SampleRow",
    "TaskRow",
    "is_right",
    "problem_key",
    "read_evaluation",
]

_LARGEST = 1e300
_TASK_TEXTS = ("prompt", "suffix", "expected", "test")


@dataclass(frozen=True)
class MeasuredBenchmark:
    """One benchmark of an evaluation.

    Attributes:
        metric: the one that represents the benchmark.
        metrics: all figures. Rates are fractions of 1.
        command: the command that measured it.
        settings: the settings that it was measured with (``samples_per_problem``, ``temperature``, ``limit``, ...).
        conditions: the conditions of the run (:mod:`..running.conditions`).
        tasks: how many of ``tasks_total`` were measured; None if the folder does not say.
        missing: how many tasks have no sample, if a samples file was scored.
        judge: what judged the answers; empty if tests or the benchmark's own rules did.
        judge_prompt: the file with the judge's prompt, in the evaluation's folder; empty if it has none.
        contamination: ``{"tasks", "of"}`` if a corpus was searched for the benchmark's texts.
        samples_file, tasks_file: paths of files that may be missing.
        version: of the benchmark, by which it asked and judged (:class:`codecascade.evaluation.task.Benchmark`).
    """

    name: str
    title: str
    metric: str
    metrics: dict[str, Metric]
    command: str = ""
    settings: dict[str, Any] = field(default_factory=dict)
    conditions: dict[str, Any] = field(default_factory=dict)
    tasks: int | None = None
    tasks_total: int | None = None
    missing: int = 0
    notes: tuple[str, ...] = ()
    seconds: float | None = None
    source: str = ""
    licence: str = ""
    judge: str = ""
    judge_prompt: str = ""
    contamination: dict[str, Any] | None = None
    samples_file: Path = Path()
    tasks_file: Path = Path()
    version: int = 1

    def rows(self) -> Iterator[SampleRow]:
        """The samples in their order; none if there is no samples file.

        Raises:
            UserError: a row is malformed (file and line are named).
        """
        return _rows(self.samples_file, completions=True)

    def asked(self) -> Iterator[TaskRow]:
        """The tasks as a reader sees them; none if there is no tasks file."""
        return _rows(self.tasks_file, completions=False)

    @property
    def main(self) -> Metric | None:
        """The figure that represents the benchmark."""
        return self.metrics.get(self.metric)


@dataclass(frozen=True)
class Evaluation:
    """The evaluation of one model.

    ``about`` (the model's revision, precision, device), ``cost`` and ``versions`` are as the evaluation wrote them.
    ``command`` is the last one that wrote to the folder.
    """

    folder: Path
    model: str
    benchmarks: dict[str, MeasuredBenchmark]
    command: str = ""
    about: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, Any] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, Mapping[str, Metric]]:
        """``figures[benchmark][metric]``. Figures of an infilling's first layout have their full names too."""
        return {name: _full_names(measured) for name, measured in self.benchmarks.items()}


def _full_names(measured: MeasuredBenchmark) -> Mapping[str, Metric]:
    """``pass@1`` of an infilling in several layouts is that of the first layout, and is ``pass@1_psm`` too."""
    first: SampleRow = next(measured.rows(), {})
    layout = first.get("format")
    if layout not in ("psm", "spm"):
        return measured.metrics
    named = {f"{name}_{layout}": measured.metrics.get(name) for name in ("pass@1", "exact_match")}
    return {name: metric for name, metric in named.items() if metric is not None} | measured.metrics


def is_right(row: SampleRow) -> bool | None:
    """Whether a sample is right: its tests passed or, without tests, it equals the reference. None if unknown."""
    for name in ("passed", "exact_match"):
        if isinstance(row.get(name), bool):
            return bool(row[name])
    return None


def read_evaluation(folder: Path) -> Evaluation:
    """The evaluation in ``folder``.

    Raises:
        UserError: there is none, ``results.json`` is malformed, or it has several models (that of a cascade does).
    """
    path = folder / "results.json"
    if not path.exists():
        raise UserError(
            "is not an evaluation: there is no results.json; name what `codecascade eval -o` wrote",
            file=folder,
        )
    content = _object(read_json(path), path, "the whole")
    models = _object(content.get("models"), path, "models")
    if len(models) != 1:
        inner = sorted(found.parent.name for found in folder.glob("evaluations/*/results.json"))
        hint = (
            f"; name one of {', '.join(f'{folder.name}/evaluations/{name}' for name in inner)}"
            if inner
            else ""
        )
        raise UserError(f"holds {len(models)} models, not one{hint}", file=path, key="models")
    (model, measured), *_ = models.items()
    about = _object(content.get("benchmarks", {}), path, "benchmarks")
    benchmarks = {
        name: _measured(name, metrics, _object(about.get(name, {}), path, f"benchmarks.{name}"), folder, path)
        for name, metrics in _object(measured, path, f"models.{model}").items()
    }
    return Evaluation(
        folder,
        model,
        benchmarks,
        str(content.get("command", "")),
        _object(content.get("model", {}), path, "model"),
        _costs(_object(content.get("cost", {}), path, "cost"), model, path),
        _object(content.get("versions", {}), path, "versions"),
    )


def _costs(cost: SampleRow, model: str, path: Path) -> SampleRow:
    """The costs of this model, if the file has costs by model."""
    return _object(cost[model], path, f"cost.{model}") if model in cost else cost


def _measured(name: str, metrics: Any, about: SampleRow, folder: Path, path: Path) -> MeasuredBenchmark:
    said = checked_benchmark(about, path, f"benchmarks.{name}")
    figures = without_unasked(
        {
            metric: _metric(value, path, f"{name}.{metric}")
            for metric, value in _object(metrics, path, name).items()
        },
        said.settings,
    )
    return MeasuredBenchmark(
        name,
        name if said.title is None else said.title,
        next(iter(figures), "") if said.metric is None else said.metric,
        figures,
        said.command,
        said.settings,
        {} if said.conditions is None else said.conditions.model_dump(exclude_unset=True),
        said.tasks,
        said.tasks_total,
        said.missing or 0,
        said.notes,
        said.seconds,
        said.source,
        said.licence,
        said.judge,
        said.judge_prompt,
        None if said.contamination is None else said.contamination.model_dump(exclude_none=True),
        folder / "samples" / f"{name}.jsonl",
        folder / "tasks" / f"{name}.jsonl",
        said.version,
    )


def _metric(value: Any, path: Path, key: str) -> Metric:
    if not (isinstance(value, dict) and {"value", "low", "high", "n"} <= value.keys()):
        raise UserError("must have the numbers value, low, high and n", file=path, key=key)
    try:
        found, low, high = (
            number(value, name, least=-_LARGEST, most=_LARGEST) for name in ("value", "low", "high")
        )
        return Metric(found, low, high, integer(value, "n", least=0, most=2**53))
    except UserError as error:
        raise UserError(error.message, file=path, key=f"{key}.{error.key}") from None


def _object(value: Any, path: Path, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"must be an object, not {type(value).__name__}", file=path, key=key)
    return value


def _rows(path: Path, *, completions: bool) -> Iterator[SampleRow]:
    if not path.exists():
        return
    for line, row in read_jsonl(path):
        location = f"{path}:{line}"
        if not isinstance(row.get("task_id"), str):
            raise UserError(
                "must be a text" if "task_id" in row else "is missing", file=location, key="task_id"
            )
        for name in ("completion",) if completions else _TASK_TEXTS:
            if not isinstance(row.get(name, ""), str):
                raise UserError("must be a text", file=location, key=name)
        if not completions and not _are_messages(row.get("messages", [])):
            raise UserError("must be a list of objects with role and content", file=location, key="messages")
        yield row


def _are_messages(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, dict) and isinstance(each.get("role"), str) and isinstance(each.get("content"), str)
        for each in value
    )
