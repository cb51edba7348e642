"""A recipe's typed settings.

A recipe has no expressions, and includes no other files. What its file leaves out is filled in when it is read
(:mod:`codecascade.recipe.defaults`), so every value of a :class:`Recipe` is explicit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from codecascade.corpus.settings import CorpusSettings
from codecascade.evaluation.benchmarks.table import check_benchmark_names
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.ground.choices import SandboxMode, WeightType
from codecascade.ground.errors import UserError
from codecascade.ground.nearest import nearest
from codecascade.ground.settings import Settings
from codecascade.instruct.dialogues.settings import DialogueSource
from codecascade.recipe.bases import BaseSettings, TokenizerSettings
from codecascade.recipe.compare import CompareSettings, check_compare
from codecascade.recipe.self_instruct import KEY, KIND, StageSelfInstruct
from codecascade.recipe.stage_checks import check_same_data, check_stage
from codecascade.training.parallel.settings import ParallelSettings
from codecascade.training.settings import TrainingSettings
from codecascade.training.stream.settings import ChatSettings, InfillingSettings, MixtureItem
from codecascade.training.trackers.settings import LogSettings

BASE = "base"
"""The name, among a cascade's models, of the one that it starts from."""

StageKind = Literal["code", "python", "long_context", "instruct"]
FolderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)]
"""The name of a folder. File systems allow 255 bytes, and some names get an ending."""
RecipeData = dict[str, Any]

LENGTH_KEYS = ("tokens", "steps", "minutes")
"""A stage has one of them."""
CHANGEABLE_KEYS = frozenset(
    {
        "activation_checkpointing",
        "async_checkpoints",
        "checkpoint_every",
        "compare",
        "compile",
        "evaluate",
        "log",
        "loss_chunk_tokens",
        "micro_batch_rows",
        "parallel",
        "run",
        "sandbox",
        "skip_spikes",
        "step_timeout",
        "stream_workers",
    }
)
"""Keys that may change when a run is resumed: how the work is done and what is measured, but not what is trained.

``skip_spikes`` is one of them, because it is turned on after a spike, and concerns only the steps to come.
"""


class RunSettings(Settings):
    """The files of a run that are not in its folder."""

    copy_to: str | None = Field(
        None,
        description="an address that fsspec knows, such as s3://bucket/run: gets each stage's model as soon as it is "
        "trained, and the results at the end",
    )
    token_cache: str | None = Field(
        None,
        description="a folder that keeps corpora as tokens: later epochs, stages and runs read documents there that "
        "they do not split for infilling",
    )


class Stage(TrainingSettings):
    """One training run of a cascade, which makes a model folder from its parent's."""

    name: FolderName = Field(description="of the stage, its model folder and its log")
    kind: StageKind = Field(description="chooses the defaults")
    parent: FolderName = Field(
        description="an earlier stage, 'base', or a name of [bases]: the model that it starts from"
    )
    steps: int | None = Field(
        None, ge=0, description="optimiser steps; 0: the model as it is before any training"
    )
    mixture: tuple[MixtureItem, ...] = Field(
        min_length=1, description="what it is trained on, in which shares"
    )
    infilling: InfillingSettings = Field(description="of the mixture's documents; rate 0 is off")
    evaluate: EvaluateSettings = Field(
        description="what is measured after it; default: the recipe's [evaluate]"
    )
    keep_infilling_tokens: bool = Field(
        True,
        description="false, in a stage without infilling: drop the parent's infilling tokens and their rows",
    )
    rope_theta: float | None = Field(None, gt=0, description="long_context: the base of the rotary positions")
    max_position_embeddings: int | None = Field(
        None, gt=0, description="long_context; default: sequence_length, or the parent's where that is larger"
    )
    rope_scaling_factor: float | None = Field(
        None,
        ge=1,
        description="long_context: positions are divided by it (linear scaling); default: the parent's",
    )
    same_data_as: str | None = Field(
        None, description="an earlier stage: with its mixture and seed, the same documents in the same order"
    )
    dialogues: tuple[DialogueSource, ...] | None = Field(
        None, description="instruct: files, hub:OWNER/NAME, 'mined' or 'self-instruct'; one or a list"
    )
    mined_dialogues: int | None = Field(
        None, gt=0, description="instruct: how many are mined from the corpus, at most; default 2,000"
    )
    self_instruct: StageSelfInstruct | None = Field(
        None, description="instruct with the dialogues 'self-instruct': how they are made, and by which model"
    )
    chat: ChatSettings = Field(ChatSettings(), description="how dialogues are trained on")
    chat_format: Literal["llama2", "chatml", "step"] | None = Field(
        None, description="instruct; default: the parent folder's own template, else llama2"
    )
    rehearsal_code: float | None = Field(
        None, ge=0, lt=0.5, description="instruct without [[stage.mixture]]: share of code; default 0.06"
    )
    rehearsal_natural_language: float | None = Field(
        None, ge=0, lt=0.5, description="instruct without [[stage.mixture]]: share of prose; default 0.02"
    )
    minutes_fp32: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="the budget in place of minutes where products run in fp32 (no bf16 instructions)",
    )
    most_passes: float | None = Field(
        None,
        gt=0,
        le=1e9,
        description="with minutes: at most so many passes over the source that is read most often; one step at least",
    )
    timed_minutes: float | None = Field(
        None, gt=0, le=1e9, description="written by a run: the budget in minutes that `steps` was timed for"
    )

    def budget_minutes(self, *, fp32: bool) -> float | None:
        """Its minutes, also where a run has turned them into steps; None if it has none.

        Args:
            fp32: whether the machine multiplies in fp32, for which a stage may have minutes of its own.
        """
        minutes = self.minutes or self.timed_minutes
        return self.minutes_fp32 or minutes if fp32 else minutes

    @property
    def dialogue_sources(self) -> tuple[DialogueSource, ...]:
        """The sources of its dialogues: those of the mixture's item, or else the stage's own."""
        for item in self.mixture:
            if item.source == "dialogues":
                return self.dialogues or () if item.corpus is None else (DialogueSource(source=item.corpus),)
        return ()

    def makes(self, kind: str) -> bool:
        """Whether it is trained on dialogues of this kind, a word of ``MADE``."""
        return any(source.kind == kind for source in self.dialogue_sources)

    @property
    def uses_infilling(self) -> bool:
        """Whether documents are infilled, so that the tokenizer must have infilling tokens."""
        return self.infilling.rate > 0 and any(item.source != "dialogues" for item in self.mixture)


