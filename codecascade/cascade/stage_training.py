"""One stage of a cascade: from its parent's model folder to its own."""

from __future__ import annotations

import json
from pathlib import Path

from codecascade.cascade.display import RunDisplay
from codecascade.cascade.mixtures import Mixtures
from codecascade.cascade.run_folder import LINEAGE, RunFolder
from codecascade.cascade.stage_models import DTYPES, StageModel, stage_model
from codecascade.corpus.code.grammars import NOT_INSTALLED
from codecascade.ground.files.atomic import atomic_folder
from codecascade.ground.format import listed, show_seconds
from codecascade.ground.signals import StopRequest
from codecascade.model.folder import check_target, write_description
from codecascade.model.presets import build
from codecascade.model.sources import open_model
from codecascade.model.stored.weights import StoredWeights
from codecascade.model.stored.writing import write_in_turn
from codecascade.recipe.settings import Recipe, Stage, to_data
from codecascade.training.checksums import Sums
from codecascade.training.loop import TrainingResult, stop_if_asked, train
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.shared_folder import shared_folder
from codecascade.training.parallel.weights_out import write_model
from codecascade.training.trackers.table import TrackedRun, open_trackers


def train_stage(
    recipe: Recipe,
    stage: Stage,
    parent: str,
    parent_files: Sums,
    mixtures: Mixtures,
    run: RunFolder,
    world: World,
    display: RunDisplay,
) -> None:
    """Train ``stage``, or resume from its newest checkpoint, and write its model folder. All ranks must call this.

    Args:
        parent: what the parent's model is loaded from.
        parent_files: checksums of the parent's files. A checkpoint of a run with another parent is refused.

    Raises:
        RunFailed, UserError: as :func:`codecascade.training.loop.train`.
        Stopped: a signal came. Behind the last step the model is written first.
    """
    prepared = world.on_all(lambda: stage_model(open_model(parent), stage))
    weights = prepared.weights(stage, world)
    model = build(prepared.config, "meta")
    if stage.total_steps == 0:
        _write_untrained(recipe, stage, prepared, weights, run, world)
        display.say(f"{stage.name}: not trained, its parent's weights")
        return
    with display.task(f"tokens for {stage.name}") as progress:
        stream = mixtures.stream(stage, prepared.tokenizer, progress)
    if stream.unparsed:
        display.say(
            f"{stage.name}: of {listed(stream.unparsed)} only lines and rests of lines are gaps as editors ask "
            f"for them: {NOT_INSTALLED}"
        )
    checkpoints = run.checkpoints(stage.name)
    # A signal in the last step, or while the model is written, must not be lost with the training.
    with StopRequest() as stop:
        with display.training(stage.name) as step_taken:
            cost = train(
                model,
                stream,
                stage,
                checkpoints,
                log=run.log(stage.name),
                trackers=lambda last_step: open_trackers(recipe.log, _tracked(recipe, stage, run, last_step)),
                fingerprint={**recipe.identity(stage), "parent": parent_files, "stream": stream.identity},
                new_token_ids=prepared.new_token_ids,
                weights=weights,
                progress=step_taken,
                stop=stop,
            )
        folder, dtype = run.model(stage.name), DTYPES[recipe.dtype]
        world.from_first(lambda: check_target(folder))
        with shared_folder(folder, world) as new:
            write_model(new, model, stage, world, dtype=dtype)
            world.from_first(lambda: _describe(new, recipe, stage, prepared, cost, run))
        if world.first:
            run.remove_checkpoints(stage.name)
            skipped = f" ({cost.skipped:,} left out)" if cost.skipped else ""
            display.say(
                f"{stage.name}: {cost.steps:,} steps{skipped}, {cost.tokens:,} tokens, loss {cost.final_loss:.3f}, "
                f"{show_seconds(cost.seconds)}, {cost.precision}"
            )
        stop_if_asked(stop, world)


def _write_untrained(
    recipe: Recipe, stage: Stage, prepared: StageModel, weights: StoredWeights, run: RunFolder, world: World
) -> None:
    """Write the stage's model as it is before training, on the first rank."""
    folder, dtype = run.model(stage.name), DTYPES[recipe.dtype]

    def write() -> None:
        check_target(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with atomic_folder(folder) as new:
            write_in_turn(new, dict(weights.shapes), weights.tensors(), dtype)
            nothing = TrainingResult(0, 0, 0.0, 0.0, 0.0, "not trained")
            _describe(new, recipe, stage, prepared, nothing, run)

    world.from_first(write)


def _describe(
    folder: Path, recipe: Recipe, stage: Stage, prepared: StageModel, cost: TrainingResult, run: RunFolder
) -> None:
    """Write all files of the stage's model but its weights."""
    lineage = json.dumps(run.lineage(recipe, stage, cost), indent=2, ensure_ascii=False) + "\n"
    write_description(
        folder,
        prepared.config,
        prepared.tokenizer,
        dtype=DTYPES[recipe.dtype],
        generation=prepared.parent.generation,
        extra_files={LINEAGE: lineage},
    )


def _tracked(recipe: Recipe, stage: Stage, run: RunFolder, last_step: int) -> TrackedRun:
    settings = to_data(stage)
    del settings["evaluate"]
    return TrackedRun(recipe.log.project or recipe.name, stage.name, run.path, settings, last_step)
