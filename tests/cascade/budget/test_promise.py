"""How long a run is said to take: by a timed step, and by FLOPs where to time one would take long."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from rich.console import Console

from codecascade.cascade.budget import promise
from codecascade.cascade.budget.measuring import TIMED_TOKENS, MeasuringSpeed
from codecascade.cascade.budget.promise import say_how_long
from codecascade.cascade.display import RunDisplay
from codecascade.ground.format import show_seconds
from codecascade.plan.plan import make_plan
from codecascade.plan.traffic import UTILISATION
from codecascade.recipe import make_recipe
from codecascade.training.parallel.ranks import World


class FakeTimer:
    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.asked: list[str] = []

    def step_seconds(self, stage: Any) -> float:
        self.asked.append(stage.name)
        return self.seconds


class FakeMeasuring:
    """An engine that loads in a second, reads 1,000 tokens a second and writes 100."""

    def __init__(self, worth_while: bool) -> None:
        self.worth = worth_while

    def is_short(self, parameters: int, flops: float) -> bool:
        return self.worth

    def speed(self) -> MeasuringSpeed:
        assert self.worth
        return MeasuringSpeed(1.0, 0.001, 0.01)


def said(
    data: dict[str, Any],
    timer: FakeTimer,
    monkeypatch: pytest.MonkeyPatch,
    measuring: Any = None,
    unmeasured: tuple[str, ...] = ("base", "code"),
    done: dict[str, int] | None = None,
    untrained: bool = True,
    flops: float = 1e12,
    most: int | None = None,
) -> str:
    monkeypatch.setattr(promise, "this_device_flops", lambda: flops)
    recipe = make_recipe(data)
    console = Console(file=io.StringIO(), width=300)
    ahead = {name: recipe.measured[name] for name in unmeasured}
    stages = recipe.stage if untrained else ()
    plan, limits = make_plan(recipe), {stage.name: most for stage in stages}
    say_how_long(stages, done or {}, ahead, plan, limits, timer, measuring, RunDisplay(console))  # type: ignore[arg-type]
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_short_steps_are_timed(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Small models use a device badly: by their FLOPs alone nothing would be ahead."""
    data["stage"] = [data["stage"][0] | {"steps": 1000}]
    timer = FakeTimer(0.5)
    text = said(data, timer, monkeypatch)
    assert timer.asked == ["code"]
    assert "ahead: about 8 min 20 s of training (code) and" in text
    assert "about a minute or less of training" in said(data, FakeTimer(0.001), monkeypatch)


