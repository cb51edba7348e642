"""The data of a run's report. The cascade fills it in, and :mod:`codecascade.reports.cascade.report` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.model.config import LlamaConfig


@dataclass(frozen=True)
class QuestionFigure:
    """A figure that answers a question.

    Attributes:
        against: the metric of the first group.
        expects: what the paper found of the later groups against the first: ``better``, ``worse``, ``alike``.
        within: of ``alike``: the share of the first group's figure within which the others are alike.
    """

    benchmark: str
    metric: str
    against: str
    expects: str | None = None
    within: float = 0.01


@dataclass(frozen=True)
class Question:
    """A question that the report answers by comparing groups of models.

    Attributes:
        groups: names of models by the group's name, as many in each; the first group is the reference.
        settings_differ: settings of the evaluation that the question is about.
        paper, source: what the paper says, and where.
        plots: names of pictures (:mod:`codecascade.reports.cascade.comparison_plots`).
    """

    name: str
    text: str
    groups: Mapping[str, tuple[str, ...]]
    figures: tuple[QuestionFigure, ...]
    settings_differ: tuple[str, ...] = ()
    paper: str | None = None
    source: str | None = None
    plots: tuple[str, ...] = ()


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
        config: its shape, where a question needs it.
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
    config: LlamaConfig | None = None


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
        questions: what is compared, in the order of the recipe.
        code: what a reader calls the code of the corpus ("your code").
    """

    name: str
    base: str
    models: tuple[ModelReport, ...]
    corpus: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    command: str = ""
    questions: tuple[Question, ...] = ()
    code: str = "the corpus"

    def of_first_base(self) -> RunReport:
        """This run with its first base and the stages that were made of it alone."""
        names = {self.models[0].name}
        for model in self.models:
            if model.parent in names:
                names.add(model.name)
        return replace(self, models=tuple(model for model in self.models if model.name in names))

    def base_of(self, model: ModelReport) -> ModelReport:
        """The model that came in of which ``model`` was made; of such a model itself."""
        by_name = {each.name: each for each in self.models}
        while model.parent in by_name:
            model = by_name[model.parent]
        return model
