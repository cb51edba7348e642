"""The settings that the infilling benchmarks share, and what the paper says about each."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from codecascade.evaluation.benchmark_settings import BenchmarkSettings, PositiveInt
from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.evaluation.statements import (
    TEN_SECONDS,
    Facts,
    Statement,
    benchmark_protocol,
    compared_elsewhere,
    our_choice,
    paper_value,
    token_limit,
)


class InfillingTaskSettings(BenchmarkSettings):
    """``[evaluate.infilling]``."""

    key = "infilling"
    asking: ClassVar[frozenset[str]] = frozenset(
        {"max_new_tokens", "span_max_new_tokens", "heal", "editor_stops", "layouts", "suffix", "to_end"}
    )

    problems: PositiveInt | None = Field(
        500, description="problems of each infilling benchmark, at most; none: all"
    )
    format: Literal["psm", "spm", "left_to_right"] = Field(
        "psm",
        description="the layout that exact_match and pass@1 are of, where the model's family knows it; "
        "left_to_right: ask for the next line only, the suffix unseen",
    )
    layouts: tuple[Literal["psm", "spm", "left_to_right"], ...] = Field(
        ("psm", "spm"),
        description="the other layouts that each problem is asked in, where the model's family knows them; with "
        "left_to_right also the next line, the suffix unseen",
    )
    first_line: bool = Field(
        True,
        description="of an answer to a masked line the first line counts, as it does left to right; false: all that "
        "was written until the model ended it",
    )
    to_end: bool = Field(
        True,
        description="answers to HumanEval's lines are generated to the end that the model gives them, so that it is "
        "known whether it does; false: to the end of their first line, which is less to generate",
    )
    suffix: Literal["own", "shuffled"] = Field(
        "own",
        description="shuffled: each problem is asked with the suffix of another one, which does worse if the suffix "
        "is used",
    )
    heal: bool = Field(
        True, description="the prefix may end inside a token (token healing; the paper's is without)"
    )
    editor_stops: bool = Field(
        False,
        description="middles end where an editor's completion does (the paper's only where the model ends them)",
    )
    max_new_tokens: PositiveInt = Field(128, description="tokens per line that is filled in, at most")
    span_max_new_tokens: PositiveInt = Field(
        512, description="tokens per middle of several lines, or of any span, at most"
    )

    @property
    def asked(self) -> tuple[str, ...]:
        """The layouts that are wanted of a model that knows them all; the layout of the main figures is first."""
        if self.format == LEFT_TO_RIGHT:
            return (LEFT_TO_RIGHT,)
        return tuple(dict.fromkeys((self.format, *self.layouts)))


def _healed(value: bool, facts: Facts) -> str:
    if not value:
        return ""
    which = "infilling prompts" if facts.get("version", 1) > 1 else "prompts in SPM"
    return f"{which} are healed, which the paper's are not"


_OTHERS = compared_elsewhere("is another infilling benchmark's")
_SHARED = {
    "problems": compared_elsewhere("the number of problems is compared"),
    "format": compared_elsewhere("a column is of one layout, by its full name"),
    "layouts": compared_elsewhere("a column is of one layout, by its full name"),
    "first_line": compared_elsewhere("is of the benchmark of lines"),
    "to_end": compared_elsewhere("changes what is generated behind the first line, not what is judged"),
    "suffix": paper_value("own", lambda value: "each problem was asked with the suffix of another one"),
    "heal": Statement(departs=_healed),
    "editor_stops": paper_value(
        False, lambda value: "middles are cut where an editor's completion ends; the paper's are not"
    ),
    "max_new_tokens": _OTHERS,
    "span_max_new_tokens": _OTHERS,
}
STATED_OF_LINES = benchmark_protocol(
    InfillingTaskSettings,
    {
        **_SHARED,
        "max_new_tokens": token_limit("a middle"),
        "first_line": our_choice(
            lambda first: (
                "of an answer its first line counts"
                if first
                else "an answer that the model did not end is cut after its first line"
            )
        ),
    },
    silent=(TEN_SECONDS,),
)
STATED_OF_SPANS = benchmark_protocol(
    InfillingTaskSettings, {**_SHARED, "span_max_new_tokens": token_limit("a middle")}, silent=(TEN_SECONDS,)
)
STATED_OF_LANGUAGES = benchmark_protocol(
    InfillingTaskSettings, {**_SHARED, "max_new_tokens": token_limit("a middle")}
)
