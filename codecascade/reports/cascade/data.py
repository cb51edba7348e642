"""What a run's report is made of: plain data, put together by the cascade, drawn by :mod:`report`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from codecascade.evaluation.running.result import BenchmarkResult


@dataclass(frozen=True)
class ModelReport:
    """A model of the tree: the base that came in, or what a stage made.

    Attributes:
        name: ``base`` or the stage's name.
        parent: the model that it was made from; None for the base.
        kind: ``base``, ``code``, ``python``, ``long_context`` or ``instruct``.
        settings: what a reader wants to see of the stage's settings, in words (``{"learning rate": "1e-4"}``).
        notes: sentences that belong to this model ("a demonstration of a few steps").
        results: by benchmark; empty while it was not measured.
        log: the stage's JSON lines (``step``, ``loss``, ...); None for the base.
        tokens, steps, seconds, flops: what the stage's training cost (seconds are of the wall clock).
        evaluation_seconds: what measuring it took.
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
        base: what the base is called (a folder, a hub name, ...), never an absolute path.
        models: the base first, then the stages in the order of the recipe.
        corpus: what it was trained on, in words (``{"documents": "12,345", "licences": ...}``).
        notes: sentences about the run as a whole.
        versions: of the tools, and the machine (``{"torch": ..., "processor": ...}``).
        command: the command that made the run.
    """

    name: str
    base: str
    models: tuple[ModelReport, ...]
    corpus: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""
