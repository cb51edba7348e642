"""The data of a run's report. The cascade fills it in, and :mod:`codecascade.reports.cascade.report` shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from codecascade.evaluation.running.result import BenchmarkResult


@dataclass(frozen=True)
class ModelReport:
    """A model of the run: the base, or the result of a stage.

    Attributes:
        name: ``base``, or the name of the stage.
        parent: the model that it was trained from; None for the base.
        kind: ``base``, ``code``, ``python``, ``long_context`` or ``instruct``.
        settings: the stage's settings that a reader is shown, in words (``{"learning rate": "1e-4"}``).
        notes: sentences about this model ("a demonstration of a few steps").
        results: by benchmark; empty until it is measured.
        log: the training log in JSON lines (``step``, ``loss``, ...); None for the base.
        tokens, steps, seconds, flops: the cost of the stage's training (wall-clock seconds).
        evaluation_seconds: the cost of its evaluation.
    """

    name: str
    parent: str | None
    kind: str
    settings: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    results: dict[str, BenchmarkResult] = field(default_factory=dict)
    log: Path | None = None
    tokens: int = 0
    steps: int = 0
    seconds: float = 0.0
    flops: float = 0.0
    evaluation_seconds: float = 0.0


@dataclass(frozen=True)
class RunReport:
    """A run, as its report shows it.

    Attributes:
        name: the recipe's name.
        base: the name of the base (a folder, a hub name, ...), never an absolute path.
        models: the base, then the stages in the order of the recipe.
        corpus: facts about the corpus, in words (``{"documents": "12,345", "licences": ...}``).
        notes: sentences about the whole run.
        versions: versions of the tools, and facts of the machine (``{"torch": ..., "processor": ...}``).
        command: the command that made the run.
        code: what a reader calls the code of the corpus ("your code").
    """

    name: str
    base: str
    models: tuple[ModelReport, ...]
    corpus: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""
    code: str = "the corpus"
