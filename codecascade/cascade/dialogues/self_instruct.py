"""Self-instruct as a step of a cascade: the stage's parent, or another teacher, makes the stage's dialogues.

They are in ``RUN/dialogues/<stage>/self-instruct/``, with a report and a datasheet. The step can be stopped at any
moment and goes on. A stage whose dialogues would be made by the same teacher with the same settings as those of an
earlier stage gets a copy. So does one that names a folder in which the command made them.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from codecascade.cascade.dialogues.made_before import check_made_before, summary_of_made
from codecascade.cascade.dialogues.teachers import ModelSlot, open_teacher
from codecascade.cascade.measure import measuring_precision
from codecascade.cascade.run_corpus import run_benchmark_texts
from codecascade.cascade.run_folder import RunFolder
from codecascade.corpus.corpus import Corpus
from codecascade.corpus.steps.decontamination import BenchmarkTexts
from codecascade.generation.backend import Backend
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_folder, disk_errors
from codecascade.ground.files.paths import expanded
from codecascade.instruct.self_instruct.pipeline import Backends, run_self_instruct
from codecascade.instruct.self_instruct.progress import ProgressFunction
from codecascade.instruct.self_instruct.questions.step import check_questions
from codecascade.instruct.self_instruct.settings import SelfInstructSettings
from codecascade.instruct.self_instruct.summary import Summary
from codecascade.model.sources import load, resolve
from codecascade.recipe.self_instruct import KIND, StageSelfInstruct, TeacherSettings
from codecascade.recipe.settings import Recipe, Stage
from codecascade.reports.self_instruct.report import write_self_instruct_report
from codecascade.sandbox.sandbox import Sandbox

_RESULTS = shutil.ignore_patterns("journal.jsonl", "code-*", ".*")
"""What a copy leaves out: the work of making it."""


class SelfInstructStep:
    """Makes dialogues for the stages of one run.

    Args:
        bases: what each model that comes in is loaded from, by its name.
    """

    def __init__(self, recipe: Recipe, run: RunFolder, corpus: Corpus, bases: Mapping[str, str]) -> None:
        self._recipe, self._run, self._corpus, self._bases = recipe, run, corpus, bases

    def folder(self, stage: Stage) -> Path:
        return self._run.made_dialogues(stage.name, KIND).parent

    def twin(self, stage: Stage) -> Stage | None:
        """An earlier stage whose dialogues are those that ``stage`` would get; None if there is none."""
        earlier = self._recipe.stage[: self._recipe.stage.index(self._recipe[stage.name])]
        for other in earlier:
            is_made = other.makes(KIND) and self._run.has_dialogues(other.name, KIND)
            if is_made and self._request(other) == self._request(stage):
                return other
        return None

    def copy(self, stage: Stage, twin: Stage) -> None:
        """Give ``stage`` the dialogues of ``twin``."""
        self._copy(self.folder(twin), stage)

    def _copy(self, made: Path, stage: Stage) -> None:
        with atomic_folder(self.folder(stage)) as folder, disk_errors(made):
            shutil.copytree(made, folder, dirs_exist_ok=True, ignore=_RESULTS)

    def make(self, stage: Stage, sandbox: Sandbox, progress: ProgressFunction) -> Summary:
        """Ask, run and choose, or go on where it was stopped; then write the report. Or take what the command made.

        Raises:
            UserError: the settings, a file that they name, a teacher or the folder with what was made can't be used.
            RunFailed: a teacher does not answer, or nothing that it wrote is of use.
        """
        made, out = self._made(stage), self.folder(stage)
        if made.made_in is not None:
            before = expanded(made.made_in)
            summary = summary_of_made(before)
            self._copy(before, stage)
            if not self._run.has_dialogues(stage.name, KIND):
                # The command was stopped between its results and its reports, or another program made them.
                write_self_instruct_report(out)
            return summary
        slot = ModelSlot()
        teacher, asker = made.teacher_of(stage.parent), made.asker_of(stage.parent)
        answers = self._opened(teacher, slot)
        questions = None if asker == teacher else self._opened(asker, slot)
        summary = run_self_instruct(
            self._settings(stage),
            Backends(answers, questions),
            sandbox,
            out,
            benchmarks=run_benchmark_texts(self._recipe),
            progress=progress,
        )
        write_self_instruct_report(out)
        summary.require_dialogues()
        return summary

    def teaching_stages(self, stage: Stage) -> list[str]:
        """The stages of this run that are asked for the stage's dialogues."""
        made = self._made(stage)
        if made.made_in is not None:
            return []
        asked = (made.teacher_of(stage.parent).stage, made.asker_of(stage.parent).stage)
        return [name for name in dict.fromkeys(asked) if name is not None and name not in self._bases]

    def teaching_models(self, stage: Stage) -> list[str]:
        """The models from outside of this run that are loaded and asked."""
        return list(named_models(self._made(stage)))

    def _made(self, stage: Stage) -> StageSelfInstruct:
        assert stage.self_instruct is not None
        return stage.self_instruct

    def _settings(self, stage: Stage) -> SelfInstructSettings:
        return with_corpus(self._made(stage).settings, str(self._corpus.path))

    def _request(self, stage: Stage) -> Any:
        made = self._made(stage)
        return (
            self._settings(stage).model_dump(mode="json"),
            made.teacher_of(stage.parent),
            made.asker_of(stage.parent),
            made.made_in,
        )

    def _opened(self, teacher: TeacherSettings, slot: ModelSlot) -> Backend:
        if teacher.stage is None:
            return open_teacher(teacher, teacher.model or "", slot)
        model = self._bases.get(teacher.stage) or str(self._run.model(teacher.stage))
        return open_teacher(teacher, model, slot, measuring_precision(self._recipe, teacher.stage))


