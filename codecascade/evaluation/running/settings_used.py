"""Of all settings of an evaluation those that concern one benchmark: what its result depends on, and shows."""

from __future__ import annotations

from typing import Any

from codecascade.evaluation.running.work import sampling_for
from codecascade.evaluation.settings import COMMON, CommonSettings
from codecascade.evaluation.task import Benchmark


def used_settings(benchmark: Benchmark, settings: CommonSettings) -> dict[str, Any]:
    """The settings that concern a benchmark, by the names that ``--set`` takes (``seed``, ``humaneval.problems``),
    with the sampling that follows from them."""
    common = ("seed",) if benchmark.score is not None else COMMON
    values = {key: value for key, value in settings.model_dump(mode="json").items() if key in common}
    if benchmark.score is None:
        samples, temperature, top_p = sampling_for(benchmark, settings)
        values |= {"samples_per_problem": samples, "temperature": temperature, "top_p": top_p}
    if (kind := benchmark.settings) is not None:
        own = settings.own(kind).model_dump(mode="json")
        values |= {f"{kind.key}.{name}": value for name, value in own.items()}
    return values


def shown_settings(benchmark: Benchmark, settings: CommonSettings, *, given: bool) -> dict[str, Any]:
    """:func:`settings_of`, without the sampling where samples are given: how they were made isn't known."""
    values = used_settings(benchmark, settings)
    if not given:
        return values
    asking = {"samples_per_problem", "temperature", "top_p", "chat", "heal"}
    if (kind := benchmark.settings) is not None:
        asking |= {f"{kind.key}.{name}" for name in kind.asking}
    return {key: value for key, value in values.items() if key not in asking}
