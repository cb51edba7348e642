"""The results of a run: ``results.json``, and the data of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from codecascade.cascade.run_folder import RunFolder
from codecascade.corpus.manifest import Manifest
from codecascade.corpus.sources.find import NAMED
from codecascade.evaluation.analysis.groups import Figures
from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.evaluation.running.versions import versions
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import write_json
from codecascade.ground.format import counted, listed, show_bytes
from codecascade.instruct.dialogues.settings import DialogueSource
from codecascade.instruct.self_instruct.pipeline import SUMMARY, read_summary
from codecascade.model.sources import config_of
from codecascade.recipe.bases import BaseSettings
from codecascade.recipe.compare import CompareSettings
from codecascade.recipe.self_instruct import KIND
from codecascade.recipe.settings import BASE, Recipe, Stage
from codecascade.reports.cascade.run_report import ModelReport, Question, QuestionFigure, RunReport
from codecascade.training.loop import TrainingResult
from codecascade.training.stream.settings import InfillingSettings

ModelResults = Mapping[str, BenchmarkResult]
"""One model's results by benchmark."""
DEMONSTRATION = 100
"""Steps. The report calls a long_context stage of fewer steps a demonstration."""


def write_run_results(
    recipe: Recipe, run: RunFolder, stages: Sequence[Stage], results: Mapping[str, ModelResults]
) -> None:
    """Write ``RUN/results.json``: ``models`` (the figures of each), ``cost`` and ``versions``.

    ``cost`` has for each stage ``tokens``, ``steps``, ``seconds`` (training), ``flops``, ``evaluation_seconds`` ...
    """
    cost: dict[str, Any] = {}
    for name in (*recipe.roots, *(stage.name for stage in stages)):
        trained = None if name in recipe.roots else run.cost(recipe[name])
        measuring = {"evaluation_seconds": _seconds(results.get(name, {}))}
        if name in results or trained is not None:
            cost[name] = (vars(trained) if trained else {}) | measuring
    models = {
        name: {
            benchmark: {metric: figure.to_json() for metric, figure in result.metrics.items()}
            for benchmark, result in model_results.items()
        }
        for name, model_results in results.items()
    }
    write_json(run.path / "results.json", {"models": models, "cost": cost, "versions": _versions(results)})


def make_run_report(
    recipe: Recipe,
    run: RunFolder,
    stages: Sequence[Stage],
    results: Mapping[str, ModelResults],
    manifest: Manifest,
    *,
    instruct_base: bool,
    command: str,
) -> RunReport:
    """The data of the run so far, for :func:`codecascade.reports.cascade.report.write_report`."""
    base_notes = ("This base is an instruct model already.",) if instruct_base else ()
    models = [
        ModelReport(
            name,
            None,
            BASE,
            notes=base_notes if name == BASE else (),
            settings=_base_settings(base) if recipe.bases else {},
            results=dict(results.get(name, {})),
            evaluation_seconds=_seconds(results.get(name, {})),
        )
        for name, base in recipe.roots.items()
    ]
    drawn = {name for block in recipe.compare if "attention" in block.plots for name in block.members}
    models += [
        _stage_report(run, stage, cost, results.get(stage.name, {}))
        for stage in stages
        if (cost := run.cost(stage)) is not None
    ]
    paths = run.bases(recipe) | {stage.name: str(run.model(stage.name)) for stage in stages}
    train, heldout = manifest.splits["train"].total, manifest.splits["heldout"].total
    return RunReport(
        name=recipe.name,
        base=_without_path(recipe.base),
        models=tuple(
            replace(each, config=config_of(paths[each.name])) if each.name in drawn else each
            for each in models
        ),
        corpus={
            "sources": ", ".join(manifest.sources),
            "training": f"{counted(train.documents, 'document')}, {show_bytes(train.bytes)}",
            "held out": f"{counted(heldout.documents, 'document')}, {show_bytes(heldout.bytes)}, "
            f"by {manifest.heldout_by}: {listed(manifest.heldout)}",
        },
        versions=_versions(results),
        command=command,
        questions=tuple(map(_question, recipe.compare)),
        code="the corpus" if set(recipe.corpus) <= NAMED.keys() else "your code",
    )


def figures_not_given(recipe: Recipe, run: RunFolder, name: str) -> Iterator[str]:
    """A sentence for each figure of the recipe's comparisons that a model lacks, which is measured now.

    Its benchmark may know no such figure, or gives it only by other settings. The report would say so in the end.
    """
    for index, block in enumerate(recipe.compare):
        figures = Figures(run.evaluation(name).parent, block.settings_differ)
        reference, *others = block.groups.values()
        for number, figure in enumerate(block.figures):
            if figure.benchmark not in recipe.measured[name].benchmarks:
                continue  # the plan has said so
            asked = [figure.against or figure.metric_name] * (name in reference)
            asked += [figure.metric_name] * any(name in group for group in others)
            for metric in dict.fromkeys(asked):
                try:
                    figures.check(figure.benchmark, metric, name)
                except UserError as error:
                    yield f"compare[{index}].figures[{number}]: can't be compared, for {error.message}"


