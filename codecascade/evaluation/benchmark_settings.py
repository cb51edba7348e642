"""The settings that all benchmarks share, and the base of a benchmark's own settings.

All together they are :class:`codecascade.evaluation.evaluate_settings.EvaluateSettings`, which asks the table of
benchmarks.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self, TypeVar

from pydantic import Field

from codecascade.ground.choices import ChatUse
from codecascade.ground.settings import Settings

PositiveInt = Annotated[int, Field(gt=0)]


class BenchmarkSettings(Settings):
    """The settings of one benchmark, or of a family: ``[evaluate.<key>]`` in a recipe, ``--set <key>.<name>=...``.

    A field called ``problems`` asks for a subset, which the seed chooses; None takes all.

    Attributes:
        key: the name of the table.
        asking: the fields that say how a model is asked. They do not concern samples that were made elsewhere.
        named_files: the fields that name files. A result depends on the content of the files too.
    """

    key: ClassVar[str]
    named_files: ClassVar[frozenset[str]] = frozenset()
    asking: ClassVar[frozenset[str]] = frozenset({"max_new_tokens"})


OwnSettings = TypeVar("OwnSettings", bound=BenchmarkSettings)


class CommonSettings(Settings):
    """Settings of an evaluation that concern every benchmark.

    The defaults serve to compare models with each other: five benchmarks, of infilling 500 problems each. Reports
    mark what differs from the paper's protocol.
    """

    benchmarks: tuple[str, ...] = Field(
        ("validation", "humaneval", "infilling_heldout", "infilling_single_line", "key_retrieval"),
        description="what to measure, in this order",
    )
    seed: int = Field(0, ge=0, description="chooses subsets, splits and draws")
    limit: PositiveInt | None = Field(None, description="problems of each benchmark, at most; none: all")
    samples_per_problem: PositiveInt = Field(
        1,
        description="one: greedy, and 200 in the benchmarks named ..._sampled; more: in all that have pass@k, at the "
        "paper's temperature and top_p",
    )
    temperature: Annotated[float, Field(ge=0)] | None = Field(
        None, description="of the samples; none: 0 for one sample a problem, else the paper's"
    )
    top_p: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None, description="of the samples; none: the paper's"
    )
    chat: ChatUse = Field(
        "never",
        description="ask in the model's chat format, where a benchmark has a form for it; auto: if the model has one",
    )
    heal: bool = Field(
        True,
        description="prompts that are continued may end inside a token (the paper's are taken as they are); "
        "infilling.heal is about infilling",
    )

    def own(self, kind: type[OwnSettings]) -> OwnSettings:
        """A benchmark's own settings; the defaults if none were given."""
        found = (self.model_extra or {}).get(kind.key)
        return found if isinstance(found, kind) else kind()

    def most_problems(self, own: int | None) -> int | None:
        """The most problems of a benchmark that makes as many as are wanted; None: all that there are.

        Args:
            own: the number of the benchmark's own settings.
        """
        return min((most for most in (own, self.limit) if most is not None), default=None)

    def with_own(self, own: BenchmarkSettings) -> Self:
        """These settings, with one benchmark's own settings replaced."""
        return self.model_copy(update={own.key: own})


COMMON = tuple(name for name in CommonSettings.model_fields if name != "benchmarks")
"""The shared settings that every result depends on."""
