"""``[[compare]]``: models of a cascade that its report sets side by side, to answer one question.

A block names groups of models. The first group is what the others are compared with, member by member: the first of
one with the first of the other. Members of a group are the same but for the seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from codecascade.evaluation.benchmarks.table import BENCHMARKS, check_benchmark_names
from codecascade.evaluation.evaluate_settings import EvaluateSettings, setting_names
from codecascade.ground.errors import UserError
from codecascade.ground.nearest import nearest
from codecascade.ground.settings import Settings

Direction = Literal["better", "worse", "alike"]
Plot = Literal["loss", "perplexity", "keys", "attention"]


class ComparedFigure(Settings):
    """One figure that is compared."""

    benchmark: str = Field(min_length=1, description="the benchmark")
    metric: str | None = Field(None, min_length=1, description="default: the benchmark's main figure")
    against: str | None = Field(
        None, min_length=1, description="the first group's metric, where it is another one of the benchmark"
    )
    expects: Direction | None = Field(
        None, description="what the paper found of the later groups against the first"
    )
    within: float = Field(
        0.01,
        gt=0,
        lt=1,
        description="of `alike`: the share of the first group's figure within which the others are alike",
    )

    @property
    def metric_name(self) -> str:
        return self.metric or BENCHMARKS[self.benchmark].metric


class CompareSettings(Settings):
    """One question, and the models and figures that answer it."""

    name: str = Field(min_length=1, max_length=100, description="what the report calls it")
    question: str = Field(min_length=1, description="what it answers, as a sentence")
    groups: dict[str, tuple[str, ...]] = Field(
        description="names of models by what they have in common; the first group is the reference"
    )
    figures: tuple[ComparedFigure, ...] = Field(min_length=1, description="what is compared")
    settings_differ: tuple[str, ...] = Field(
        (), description="settings of [evaluate] that the question is about, such as infilling.heal"
    )
    paper: str | None = Field(None, min_length=1, description="what the paper says")
    source: str | None = Field(
        None, min_length=1, description="where it says so: a table, a figure, a section"
    )
    plots: tuple[Plot, ...] = Field(
        (),
        description="pictures: loss curves, perplexity by position, keys found, expected attention by distance",
    )

    @property
    def members(self) -> tuple[str, ...]:
        """The names of all models, each once."""
        return tuple(dict.fromkeys(name for group in self.groups.values() for name in group))


def as_compare(blocks: Any) -> Any:
    """The blocks with their short forms written out. What is wrong is left for validation.

    A group may be one name in place of a list, and a figure may be ``"validation.loss"`` in place of a table.
    """
    if not isinstance(blocks, list):
        return blocks
    return [_full(block) if isinstance(block, dict) else block for block in blocks]


def _full(block: Mapping[str, Any]) -> dict[str, Any]:
    full = dict(block)
    if isinstance(groups := full.get("groups"), dict):
        full["groups"] = {key: [value] if isinstance(value, str) else value for key, value in groups.items()}
    if isinstance(figures := full.get("figures"), list):
        full["figures"] = [_figure(each) if isinstance(each, str) else each for each in figures]
    return full


def _figure(text: str) -> dict[str, str]:
    """``validation.loss`` as a table: no benchmark's name has a dot."""
    benchmark, dot, metric = text.partition(".")
    return {"benchmark": benchmark, "metric": metric} if dot else {"benchmark": benchmark}


def check_compare(blocks: Sequence[CompareSettings], measured: Mapping[str, EvaluateSettings]) -> None:
    """Check that the models and the benchmarks are there.

    Args:
        measured: how each model of the recipe is measured, by its name.

    Raises:
        UserError: with the key of the first mistake.
    """
    names = [block.name for block in blocks]
    for index, block in enumerate(blocks):
        key = f"compare[{index}]"
        if block.name in names[:index]:
            raise UserError(f"{block.name!r} is the name of another comparison", key=f"{key}.name")
        _check_groups(block, key, measured)
        for number, figure in enumerate(block.figures):
            check_benchmark_names([figure.benchmark], f"{key}.figures[{number}]")
        for name in block.settings_differ:
            table, _, field = name.rpartition(".")
            known = [*_names_of_settings()]
            if field not in setting_names(table) or name not in known:
                raise UserError(
                    f"there is no setting {name!r}; {nearest(name, known)}", key=f"{key}.settings_differ"
                )


def _names_of_settings() -> Iterator[str]:
    """``seed``, ``infilling.heal`` ...: every setting of ``[evaluate]`` but for what is measured at all."""
    own = {benchmark.settings.key for benchmark in BENCHMARKS.values() if benchmark.settings is not None}
    yield from (
        name for name in setting_names() if name not in {"benchmarks", "engine", "server", "data", *own}
    )
    for table in sorted(own):
        yield from (f"{table}.{field}" for field in setting_names(table))


def _check_groups(block: CompareSettings, key: str, models: Iterable[str]) -> None:
    if len(block.groups) < 2:
        raise UserError("needs two groups of models or more", key=f"{key}.groups")
    sizes = {name: len(group) for name, group in block.groups.items()}
    if min(sizes.values()) < 1 or len({*sizes.values()}) > 1:
        listed = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise UserError(
            f"must have as many models each, one at least (got {listed}): they are compared one by one",
            key=f"{key}.groups",
        )
    known = list(models)
    for name, group in block.groups.items():
        for model in group:
            if model not in known:
                raise UserError(
                    f"no stage and no base is called {model!r}; {nearest(model, known)}",
                    key=f"{key}.groups.{name}",
                )


def unmeasured(blocks: Sequence[CompareSettings], measured: Mapping[str, EvaluateSettings]) -> Iterator[str]:
    """A sentence for each figure that can't be compared, because a model is not measured by its benchmark.

    That is no mistake where somebody measures less than the recipe says, by ``--set evaluate.benchmarks=...``.
    """
    for index, block in enumerate(blocks):
        for number, figure in enumerate(block.figures):
            # Where only the first stages are run, the later ones are no part of the recipe.
            known = [name for name in block.members if name in measured]
            without = [name for name in known if figure.benchmark not in measured[name].benchmarks]
            if without:
                verb = "is" if len(without) == 1 else "are"
                yield (
                    f"compare[{index}].figures[{number}]: can't be compared, for {', '.join(without)} {verb} not "
                    f"measured by {figure.benchmark!r}"
                )
