"""The dialogues of a stage that the run makes itself: mined from the corpus, or written by a model."""

from __future__ import annotations

from collections.abc import Mapping

from codecascade.cascade.dialogues.self_instruct import SelfInstructStep
from codecascade.cascade.display import RunDisplay
from codecascade.cascade.mixtures import Mixtures
from codecascade.cascade.run_folder import RunFolder
from codecascade.cascade.run_inputs import RunInputs
from codecascade.corpus.corpus import Corpus
from codecascade.ground.format import counted
from codecascade.recipe.self_instruct import KIND
from codecascade.recipe.settings import Recipe, Stage
from codecascade.sandbox.sandbox import Sandbox
from codecascade.training.parallel.ranks import World


class StageDialogues:
    """Makes the dialogues of the stages of one run, and tells of them.

    Args:
        bases: what each model that comes in is loaded from, by its name.
        sandbox: what a model wrote runs there; not None where a stage's dialogues are still to be made.
    """

    def __init__(
        self,
        recipe: Recipe,
        run: RunFolder,
        corpus: Corpus,
        bases: Mapping[str, str],
        mixtures: Mixtures,
        sandbox: Sandbox | None,
        world: World,
        display: RunDisplay,
    ) -> None:
        self._recipe, self._run, self._corpus, self._bases = recipe, run, corpus, bases
        self._mixtures, self._sandbox, self._world, self._display = mixtures, sandbox, world, display

    def make(self, stage: Stage, inputs: RunInputs | None) -> None:
        """Make the dialogues that are not there yet; the stage's parent is trained and measured by now.

        Only the first rank makes them. All ranks must call this.

        Args:
            inputs: checks on the first rank that no model that teaches has changed; None on the others.
        """
        # The first rank looks for all: another one may come so late that it finds the dialogues made.
        for kind in self._world.from_first(lambda: self._mixtures.to_make(stage)):
            if inputs is not None:
                if kind == KIND:
                    self._self_instruct(stage, inputs)
                else:
                    self._mine(stage)
            self._world.wait_for_all()

    def say(self, stage: Stage) -> None:
        """Say of each source of dialogues what was read, and what of it was not used."""
        for name, read in self._mixtures.read(stage):
            formats = ", ".join(sorted({*read.formats.values()}))
            skipped = read.skipped.total()
            reasons = read.skipped.most_common(1)
            left = f"; {counted(skipped, 'line')} skipped ({reasons[0][0]})" if reasons else ""
            dialogues = counted(len(read.table), "dialogue")
            self._display.say(f"{stage.name}: {dialogues} of {name} ({formats}){left}")

    def _mine(self, stage: Stage) -> None:
        assert self._sandbox is not None
        with self._display.task(f"dialogues for {stage.name}") as progress:
            count = self._mixtures.mine(
                stage, self._sandbox, lambda tried, kept: progress(f"{kept} kept", tried, 0)
            )
        self._display.say(f"{stage.name}: {counted(count, 'dialogue')}, whose doctests pass")

    def _self_instruct(self, stage: Stage, inputs: RunInputs) -> None:
        assert self._sandbox is not None
        step = SelfInstructStep(self._recipe, self._run, self._corpus, self._bases)
        twin = step.twin(stage)
        if twin is not None:
            step.copy(stage, twin)
            self._display.say(f"{stage.name}: its dialogues are those of {twin.name}, made in the same way")
            return
        for name in step.teaching_stages(stage):
            inputs.check_model(name)
        for model in step.teaching_models(stage):
            inputs.check_teacher(model)
        with self._display.self_instruct(stage.name) as shown:
            summary = step.make(stage, self._sandbox, shown.progress)
        self._display.say(
            f"{stage.name}: {counted(summary.dialogues, 'dialogue')} by self-instruct; "
            f"{step.folder(stage) / 'report.html'} tells how"
        )