class Recipe(Settings):
    """A cascade: a base model, a corpus, and a tree of stages in the order of their training."""

    name: FolderName = Field(description="of the run; its folder is runs/<name>")
    base: str = Field(min_length=1, description="a model folder, GGUF file, hub name or preset")
    corpus: tuple[str, ...] = Field(
        min_length=1,
        description="a folder of shards; or what to build one from: folders, files, stdlib, installed",
    )
    seed: int = Field(0, ge=0, description="of every random draw")
    dtype: WeightType = Field("f32", description="of the weights in the stages' model folders")
    sandbox: SandboxMode = Field("strict", description="weak: run programs even where unconfined")
    corpus_build: CorpusSettings = Field(CorpusSettings(), description="how sources become a corpus")
    parallel: ParallelSettings | None = Field(
        None, description="how the ranks of torchrun share the work, in every stage"
    )
    tokenizer: TokenizerSettings | None = Field(
        None, description="for a preset as base, which starts from scratch"
    )
    self_instruct: StageSelfInstruct | None = Field(
        None, description="the default of every stage's [stage.self_instruct]"
    )
    log: LogSettings = Field(LogSettings(), description="which trackers draw the curves of the training")
    run: RunSettings = Field(RunSettings(), description="where the run's models are copied")
    evaluate: EvaluateSettings = Field(description="what is measured on the base")
    bases: dict[FolderName, BaseSettings] = Field(
        {}, description="other models that come in, by the names that stages have as parent"
    )
    stage: tuple[Stage, ...] = Field((), description="the stages, each after its parent")
    compare: tuple[CompareSettings, ...] = Field((), description="what the report sets side by side")

    @model_validator(mode="after")
    def _is_a_tree(self) -> Recipe:
        if not self.stage and not self.bases:
            raise UserError("must be a list that is not empty", key="stage")
        check_benchmark_names(self.evaluate.benchmarks, "evaluate.benchmarks")
        for name, base in self.bases.items():
            if name == BASE:
                raise UserError(
                    f"{BASE!r} is the name of the recipe's base; choose another", key=f"bases.{name}"
                )
            check_benchmark_names(base.evaluate.benchmarks, f"bases.{name}.evaluate.benchmarks")
        before = [BASE, *self.bases]
        for index, stage in enumerate(self.stage):
            key = f"stage[{index}]"
            check_benchmark_names(stage.evaluate.benchmarks, f"{key}.evaluate.benchmarks")
            if stage.name in before:
                taken = {BASE: "the model that comes in"}.get(stage.name, "another stage")
                taken = "one of [bases]" if stage.name in self.bases else taken
                raise UserError(f"{stage.name!r} is the name of {taken}; choose another", key=f"{key}.name")
            if stage.parent not in before:
                raise UserError(
                    f"no stage before this one is called {stage.parent!r}; {nearest(stage.parent, before)}",
                    key=f"{key}.parent",
                )
            check_stage(stage, key)
            check_same_data(stage, key, self.stage[:index])
            if stage.makes(KIND):
                self._check_teachers(stage, key, before)
            before.append(stage.name)
        if self.self_instruct is not None and not any(stage.makes(KIND) for stage in self.stage):
            raise UserError("is not used: no stage has the dialogues 'self-instruct'", key=KEY)
        check_compare(self.compare, self.measured)
        return self

    def _check_teachers(self, stage: Stage, key: str, before: list[str]) -> None:
        """Raise UserError for a teacher that is no model of the cascade yet, or that has learnt nothing."""
        assert stage.self_instruct is not None
        for name, teacher in stage.self_instruct.named_stages.items():
            if teacher not in before:
                raise UserError(
                    f"no stage before this one is called {teacher!r}; {nearest(teacher, before)}",
                    key=f"{key}.{KEY}.{name}.stage",
                )
        asked = (stage.self_instruct.teacher_of(stage.parent), stage.self_instruct.asker_of(stage.parent))
        scratch = [name for name, base in self.roots.items() if base.random_weights]
        if any(teacher.stage in scratch for teacher in asked):
            raise UserError(
                "the base is made from scratch, so it has learnt nothing that it could teach; name another teacher: "
                'teacher = "MODEL" in [stage.self_instruct]',
                key=f"{key}.dialogues",
            )

    def __getitem__(self, name: str) -> Stage:
        return next(stage for stage in self.stage if stage.name == name)

    @property
    def roots(self) -> dict[str, BaseSettings]:
        """All models that come in, ``base`` first, by the names that stages have as parent."""
        base = BaseSettings(
            model=self.base,
            random_weights=self.tokenizer is not None,
            tokenizer=self.tokenizer,
            seed=self.seed,
            evaluate=self.evaluate,
        )
        return {BASE: base, **self.bases}

    @property
    def measured(self) -> Mapping[str, EvaluateSettings]:
        """How each model is measured, by its name, in the order in which they are."""
        models: tuple[tuple[str, BaseSettings | Stage], ...] = (
            *self.roots.items(),
            *((stage.name, stage) for stage in self.stage),
        )
        return {name: model.evaluate for name, model in models}

    def line(self, stage: Stage) -> list[Stage]:
        """The stages from a base to ``stage``, itself included."""
        above = [] if stage.parent in self.roots else self.line(self[stage.parent])
        return [*above, stage]

    def root(self, stage: Stage) -> str:
        """The name of the model that came in of which ``stage`` was made."""
        return self.line(stage)[0].parent

    def identity(self, stage: Stage) -> RecipeData:
        """Everything that decides what ``stage`` becomes: nested and JSON-able, to be compared."""
        data = to_data(self)
        bases = data.pop("bases", {})
        run = {key: value for key, value in data.items() if key not in {*CHANGEABLE_KEYS, "name", "stage"}}
        if (root := self.root(stage)) != BASE:
            run["base"] = {key: value for key, value in bases[root].items() if key not in CHANGEABLE_KEYS}
        line = {
            each.name: {key: value for key, value in to_data(each).items() if key not in CHANGEABLE_KEYS}
            for each in self.line(stage)
        }
        return {**run, "stage": line}


