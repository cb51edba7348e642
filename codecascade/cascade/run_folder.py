"""A run's folder: where everything is in it, and what of the run is done.

``recipe.toml``, ``inputs.json``, ``corpus/``, ``base/`` and ``bases/`` (models from scratch), ``dialogues/<stage>/``,
``checkpoints/<stage>/`` (while it trains), ``logs/<stage>.jsonl``, ``tensorboard/<stage>/``, ``models/<stage>/``,
``evaluations/<model>/``, ``results.json``, ``report.md``, ``report.html``.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from codecascade.evaluation.analysis.gains import ModelGains
from codecascade.evaluation.benchmarks.table import BENCHMARKS
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.result import has_result
from codecascade.evaluation.running.settings_used import used_settings, version_of
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import write_json
from codecascade.ground.files.paths import check_file_path, check_folder_path
from codecascade.ground.files.reading import read_json
from codecascade.ground.format import shown_command
from codecascade.instruct.dialogues.settings import MADE
from codecascade.instruct.self_instruct.pipeline import SUMMARY
from codecascade.recipe.difference import difference
from codecascade.recipe.reading import read_recipe, with_steps, write_recipe
from codecascade.recipe.settings import BASE, Recipe, Stage
from codecascade.reports.cascade.choice import advised_stage
from codecascade.reports.cascade.report import COMPARISONS
from codecascade.reports.self_instruct.report import DATASHEET
from codecascade.training.checkpoints.checkpoints import last_step
from codecascade.training.loop import TrainingResult

_RESULT = TypeAdapter(TrainingResult)

LINEAGE = "codecascade.json"
"""The file in a stage's model folder that says how it was made."""


