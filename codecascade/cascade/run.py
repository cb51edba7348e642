"""Runs a recipe: ``codecascade run``.

Finished work is on the disk and is never repeated. Unfinished work continues where it stopped. Under torchrun every
rank runs this: the first rank writes, measures and reports, and the others help it to measure, or wait for it.
"""

from __future__ import annotations

import logging
from contextlib import closing, nullcontext
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from codecascade.cascade.bases import make_base
from codecascade.cascade.budget.measuring import measuring_timer
from codecascade.cascade.budget.promise import say_how_long
from codecascade.cascade.budget.steps import StepTimer, resolve_minutes
from codecascade.cascade.dialogues.stage_dialogues import StageDialogues
from codecascade.cascade.display import RunDisplay
from codecascade.cascade.measure import (
    LazyGenerator,
    check_engines,
    measure,
    measured_backend,
    measuring_precision,
    sandbox_for,
)
from codecascade.cascade.mixtures import MANY_PASSES, Mixtures
from codecascade.cascade.results import figures_not_given, make_run_report, write_run_results
from codecascade.cascade.run_corpus import build_run_corpus, corpus_folder, needs_sources
from codecascade.cascade.run_folder import RunFolder, serve_hint
from codecascade.cascade.run_inputs import RunInputs
from codecascade.cascade.shared.generator import on_all_ranks
from codecascade.cascade.stage_models import stage_tokenizers
from codecascade.cascade.stage_training import train_stage
from codecascade.cascade.storage.copies import Copies, check_target, copy_finished
from codecascade.cascade.work_ahead import WorkAhead, look_ahead
from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.generation.requests import Generator
from codecascade.ground.files.locks import FolderLock
from codecascade.ground.format import counted, show_bytes
from codecascade.ground.signals import stopped_at_once
from codecascade.model.sources import open_model
from codecascade.plan.devices import this_device
from codecascade.plan.plan import RecipePlan
from codecascade.recipe.self_instruct import KIND
from codecascade.recipe.settings import BASE, Recipe, Stage
from codecascade.reports.cascade.report import summary, write_report
from codecascade.sandbox.sandbox import Sandbox
from codecascade.training.parallel.messages import Messages
from codecascade.training.parallel.ranks import World, join_world, release_memory
from codecascade.training.parallel.shared_folder import check_shared
from codecascade.training.stream.tokenized.cache import open_token_cache

logger = logging.getLogger(__name__)

MUCH_FASTER = 1.5
"""If a step takes so many times less than when the run began, how long it will take is said again."""


def run_cascade(
    recipe: Recipe,
    folder: Path,
    *,
    until: str | None = None,
    console: Console | None = None,
    file: Path | None = None,
    command: str | None = None,
) -> bool:
    """Run ``recipe`` in ``folder``; returns False where there was nothing to do.

    Args:
        until: the last stage to run, in the order of the recipe; None runs all.
        console: messages and progress go there; None: nowhere.
        file: the recipe's, for messages.
        command: what the report is made by; None: ``codecascade run`` of the file.

    Raises:
        UserError: something is missing or wrong. What can be found before the work starts is found then.
        RunFailed: training went wrong.
        Stopped: a signal came; the same call continues the run.
    """
    world = join_world()
    display = RunDisplay(console if world.first else None)
    run = RunFolder(folder)
    # Only the first rank looks: another rank may start so late that the first one has already written files.
    ahead = world.from_first(
        lambda: look_ahead(
            recipe, run, until=until, devices=world.size, device=this_device(timed=False), file=file
        ),
    )
    world.from_first(lambda: run.remove_left_checkpoints(ahead.recipe))
    if (target := ahead.recipe.run.copy_to) is not None:
        world.from_first(lambda: check_target(target, folder))
    if ahead.plan is None:
        if target is not None and world.first:
            with stopped_at_once():
                copy_finished(target, run, ahead.stages, display.say)
        display.say(f"{folder}: nothing to do, all {len(ahead.stages)} stages are trained and measured")
        display.say(serve_hint(ahead.recipe, ahead.stages, run) if world.first else "")
        return False
    stages = [ahead.recipe[name] for name in ahead.stages]
    sandbox = sandbox_for(ahead.recipe, stages)
    world.from_first(lambda: check_engines(ahead.recipe, stages, run.bases(ahead.recipe)))
    with stopped_at_once(), FolderLock(folder) if world.first else nullcontext():
        if world.first:
            run.write(ahead.recipe)
        world.wait_for_all()
        check_shared(folder, world)
        with closing(Copies(target if world.first else None, run, display.say)) as copies:
            command = command or f"codecascade run {file or 'RECIPE'}"
            _Cascade(ahead, run, sandbox, world, display, command, copies).run()
    display.say(f"{folder}: finished; see {folder / 'report.html'}")
    display.say(serve_hint(ahead.recipe, ahead.stages, run) if world.first else "")
    return True