def replaced_by(length: str) -> set[str]:
    """The keys of a stage that lose their meaning where it gets another length, by a key of ``LENGTH_KEYS``."""
    return {*LENGTH_KEYS, "minutes_fp32", "timed_minutes", *(() if length == "minutes" else ("most_passes",))}


def to_data(model: BaseModel) -> RecipeData:
    """The settings as plain data for TOML, without those that are None."""
    data = model.model_dump(mode="json", exclude_none=True)
    if isinstance(model, Recipe):
        data["stage"] = [to_data(stage) for stage in model.stage]
        data["bases"] = {name: to_data(base) for name, base in model.bases.items()}
        # an empty table would change what older runs have written
        data = {
            key: value for key, value in data.items() if value or key not in ("bases", "compare", "stage")
        }
    if isinstance(model, Stage):
        first = [key for key in ("name", "kind", "parent", *LENGTH_KEYS) if key in data]
        data = {key: data[key] for key in [*first, *(key for key in data if key not in first)]}
    if isinstance(model, Recipe | Stage | BaseSettings):
        # in [evaluate] None means "all", and must be written
        data["evaluate"] = _all_for_none(model.evaluate.model_dump(mode="json"))
    return data


def _all_for_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _all_for_none(item) for key, item in value.items()}
    return "all" if value is None else value