def with_corpus(settings: SelfInstructSettings, corpus: str) -> SelfInstructSettings:
    """``settings`` with the run's corpus in place of a path that was left out."""
    sources = tuple(
        source.model_copy(update={"path": corpus})
        if source.source == "corpus" and source.path is None
        else source
        for source in settings.question.sources
    )
    return settings.model_copy(update={"question": settings.question.model_copy(update={"sources": sources})})


def check_self_instruct(recipe: Recipe, stages: list[Stage]) -> None:
    """Find, before a run begins, what would stop one of ``stages`` from making its dialogues.

    Args:
        stages: those whose dialogues are not made yet.

    Raises:
        UserError: a file of questions, topics or prompts is missing or broken, a language can't be tested, a teacher
            that is named is not there, or a folder with what was made has no dialogues or a benchmark's questions.
    """
    benchmarks: BenchmarkTexts | None = None
    for stage in stages:
        if not stage.makes(KIND):
            continue
        assert stage.self_instruct is not None
        made, key = stage.self_instruct, f"stage[{recipe.stage.index(recipe[stage.name])}].self_instruct"
        if made.made_in is not None:
            benchmarks = benchmarks or run_benchmark_texts(recipe)
            check_made_before(expanded(made.made_in), f"{key}.made_in", made.settings, benchmarks)
            continue
        try:
            # the corpus of the run is there when the step begins
            check_questions(with_corpus(made.settings, "."))
            for model in named_models(made):
                source = resolve(model)
                if source.path is None and source.kind != "hub":
                    # raises the error that says what is missing, and how to get it
                    load(model)
        except UserError as error:
            named = key if error.key is None else f"{key}.{error.key}"
            raise UserError(error.message, file=error.file, key=named) from None


def named_models(made: StageSelfInstruct) -> Iterator[str]:
    """The models that are loaded from outside the run to be asked."""
    if made.made_in is not None:
        return
    for teacher in (made.teacher, made.questions_from):
        if teacher is not None and teacher.model is not None and teacher.endpoint is None:
            yield teacher.model
