"""Of all settings of an evaluation, those that concern one benchmark: its result depends on them and shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codecascade.evaluation.benchmark_settings import COMMON, CommonSettings
from codecascade.evaluation.running.work import sampling_for
from codecascade.evaluation.task import Benchmark
from codecascade.ground.format import without_login


def used_settings(benchmark: Benchmark, settings: CommonSettings) -> dict[str, Any]:
    """The settings that concern a benchmark, by the names that ``--set`` takes (``seed``, ``humaneval.problems``).

    The sampling is the one that follows from the settings and the benchmark (:func:`..work.sampling_for`).
    """
    scored = ("seed", "limit") if benchmark.limited else ("seed",)
    common = scored if benchmark.score is not None else COMMON
    values = {name: value for name, value in settings.model_dump(mode="json").items() if name in common}
    if benchmark.score is None:
        samples, temperature, top_p = sampling_for(benchmark, settings)
        values |= {"samples_per_problem": samples, "temperature": temperature, "top_p": top_p}
    if (kind := benchmark.settings) is not None:
        own = settings.own(kind).model_dump(mode="json")
        # results are read by others than those who have the login of a judge's server
        if isinstance(address := own.get("judge_endpoint"), str):
            own["judge_endpoint"] = without_login(address)
        values |= {f"{kind.key}.{name}": value for name, value in own.items()}
    return values


def version_of(benchmark: Benchmark) -> dict[str, int]:
    """The version of a benchmark that has been changed, which a result depends on as well; else nothing."""
    return {"version": benchmark.version} if benchmark.version > 1 else {}


def shown_settings(benchmark: Benchmark, used: Mapping[str, Any], *, given: bool) -> dict[str, Any]:
    """Those of the ``used`` settings that a reader of the result is shown.

    Args:
        given: the samples come from a file. How they were made is not known, so the settings that say how a model is
            asked are left out.
    """
    if not given:
        return dict(used)
    asking = {"samples_per_problem", "temperature", "top_p", "chat", "heal"}
    if (kind := benchmark.settings) is not None:
        asking |= {f"{kind.key}.{name}" for name in kind.asking}
    return {name: value for name, value in used.items() if name not in asking}
