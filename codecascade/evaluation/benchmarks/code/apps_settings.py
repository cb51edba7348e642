"""The settings of APPS, and what the paper says about each."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from codecascade.evaluation.benchmark_settings import BenchmarkSettings, PositiveInt
from codecascade.evaluation.statements import (
    Facts,
    Statement,
    benchmark_protocol,
    chat_condition,
    paper_value,
    token_limit,
)


class AppsSettings(BenchmarkSettings):
    """``[evaluate.apps]``."""

    key = "apps"

    shots: tuple[int, ...] | None = Field(
        None,
        description="problems of the train split that are shown; none: a short one of each kind; []: zero-shot",
    )
    comparison: Literal["apps", "tokens"] = Field(
        "apps",
        description="how answers are compared: as APPS' own runner, which passes some wrong ones, or token by token",
    )
    fence: Literal["backticks", "quotes"] = Field(
        "backticks", description="what an answer is wrapped in: ``` or, as the paper is typeset, '''"
    )
    max_new_tokens: PositiveInt = Field(512, description="tokens per answer, at most")


def _shown_problems(value: Any, facts: Facts) -> str:
    shown = 2 if value is None else len(value)
    if facts.get("asked_in_chat") or shown == 2:
        return ""
    return f"{shown or 'no'} solved problem{'' if shown == 1 else 's'} shown before each; the paper shows two"


def _which_problems(value: Any, facts: Facts) -> str:
    return (
        "" if facts.get("asked_in_chat") or _shown_problems(value, facts) else "which two problems are shown"
    )


STATED = benchmark_protocol(
    AppsSettings,
    {
        "shots": Statement(departs=_shown_problems, silent=_which_problems),
        "comparison": paper_value(
            "apps",
            lambda value: "outputs are compared token by token, which is stricter than APPS' own comparison",
        ),
        "fence": paper_value(
            "quotes",
            lambda value: "answers are wrapped in three backticks; the paper's in three single quotes",
        ),
        "max_new_tokens": token_limit("an answer"),
    },
    chat_condition(
        False, "asked in the chat format and without shots, as the paper asks its Instruct models alone"
    ),
    always=(
        "a test case has 4 s of CPU time; APPS' own runner takes them by the clock, and passes programs that "
        "return outside of a function or exit with an error",
    ),
)