class _Cascade:
    """One call's work, in the order of :meth:`run`."""

    def __init__(
        self,
        ahead: WorkAhead,
        run: RunFolder,
        sandbox: Sandbox | None,
        world: World,
        display: RunDisplay,
        command: str,
        copies: Copies,
    ) -> None:
        self.ahead, self.recipe = ahead, ahead.recipe
        self.folder, self.sandbox, self.world, self.display = run, sandbox, world, display
        self.command, self.copies, self.instruct_base = command, copies, False
        self.bases, self.results = run.bases(self.recipe), dict[str, dict[str, BenchmarkResult]]()

    @property
    def stages(self) -> list[Stage]:
        """The stages of this call. One with a budget in minutes has steps in place of it from when it begins."""
        return [self.recipe[name] for name in self.ahead.stages]

    @property
    def untrained(self) -> list[Stage]:
        """Those that were not trained when this call began."""
        return [self.recipe[name] for name in self.ahead.untrained]

    @property
    def left(self) -> list[Stage]:
        """Those of :attr:`untrained` that are not trained yet."""
        return [stage for stage in self.untrained if self.folder.cost(stage) is None]

    def run(self) -> None:
        self._open_corpus()
        self._prepare_bases()
        self._compare_inputs()
        self._look_ahead()
        for name, base in self.recipe.roots.items():
            self._measure(name, self.bases[name], base.evaluate)
        for name in self.ahead.stages:
            if name in self.ahead.untrained:
                self._train(self.recipe[name])
            self.copies.model(name)
            self._measure(name, str(self.folder.model(name)), self.recipe[name].evaluate)
        for part in summary(self.report, self.folder.path) if self.world.first else ():
            self.display.show(part)
        with self.display.task("copying"):
            self.copies.finish()

    # ---- before the stages

    def _open_corpus(self) -> None:
        if self.world.first and needs_sources(self.recipe, self.folder):
            with self.display.task("corpus") as progress:
                build_run_corpus(self.recipe, self.folder, progress)
        self.world.wait_for_all()
        self.corpus = self.world.on_all(lambda: Corpus.open(corpus_folder(self.recipe, self.folder)))
        train = self.corpus.manifest.splits["train"].total
        self.display.say(f"corpus: {counted(train.documents, 'document')}, {show_bytes(train.bytes)}")
        tokens = open_token_cache(self.recipe.run.token_cache, self.world)
        self.mixtures = Mixtures(self.corpus, self.folder, tokens)
        self.mixtures.check(self.recipe, self.untrained)

    def _prepare_bases(self) -> None:
        for name, base in self.recipe.roots.items():
            if base.random_weights and self.world.first and not self.folder.base(name).exists():
                tokenizer = base.tokenizer_model or "a tokenizer trained on the corpus"
                self.display.say(f"{name}: {base.model} from scratch, seed {base.seed}, with {tokenizer}")
                make_base(self.recipe, name, self.folder, self.corpus)
        self.world.wait_for_all()
        opened = self.world.on_all(lambda: {name: open_model(model) for name, model in self.bases.items()})
        self.instruct_base = opened[BASE].tokenizer.chat_format is not None
        own = {name: model.tokenizer for name, model in opened.items()}
        self.tokenizers = stage_tokenizers(self.recipe, self.stages, own)
        for stage in self.untrained:
            self.mixtures.check_formats(stage, self.tokenizers[stage.name])

    def _compare_inputs(self) -> None:
        """Check on the first rank that no input has changed since the run read it."""

        def compare() -> None:
            self.inputs = RunInputs(self.folder)
            models = {model: self.inputs.check_base(model) for model in {*self.bases.values()}}
            self.base_files = {name: models[model] for name, model in self.bases.items()}
            self.inputs.check_corpus(self.corpus)
            corpora, dialogues = self.mixtures.others(self.untrained)
            for corpus in corpora:
                self.inputs.check_corpus(corpus)
            for source in dialogues:
                self.inputs.check_dialogues(source)

        self.world.from_first(compare)

    def _look_ahead(self) -> None:
        """Say how long the run will take, and where a stage reads the same often."""
        self.timer = StepTimer(lambda stage: self.bases[self.recipe.root(stage)], self.display.say)
        for stage in self.untrained:
            self._warn_of_passes(stage, *self.mixtures.passes(stage))
        self._say_how_long()

    def _say_how_long(self) -> None:
        plan = self.ahead.plan
        assert plan is not None

        def what_is_left() -> tuple[list[Stage], dict[str, int], dict[str, EvaluateSettings], RecipePlan]:
            dialogues = [each for each in plan.dialogues if not self.folder.has_dialogues(each.stage, KIND)]
            done = self.folder.left(self.recipe, self.stages)
            return (self.left, *done, replace(plan, dialogues=tuple(dialogues)))

        left = self.world.from_first(what_is_left)
        most_steps = {stage.name: self.mixtures.most_steps(stage) for stage in left[0]}
        timers = self.timer, measuring_timer(self.recipe, self.bases[BASE])
        say_how_long(*left, most_steps, *timers, self.display)
        release_memory()

    def _warn_of_passes(self, stage: Stage, passes: float, source: str) -> None:
        if passes > MANY_PASSES:
            about = f"its tokens are about {passes:,.0f} passes over {source!r}"
            self.display.say(f"{stage.name}: {about}; fewer may do better")

    # ---- a stage

    def _train(self, stage: Stage) -> None:
        dialogues = StageDialogues(
            self.recipe,
            self.folder,
            self.corpus,
            self.bases,
            self.mixtures,
            self.sandbox,
            self.world,
            self.display,
        )
        dialogues.make(stage, self.inputs if self.world.first else None)
        self.mixtures.check_formats(stage, self.tokenizers[stage.name], only_made=True)
        stage = self._with_steps(stage)
        dialogues.say(stage)
        # Known only now, for the run may have made them.
        self._warn_of_passes(stage, *self.mixtures.dialogue_passes(stage))
        parent = self.bases.get(stage.parent) or str(self.folder.model(stage.parent))
        parent_files = self.world.from_first(
            lambda: (
                self.base_files[stage.parent]
                if stage.parent in self.bases
                else self.inputs.check_model(stage.parent)
            )
        )
        train_stage(
            self.recipe, stage, parent, parent_files, self.mixtures, self.folder, self.world, self.display
        )
        if self.world.first:
            self.inputs.record_model(stage.name)
        self.world.wait_for_all()

    def _with_steps(self, stage: Stage) -> Stage:
        """``stage``, which is about to begin, with steps in place of a budget in minutes."""
        if stage.minutes is None:
            return stage
        before = self.timer.known(stage)
        unresolved = [each.name for each in self.untrained if each.minutes is not None]
        most_steps = {name: self.mixtures.most_steps(self.recipe[name]) for name in unresolved}
        self.recipe = resolve_minutes(self.recipe, stage, self.timer, self.display, most_steps)
        if self.world.first:
            self.folder.write(self.recipe)
        self.world.wait_for_all()
        now = self.timer.known(stage)
        if before is not None and now is not None and now < before / MUCH_FASTER:
            self._say_how_long()
        for each in (self.recipe[name] for name in unresolved):
            self._warn_of_passes(each, *self.mixtures.passes(each))
        return self.recipe[stage.name]

    # ---- a model

    def _measure(self, name: str, model: str, settings: EvaluateSettings) -> None:
        # What measures gets the devices: what training holds there is of no more use.
        release_memory()
        own = LazyGenerator(model, measuring_precision(self.recipe, name))
        with on_all_ranks(own, Messages(self.world)) as generator:
            if generator is not None:
                self._measure_with(generator, name, model, settings)
        self.world.wait_for_all()

    def _measure_with(self, generator: Generator, name: str, model: str, settings: EvaluateSettings) -> None:
        """Measure a model and write what is known then, on the first rank; ``generator`` asks the others."""

        def keep(results: dict[str, BenchmarkResult]) -> None:
            self.results[name] = dict(results)
            write_run_results(self.recipe, self.folder, self.stages, self.results)

        if name not in self.bases:
            self.inputs.check_model(name)
        self.results[name] = {}
        folder, precision = self.folder.evaluation(name), measuring_precision(self.recipe, name)
        with measured_backend(
            model, settings, precision, title=name, folder=folder, display=self.display, own=generator
        ) as backend:
            measure(
                backend,
                settings,
                folder=folder,
                corpus=self.corpus,
                sandbox=self.sandbox,
                display=self.display,
                command=self.command,
                after_each=keep,
            )
        keep(self.results[name])
        last = [*self.bases, *self.ahead.stages][-1]
        # Of a model that was measured before nothing is new, and the last one's report has all.
        new = not self.folder.is_measured(name, settings)
        for sentence in figures_not_given(self.recipe, self.folder, name) if new else ():
            self.display.say(sentence)
        if new or name == last:
            self._report()
        self.folder.note_measured(name, settings)

    def _report(self) -> None:
        self.report = make_run_report(
            self.recipe,
            self.folder,
            self.stages,
            self.results,
            self.corpus.manifest,
            instruct_base=self.instruct_base,
            command=self.command,
        )
        write_report(self.report, self.folder.path)
