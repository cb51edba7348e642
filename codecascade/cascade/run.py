"""Runs a recipe: ``codecascade run``.

Everything that is finished is on the disk and is never done again; whatever is not goes on where it stopped. Under
torchrun every rank runs this; the first one writes, measures and reports, and the others wait for it.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from codecascade.cascade.budget import resolve_minutes, say_how_long
from codecascade.cascade.data import MANY_PASSES, Mixtures, is_built, open_corpus
from codecascade.cascade.display import Display
from codecascade.cascade.folder import LINEAGE, RunFolder
from codecascade.cascade.inputs import Inputs
from codecascade.cascade.measure import measure, sandbox_for
from codecascade.cascade.models import DTYPES, base_name, check_base, check_tokenizers, make_base, prepare
from codecascade.cascade.results import run_report, write_results
from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.ground.errors import UserError
from codecascade.ground.format import show_bytes, show_seconds
from codecascade.ground.locks import FolderLock
from codecascade.ground.nearest import nearest
from codecascade.ground.signals import stopped_at_once
from codecascade.model.folder import save_folder
from codecascade.model.sources import load
from codecascade.plan.plan import make_plan
from codecascade.recipe.settings import BASE, Recipe, Stage
from codecascade.recipe.shapes import look_at_base, missing_texts, model_shapes
from codecascade.reports.cascade.report import summary, write_report
from codecascade.sandbox.sandbox import Sandbox
from codecascade.training.loop import train
from codecascade.training.parallel import World, final_state_dict, join_world

logger = logging.getLogger(__name__)


def run_cascade(
    recipe: Recipe,
    folder: Path,
    *,
    until: str | None = None,
    console: Console | None = None,
    file: Path | None = None,
) -> bool:
    """Run ``recipe`` in ``folder``; returns False where there was nothing to do.

    Args:
        until: the last stage to run, in the order of the recipe; None runs all.
        console: what is told goes there.
        file: the recipe's, for messages and the report.

    Raises:
        UserError: something is missing or wrong. What can be seen before the work starts is seen then.
        RunFailed: training went wrong.
        Stopped: a signal came; the same call goes on.
    """
    wanted = _stages_until(recipe, until)
    world = join_world()
    display = Display(console if world.first else None)
    run = RunFolder(folder)

    def look() -> tuple[Recipe, list[Stage], bool]:
        adopted = run.adopt(recipe)
        # and what is done already, so that no result leaves the report
        names = {stage.name for stage in wanted}
        stages = [stage for stage in adopted.stage if stage.name in names or run.cost(stage) is not None]
        finished = run.is_finished(adopted, stages)
        if not finished:
            _check(adopted, stages, run, world, file)
        return adopted, stages, finished

    recipe, stages, finished = world.from_first(look)  # before it writes: another rank may come late
    if finished:
        display.say(f"{folder}: nothing to do, all {len(stages)} stages are trained and measured")
        return False
    sandbox = sandbox_for(recipe, stages)
    with stopped_at_once(), _locked(folder, world):
        if world.first:
            run.write(recipe)
        world.barrier()
        cascade = _Cascade(recipe, run, stages, sandbox, world, display, file)
        cascade.run()
    display.say(f"{folder}: finished; see {folder / 'report.html'}")
    return True


def _stages_until(recipe: Recipe, until: str | None) -> list[Stage]:
    names = [stage.name for stage in recipe.stage]
    if until is None:
        return list(recipe.stage)
    if until not in names:
        raise UserError(f"there is no stage {until!r}; {nearest(until, names)}", key="--until")
    return list(recipe.stage[: names.index(until) + 1])


def _check(recipe: Recipe, stages: Sequence[Stage], run: RunFolder, world: World, file: Path | None) -> None:
    """Find what would stop ``stages`` later; what only others need may come later, too."""
    waiting = [stage for stage in stages if run.cost(stage) is None]
    recipe = recipe.model_copy(update={"stage": tuple(stages)})
    try:
        check_base(recipe)
        missing = missing_texts(recipe, waiting)
        if missing and not (is_built(recipe, run) and all(text.startswith("corpus:") for text in missing)):
            place, _, what = missing[0].partition(": ")
            raise UserError(what, key=place)
        make_plan(recipe, devices=world.size, file=file)
    except UserError as error:
        raise UserError(error.message, file=error.file or file, key=error.key) from None


@contextmanager
def _locked(folder: Path, world: World) -> Iterator[None]:
    if not world.first:
        yield
        return
    with FolderLock(folder):
        yield


class _Cascade:
    """One call's work: what is the same for all stages."""

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        stages: Sequence[Stage],
        sandbox: Sandbox | None,
        world: World,
        display: Display,
        file: Path | None,
    ) -> None:
        self.recipe, self.folder, self.world, self.display = recipe, run, world, display
        self.sandbox, self.file = sandbox, file
        self.command = f"codecascade run {file or 'RECIPE'}"
        self.names = [stage.name for stage in stages]
        self.base = base_name(recipe, run)
        self.results: dict[str, dict[str, BenchmarkResult]] = {}
        self.instruct_base = False

    @property
    def stages(self) -> list[Stage]:
        return [self.recipe[name] for name in self.names]

    def run(self) -> None:
        self.corpus = self._corpus()
        self.mixtures = Mixtures(self.corpus, self.folder)
        waiting = [stage for stage in self.stages if self.folder.cost(stage) is None]
        self.mixtures.check(self.recipe, waiting)
        self._prepare_base()
        self.world.from_first(lambda: self._compare_inputs(waiting))
        self._budget(waiting)
        self._measure(BASE, self.base, self.recipe.evaluate)
        for stage in self.stages:
            if self.folder.cost(stage) is None:
                self._train(stage)
            self._measure(stage.name, str(self.folder.model(stage.name)), stage.evaluate)
        if self.world.first:
            for part in summary(self.report):
                self.display.show(part)

    # ---- before the stages

    def _corpus(self) -> Corpus:
        if self.world.first:
            with self.display.task("corpus") as progress:
                open_corpus(self.recipe, self.folder, progress)
        self.world.barrier()
        corpus = open_corpus(self.recipe, self.folder, lambda what, done, of: None)
        train = corpus.manifest.splits["train"].total
        self.display.say(f"corpus: {train.documents:,} documents, {show_bytes(train.bytes)}")
        return corpus

    def _prepare_base(self) -> None:
        if self.recipe.tokenizer is not None and self.world.first and not self.folder.model(BASE).exists():
            self.display.say(f"base: {self.recipe.base} from scratch, with a tokenizer trained on the corpus")
            make_base(self.recipe, self.folder, self.corpus)
        self.world.barrier()
        base = load(self.base)
        self.instruct_base = base.tokenizer.chat_format is not None
        check_tokenizers(self.recipe, self.stages, base.tokenizer)

    def _compare_inputs(self, waiting: Sequence[Stage]) -> None:
        """See that nothing that the run has read is another by now."""
        self.inputs = Inputs(self.folder)
        self.base_files = self.inputs.base(self.base)
        self.inputs.corpus(self.corpus)
        corpora, dialogues = self.mixtures.others(waiting)
        for corpus in corpora:
            self.inputs.corpus(corpus)
        for path in dialogues:
            self.inputs.dialogues(path)

    def _budget(self, waiting: Sequence[Stage]) -> None:
        """Settle the stages' lengths, and say how long the run will take."""
        self.recipe = resolve_minutes(self.recipe, waiting, self.base, self.display)
        if self.world.first:
            self.folder.write(self.recipe)
        self.world.barrier()
        for stage in (self.recipe[stage.name] for stage in waiting):
            passes, source = self.mixtures.passes(stage)
            if passes > MANY_PASSES:
                self.display.say(
                    f"{stage.name}: its tokens are about {passes:.0f} passes over {source!r}; fewer may do better"
                )
        evaluations = [self.recipe.evaluate, *(stage.evaluate for stage in self.stages)]
        base = look_at_base(self.recipe, [])
        shapes = {} if base is None else model_shapes(self.recipe, base, self.file)
        say_how_long([self.recipe[stage.name] for stage in waiting], shapes, evaluations, self.display)

    # ---- a stage

    def _train(self, stage: Stage) -> None:
        if self.mixtures.needs_mining(stage):
            self._mine(stage)
        parent = self.base if stage.parent == BASE else str(self.folder.model(stage.parent))
        files = self.world.from_first(
            lambda: self.base_files if stage.parent == BASE else self.inputs.model(stage.parent)
        )
        loaded = load(parent, dtype=torch.float32)
        prepared = prepare(loaded, stage)
        stream = self.mixtures.stream(stage, prepared.tokenizer)
        checkpoints = self.folder.path / "checkpoints" / stage.name
        with self.display.training(stage.name) as progress:
            cost = train(
                prepared.model,
                stream,
                stage,
                checkpoints,
                log=self.folder.log(stage.name),
                tensorboard=self.folder.path / "tensorboard" / stage.name,
                fingerprint={**self.recipe.identity(stage), "parent": files, "stream": stream.identity},
                new_token_ids=prepared.new_token_ids,
                progress=progress,
            )
        weights = final_state_dict(prepared.model, stage)
        if self.world.first:
            save_folder(
                self.folder.model(stage.name),
                weights,
                prepared.model.config,
                prepared.tokenizer,
                dtype=DTYPES[self.recipe.dtype],
                generation=loaded.generation,
                extra_files={LINEAGE: _json(self.folder.lineage(self.recipe, stage, cost))},
            )
            self.inputs.trained(stage.name)
            shutil.rmtree(checkpoints, ignore_errors=True)
            self.display.say(
                f"{stage.name}: {cost.steps:,} steps, {cost.tokens:,} tokens, loss {cost.final_loss:.3f}, "
                f"{show_seconds(cost.seconds)}, {cost.precision}"
            )
        self.world.barrier()

    def _mine(self, stage: Stage) -> None:
        if self.world.first:
            assert self.sandbox is not None
            with self.display.task(f"dialogues for {stage.name}") as progress:
                count = self.mixtures.mine(
                    stage, self.sandbox, lambda tried, kept: progress(f"{kept} kept", tried, 0)
                )
            self.display.say(f"{stage.name}: {count:,} dialogues, whose doctests pass")
        self.world.barrier()

    # ---- after it

    def _measure(self, name: str, model: str, settings: EvaluateSettings) -> None:
        if self.world.first:

            def keep(results: dict[str, BenchmarkResult]) -> None:
                self.results[name] = dict(results)
                write_results(self.folder, self.stages, self.results)

            if name != BASE:
                self.inputs.model(name)
            self.results[name] = {}
            measure(
                model,
                settings,
                title=name,
                folder=self.folder.evaluation(name),
                corpus=self.corpus,
                sandbox=self.sandbox,
                display=self.display,
                command=self.command,
                after_each=keep,
            )
            keep(self.results[name])
            self._report()
            self.folder.note_measured(name, settings.model_dump(mode="json"))
        self.world.barrier()

    def _report(self) -> None:
        self.report = run_report(
            self.recipe,
            self.folder,
            self.stages,
            self.results,
            self.corpus.manifest,
            instruct_base=self.instruct_base,
            command=self.command,
        )
        write_report(self.report, self.folder.path)


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