def _question(block: CompareSettings) -> Question:
    figures = tuple(
        QuestionFigure(
            each.benchmark, each.metric_name, each.against or each.metric_name, each.expects, each.within
        )
        for each in block.figures
    )
    return Question(
        block.name,
        block.question,
        block.groups,
        figures,
        block.settings_differ,
        block.paper,
        block.source,
        block.plots,
    )


def _base_settings(base: BaseSettings) -> dict[str, str]:
    """Where a model that comes in is from; told where there are several."""
    model = _without_path(base.model)
    if not base.random_weights:
        return {"model": model}
    trained = base.tokenizer is not None and base.tokenizer.vocabulary is not None
    tokenizer = "trained on the corpus" if trained else f"that of {_without_path(base.tokenizer_model or '')}"
    return {"model": f"the shape of {model}, random weights of seed {base.seed}", "tokenizer": tokenizer}


def _versions(results: Mapping[str, ModelResults]) -> dict[str, str]:
    return versions({benchmark for model_results in results.values() for benchmark in model_results})


def _stage_report(run: RunFolder, stage: Stage, cost: TrainingResult, results: ModelResults) -> ModelReport:
    notes = []
    if stage.kind == "long_context" and cost.steps < DEMONSTRATION:
        notes.append(f"A demonstration: {cost.steps} steps are not enough to learn long contexts.")
    if stage.train == "lora":
        share = f"{100 * stage.lora_merge:g}% of them " if stage.lora_merge < 1 else ""
        notes.append(
            f"Trained by low-rank updates (LoRA) of rank {stage.lora_rank}, {share}merged into ordinary weights."
        )
    if cost.skipped:
        notes.append(
            f"Of its {cost.steps:,} steps {cost.skipped:,} changed no weights (skip_spikes): their loss was a spike "
            "or not finite. The log names them and their documents."
        )
    notes += _about_dialogues(run, stage)
    return ModelReport(
        stage.name,
        stage.parent,
        stage.kind,
        settings=_settings(stage, cost),
        notes=tuple(notes),
        results=dict(results),
        log=run.log(stage.name),
        tokens=cost.tokens,
        steps=cost.steps,
        seconds=cost.seconds,
        flops=cost.flops,
        evaluation_seconds=_seconds(results),
    )


def _about_dialogues(run: RunFolder, stage: Stage) -> list[str]:
    """Where the stage's dialogues are from. Of self-instruct: what it brought, and where its own report is."""
    sources = stage.dialogue_sources
    total = sum(source.share for source in sources)
    notes = []
    if any(source.source != KIND for source in sources):
        shares = ", ".join(f"{_named(each)} {each.share / total:.0%}" for each in sources)
        notes.append(f"Its dialogues are from {shares}.")
    folder = run.made_dialogues(stage.name, KIND).parent
    if not stage.makes(KIND) or not (folder / SUMMARY).exists():
        return notes
    summary = read_summary(folder)
    asked, answered = (summary.teachers[who]["name"] for who in ("questions", "answers"))
    who = (
        f"by {answered}" if asked == answered else f"questions by {asked}, tests and solutions by {answered}"
    )
    funnel = summary.funnel
    return [
        *notes,
        f"Its dialogues by self-instruct ({who}): {counted(funnel['questions'], 'question')}, of which "
        f"{funnel['with_tests']:,} got tests and {summary.dialogues:,} a solution that passes them; "
        f"{folder.relative_to(run.path) / 'report.html'} tells more, and datasheet.md beside it.",
    ]


def _lora(stage: Stage) -> str:
    share = f", {100 * stage.lora_merge:g}% of the updates" if stage.lora_merge < 1 else ""
    return f"LoRA of rank {stage.lora_rank}{share}"


def _settings(stage: Stage, cost: TrainingResult) -> dict[str, str]:
    total = sum(item.share for item in stage.mixture)
    settings = {
        "learning rate": f"{stage.learning_rate:g}, warm-up {stage.warmup_steps} steps",
        "batch": f"{stage.batch_tokens:,} tokens in rows of {stage.sequence_length:,}",
        "mixture": ", ".join(f"{item.source} {item.share / total:.0%}" for item in stage.mixture),
        "infilling": _infilling(stage.infilling) if stage.uses_infilling else "none",
        "weights": "all" if stage.train == "all" else _lora(stage),
        "precision": cost.precision,
    }
    if stage.kind == "long_context":
        settings["RoPE base"] = f"{stage.rope_theta:g}"
    return settings


def _infilling(settings: InfillingSettings) -> str:
    found = f"{settings.rate:.0%}, {settings.spm_share:.0%} of it SPM"
    shares = {"whole lines": settings.whole_line_share, "gaps as editors ask for": settings.editor_share}
    return ", ".join([found, *(f"{share:.0%} {name}" for name, share in shares.items() if share)])


def _named(source: DialogueSource) -> str:
    """A source of dialogues: of files on this machine only the last part of the path."""
    name = "the corpus (mined)" if source.kind == "mined" else _without_path(source.source)
    return name if source.limit is None else f"{name} (at most {source.limit:,})"


def _seconds(results: ModelResults) -> float:
    return round(sum(result.seconds for result in results.values()), 2)


def _without_path(name: str) -> str:
    """A name for the report: of a file or folder on this machine only the last part of its path."""
    return Path(name).name if Path(name).is_absolute() or name.startswith(("~", "..")) else name