def test_what_is_done_of_a_stage_is_not_ahead(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    data["stage"] = [data["stage"][0] | {"steps": 1000}]
    text = said(data, FakeTimer(0.5), monkeypatch, done={"code": 400})
    assert "ahead: about 5 min 0 s of training (code) and" in text or "ahead: about 5 min of training" in text


def test_where_only_measuring_is_left_its_time_is_said(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data |= {"evaluate": {"benchmarks": ["infilling_single_line"], "infilling": {"problems": 500}}}
    plan = make_plan(make_recipe(data))
    asked = next(each for each in plan.evaluations if each.name == "base")
    seconds = 1 + asked.read / 1000 + asked.written / 100
    text = said(data, FakeTimer(0.5), monkeypatch, FakeMeasuring(True), ("base",), untrained=False)
    assert text.startswith("base: timing")
    assert f"\nahead: about {show_seconds(seconds)} of measuring (base); stop at any time" in text
    assert said(data, FakeTimer(0.5), monkeypatch, FakeMeasuring(True), (), untrained=False) == ""


@pytest.mark.parametrize("steps", [{"minutes": 30}, {"steps": 7, "timed_minutes": 30}])
def test_a_budget_in_minutes_is_said_as_it_is(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, steps: dict[str, float]
) -> None:
    """Also before it is turned into steps, which is done when the stage begins."""
    first = {key: value for key, value in data["stage"][0].items() if key != "steps"}
    data["stage"] = [first | steps]
    assert "ahead: about 30 min of training (code) and" in said(data, FakeTimer(0.5), monkeypatch)


@pytest.mark.parametrize(("most", "ahead"), [(1200, "about 10 min"), (10**6, "about 30 min")])
def test_no_more_is_promised_than_the_passes_that_a_stage_may_make(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, most: int, ahead: str
) -> None:
    first = {key: value for key, value in data["stage"][0].items() if key != "steps"}
    data["stage"] = [first | {"minutes": 30, "most_passes": 2}]
    assert f"ahead: {ahead} of training" in said(data, FakeTimer(0.5), monkeypatch, most=most)


def test_nothing_is_said_to_take_no_time(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert " 0 s" not in said(data, FakeTimer(1e-9), monkeypatch)


@pytest.mark.parametrize(
    ("device", "flops", "timed"), [("cpu", 1e12, True), ("cpu", 1e9, False), ("cuda", 1e12, False)]
)
def test_long_steps_are_estimated(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, device: str, flops: float, timed: bool
) -> None:
    """To time one would cost minutes. On a CPU a part of one is enough, but for models that are large for it."""
    data |= {"base": "smollm2-135m"}
    del data["tokenizer"]
    steps, tokens = 7, 2**20
    data["stage"] = [{**data["stage"][0], "steps": steps, "sequence_length": 2048, "batch_tokens": tokens}]
    timer = FakeTimer(3600)
    monkeypatch.setattr(promise, "join_world", lambda: World(0, 1, torch.device(device), None))
    text = said(data, timer, monkeypatch, flops=flops)
    assert timer.asked == (["code"] if timed else [])
    step_flops = make_plan(make_recipe(data))["code"].step_flops
    assert step_flops is not None
    seconds = steps * (3600 if timed else step_flops / (flops * UTILISATION))
    assert f"ahead: about {show_seconds(seconds)} of training" in text


def test_measuring_is_timed_where_models_are_small(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As training is: by FLOPs alone the measuring of a small model would be nothing, too."""
    evaluate = {"benchmarks": ["infilling_single_line"], "infilling": {"problems": 500, "max_new_tokens": 40}}
    data |= {"evaluate": evaluate}
    data["stage"] = [data["stage"][0] | {"steps": 1000, "evaluate": evaluate}]
    plan = make_plan(make_recipe(data))
    size = plan.base_parameters["base"]
    assert size
    # the stage's model has a few more rows than the base
    sizes = [1.0, (plan["code"].parameters or 0) / size]
    seconds = sum(
        each * (1 + model.read / 1000 + model.written / 100)
        for each, model in zip(sizes, plan.evaluations, strict=True)
    )
    assert seconds > 600
    text = said(data, FakeTimer(0.5), monkeypatch, FakeMeasuring(True))
    assert f"and {show_seconds(seconds)} of measuring" in text
    of_code = said(data, FakeTimer(0.5), monkeypatch, FakeMeasuring(True), ("code",))
    last = sizes[1] * (1 + plan.evaluations[1].read / 1000 + plan.evaluations[1].written / 100)
    assert f"and {show_seconds(last)} of measuring" in of_code, "the base is measured already"
    by_flops = said(data, FakeTimer(0.5), monkeypatch)
    assert by_flops != text
    assert said(data, FakeTimer(0.5), monkeypatch, FakeMeasuring(False)) == by_flops


def test_nothing_is_timed_where_nothing_is_measured(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data |= {"evaluate": {"benchmarks": []}}
    data["stage"] = [data["stage"][0] | {"steps": 1000, "evaluate": {"benchmarks": []}}]

    class Never(FakeMeasuring):
        def speed(self) -> MeasuringSpeed:
            raise AssertionError

    assert "a minute or less of measuring" in said(data, FakeTimer(0.5), monkeypatch, Never(True))


def test_a_timing_is_less_work_than_what_is_measured(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Noted(FakeMeasuring):
        asked = 0

        def speed(self) -> MeasuringSpeed:
            self.asked += 1
            return super().speed()

    for documents, timed in ((1, False), (2_000, True)):
        evaluate = {"benchmarks": ["validation"], "validation": {"documents": documents, "characters": 300}}
        data |= {"evaluate": evaluate}
        data["stage"] = [data["stage"][0] | {"steps": 1000, "evaluate": evaluate}]
        cost = make_plan(make_recipe(data)).evaluations
        assert (sum(model.read + model.written for model in cost) > TIMED_TOKENS) == timed
        measuring = Noted(True)
        said(data, FakeTimer(0.5), monkeypatch, measuring)
        assert measuring.asked == timed