@dataclass(frozen=True)
class RunFolder:
    """The paths in one run's folder, and its state."""

    path: Path

    def model(self, name: str) -> Path:
        return self.path / "models" / name

    def base(self, name: str) -> Path:
        """The folder of a model that starts from scratch."""
        return self.path / "base" if name == BASE else self.path / "bases" / name

    def bases(self, recipe: Recipe) -> dict[str, str]:
        """What :func:`codecascade.model.sources.load` takes for each model that comes in, by its name."""
        return {
            name: str(self.base(name)) if base.random_weights else base.model
            for name, base in recipe.roots.items()
        }

    def evaluation(self, name: str) -> Path:
        return self.path / "evaluations" / name

    def log(self, stage: str) -> Path:
        return self.path / "logs" / f"{stage}.jsonl"

    @property
    def corpus(self) -> Path:
        return self.path / "corpus"

    def checkpoints(self, stage: str) -> Path:
        return self.path / "checkpoints" / stage

    def tensorboard(self, stage: str) -> Path:
        return self.path / "tensorboard" / stage

    def made_dialogues(self, stage: str, kind: str) -> Path:
        """Dialogues that the run makes for a stage; ``kind`` is a word of ``MADE``."""
        folder = self.path / "dialogues" / stage
        return (folder if kind == "mined" else folder / kind) / "dialogues.jsonl"

    def has_dialogues(self, stage: str, kind: str) -> bool:
        """Whether these dialogues are made, and whether all is there that belongs to them."""
        made = self.made_dialogues(stage, kind)
        if kind == "mined":
            return made.exists()
        whole = all((made.parent / name).exists() for name in (SUMMARY, DATASHEET))
        return whole and made.exists() and made.stat().st_size > 0

    @property
    def inputs(self) -> Path:
        return self.path / "inputs.json"

    @property
    def reports(self) -> tuple[Path, ...]:
        """The files that every run ends with; one that compares models has :data:`COMPARISONS` too."""
        return tuple(self.path / name for name in ("results.json", "report.md", "report.html"))

    def _check_paths(self, recipe: Recipe) -> None:
        """Check that every path that the run will use is of the right type, or free.

        Raises:
            UserError: a file is where a folder is needed, or the other way round.
        """
        folders = [self.corpus]
        for name in recipe.roots:
            folders += [self.base(name), self.evaluation(name)]
        files = [self.path / "recipe.toml", self.inputs, *self.reports, self.path / COMPARISONS]
        for stage in recipe.stage:
            made = [self.made_dialogues(stage.name, kind) for kind in MADE]
            folders += [
                *(path.parent for path in made),
                self.checkpoints(stage.name),
                self.tensorboard(stage.name),
                self.model(stage.name),
                self.evaluation(stage.name),
            ]
            files += [self.log(stage.name), *made]
        # a file in the place of checkpoints/ is named before the checkpoints/STAGE in it
        for folder in sorted({*folders, *(path.parent for path in [*folders, *files])}):
            check_folder_path(folder)
        for file in files:
            check_file_path(file)

    # ---- the recipe

    def adopt(self, recipe: Recipe) -> Recipe:
        """``recipe`` with the steps that an earlier run in this folder has timed.

        Raises:
            UserError: the folder is of another recipe's run, or of no run, or what is in it can't be used.
        """
        path = self.path / "recipe.toml"
        if not path.exists():
            names = {entry.name for entry in self.path.iterdir()} if self.path.is_dir() else set()
            if self.path.is_file() or names - {".lock"}:
                raise UserError("is there already and holds no run; choose another with -o", file=self.path)
            return recipe
        self._check_paths(recipe)
        before = read_recipe(path)
        unused, only_dialogues = self._unused(before)
        changed = difference(before, recipe, unused=unused, only_dialogues=only_dialogues)
        if changed is not None:
            raise UserError(
                f"holds a run of another recipe ({changed}); choose another folder with -o", file=self.path
            )
        for stage in before.stage:
            if (
                stage.name not in unused | only_dialogues
                and stage.steps is not None
                and recipe[stage.name].minutes is not None
            ):
                recipe = with_steps(recipe, stage.name, stage.steps)
        return recipe

    def _unused(self, recipe: Recipe) -> tuple[set[str], set[str]]:
        """The stages of ``recipe`` that nothing here is of, with its models from scratch that are not made.

        And those stages for which dialogues are made, and nothing else.
        """
        begun = (self.log, self.checkpoints, self.model, self.evaluation)
        stages = {s.name for s in recipe.stage if not any(of(s.name).exists() for of in begun)}
        only_dialogues = {name for name in stages if (self.path / "dialogues" / name).exists()}
        bases = {n for n, base in recipe.roots.items() if base.random_weights and not self.base(n).exists()}
        return (stages - only_dialogues) | bases, only_dialogues

    def write(self, recipe: Recipe) -> None:
        """Write the recipe, with the values that the run uses, to ``recipe.toml``.

        A report that answers other questions is removed, so that the run is not done before it is written again.
        """
        if not self._asks_the_same(recipe):
            for report in (*self.reports, self.path / COMPARISONS):
                report.unlink(missing_ok=True)
        write_recipe(recipe, self.path / "recipe.toml")

    def _asks_the_same(self, recipe: Recipe) -> bool:
        """Whether the comparisons are those of the recipe that the run was begun with."""
        path = self.path / "recipe.toml"
        return not path.exists() or read_recipe(path).compare == recipe.compare

    # ---- what is done

    def cost(self, stage: Stage) -> TrainingResult | None:
        """What the stage's training took; None if it is not trained yet."""
        path = self.model(stage.name) / LINEAGE
        if not path.exists():
            return None
        try:
            return _RESULT.validate_python(read_json(path)["training"])
        except (UserError, KeyError, TypeError, ValidationError):
            raise UserError(
                "is damaged; put it back, or delete this folder to train the stage again", file=path
            ) from None

    def remove_checkpoints(self, stage: str) -> None:
        """Remove those of a stage whose model is written."""
        shutil.rmtree(self.checkpoints(stage), ignore_errors=True)

    def remove_left_checkpoints(self, recipe: Recipe) -> None:
        """Remove those of all trained stages: a run that is killed behind a model's writing leaves them."""
        for stage in recipe.stage:
            if self.cost(stage) is not None:
                self.remove_checkpoints(stage.name)

    def lineage(self, recipe: Recipe, stage: Stage, cost: TrainingResult) -> dict[str, Any]:
        """The content of :data:`LINEAGE`."""
        return {"run": recipe.name, "training": asdict(cost), "recipe": recipe.identity(stage)}

    def left(
        self, recipe: Recipe, stages: Sequence[Stage]
    ) -> tuple[dict[str, int], dict[str, EvaluateSettings]]:
        """What tells how much is left: of each stage the step of its newest checkpoint; and :meth:`unmeasured`."""
        steps = {stage.name: last_step(self.checkpoints(stage.name)) for stage in stages}
        return steps, self.unmeasured(recipe, stages)

    def note_measured(self, name: str, settings: EvaluateSettings) -> None:
        """Note that a model has been measured by all benchmarks of these settings."""
        write_json(self.evaluation(name) / "measured.json", _measured_by(settings))

    def is_measured(self, name: str, settings: EvaluateSettings) -> bool:
        path = self.evaluation(name) / "measured.json"
        try:
            return path.exists() and bool(read_json(path) == _measured_by(settings))
        except UserError:
            # It is damaged. The run then looks for each result, finds it, and writes this file again.
            return False

    def is_reported(self, recipe: Recipe, stages: Sequence[Stage]) -> bool:
        """Whether the bases and the models of these stages are measured, and the run's reports are written."""
        measured = not self.unmeasured(recipe, stages)
        files = (*self.reports, self.path / COMPARISONS) if recipe.compare else self.reports
        return measured and self._asks_the_same(recipe) and all(path.exists() for path in files)

    def unmeasured(self, recipe: Recipe, stages: Sequence[Stage]) -> dict[str, EvaluateSettings]:
        """Those of the bases and the models of these stages that are still to be measured, and how.

        A benchmark that has a result by these settings is not among the settings' benchmarks.
        """
        settings = {
            name: recipe.measured[name] for name in (*recipe.roots, *(stage.name for stage in stages))
        }
        return {
            name: of_model.model_copy(update={"benchmarks": self._without_result(name, of_model)})
            for name, of_model in settings.items()
            if not self.is_measured(name, of_model)
        }

    def _without_result(self, name: str, settings: EvaluateSettings) -> tuple[str, ...]:
        folder = self.evaluation(name)
        return tuple(
            each
            for each in settings.benchmarks
            if not has_result(
                folder, each, {**used_settings(BENCHMARKS[each], settings), **version_of(BENCHMARKS[each])}
            )
        )


def _measured_by(settings: EvaluateSettings) -> dict[str, Any]:
    versions = {name: BENCHMARKS[name].version for name in settings.benchmarks}
    changed = {name: version for name, version in versions.items() if version > 1}
    return settings.model_dump(mode="json") | ({"versions": changed} if changed else {})


def serve_hint(recipe: Recipe, stages: Sequence[str], run: RunFolder) -> str:
    """What to do with the models of ``stages``, for a person: the one that the report advises, else the last."""
    last = stages[-1] if stages else BASE
    own = [name for name in stages if recipe.root(recipe[name]) == BASE]
    # a study's models are not made to be used
    advised = None if recipe.compare else advised_stage(BASE, own, ModelGains(run.evaluation(BASE).parent))

    def command(verb: str, name: str) -> str:
        return shown_command([verb, run.bases(recipe)[BASE] if name == BASE else str(run.model(name))])

    if advised is None or advised == last:
        talk = f"To talk to the model: {command('chat', last)}\n" if _chats(recipe, last) else ""
        return f"{talk}To try it in the browser or an editor: {command('serve', last)}"
    chat = next((name for name in (advised, last) if _chats(recipe, name)), None)
    talk = f"To talk to {chat}: {command('chat', chat)}\n" if chat else ""
    return (
        f"{talk}To try {advised}, the best stage by the report, in the browser or an editor: "
        f"{command('serve', advised)}"
    )


def _chats(recipe: Recipe, name: str) -> bool:
    return name != BASE and recipe[name].kind == "instruct"
