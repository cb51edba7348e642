"""What is timed of a step, and what is told of the whole by it, on a clock that depends on the tokens alone."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console

from codecascade.cascade.budget import steps
from codecascade.cascade.budget.steps import LONG_STEP, StepTimer, resolve_minutes, step_seconds
from codecascade.cascade.display import RunDisplay
from codecascade.model.presets import PRESETS
from codecascade.recipe import make_recipe
from codecascade.recipe.settings import Recipe, Stage, to_data
from codecascade.training.parallel.ranks import World

CONFIG = PRESETS["smollm2-135m"]


class Clock:
    """A step takes a while, and a time for each token of a rank; what was timed is noted."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, fixed: float, each: float, device: str = "cpu", ranks: int = 1
    ) -> None:
        self.fixed, self.each, self.ranks = fixed, each, ranks
        self.timed: list[tuple[int, int]] = []
        monkeypatch.setattr(steps, "measure_step_seconds", self)
        monkeypatch.setattr(steps, "join_world", lambda: World(0, ranks, torch.device(device), None))

    def __call__(self, config: Any, stream: Any, settings: Any) -> float:
        assert config is CONFIG and settings.total_steps == 3
        assert settings.rows % self.ranks == 0 and settings.rows % (settings.micro_batch_rows or 1) == 0
        batch = stream.batch(range(settings.rows // self.ranks))
        assert batch.tokens.shape == (settings.rows // self.ranks, settings.sequence_length + 1)
        self.timed.append((settings.rows, settings.sequence_length))
        return self.seconds(settings.batch_tokens)

    def seconds(self, tokens: int) -> float:
        return self.fixed + self.each * tokens / self.ranks


def stage(data: dict[str, Any], length: int, tokens: int) -> Stage:
    shape = {"steps": 9, "sequence_length": length, "batch_tokens": tokens, "micro_batch_rows": 4}
    return make_recipe({**data, "stage": [{**data["stage"][0], **shape}]}).stage[0]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_short_step_is_timed_as_a_whole(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    clock = Clock(monkeypatch, 0.01, 0.0001, device)
    assert step_seconds(stage(data, 512, 8192), CONFIG, 512) == pytest.approx(clock.seconds(8192))
    assert clock.timed[-1] == (16, 512)


def test_a_long_step_is_timed_as_a_whole_on_gpus(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock(monkeypatch, 1.0, 0.01, "cuda")
    assert step_seconds(stage(data, 512, 8192), CONFIG, 512) == clock.seconds(8192)
    assert clock.timed == [(16, 512)]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize(("fixed", "each"), [(0.1, 0.005), (1.0, 0.003), (0.0, 0.02)])
def test_of_a_long_step_two_rows_are_timed_on_cpus(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, fixed: float, each: float, ranks: int
) -> None:
    clock = Clock(monkeypatch, fixed, each, ranks=ranks)
    found = step_seconds(stage(data, 512, 65_536), CONFIG, 512)
    assert [rows for rows, _ in clock.timed] == [ranks, ranks]
    assert all(clock.seconds(rows * length) <= LONG_STEP for rows, length in clock.timed)
    # Long rows need a little more for attention, which this clock does not know.
    assert clock.seconds(65_536) * 0.98 < found < clock.seconds(65_536) * 1.2


@pytest.mark.parametrize("each", [0.04, 0.5])
def test_one_row_is_enough_where_that_takes_long(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, each: float
) -> None:
    clock = Clock(monkeypatch, 0.0, each)
    assert step_seconds(stage(data, 512, 65_536), CONFIG, 512) == pytest.approx(clock.seconds(65_536))
    assert sum(length for _, length in clock.timed) <= 192


def test_a_timing_that_shows_no_time_for_a_token_is_not_believed(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    Clock(monkeypatch, 2.0, 0.0)
    assert step_seconds(stage(data, 512, 65_536), CONFIG, 512) > 65_536 / 256


class BusyMachine:
    """A step of any stage takes the seconds that come next; what is said of it is kept."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *seconds: float) -> None:
        self.seconds = list(seconds)
        self.said: list[str] = []
        monkeypatch.setattr(steps, "open_model", lambda name: None)
        model = SimpleNamespace(config=CONFIG, tokenizer=SimpleNamespace(vocab_size=512))
        monkeypatch.setattr(steps, "stage_model", lambda *_: model)
        monkeypatch.setattr(steps, "step_seconds", lambda *_: self.seconds.pop(0))

    def timer(self) -> StepTimer:
        return StepTimer(lambda stage: "tiny", self.said.append)


def minutes(data: dict[str, Any], **stages: dict[str, Any]) -> Recipe:
    """A recipe whose stages have budgets in minutes: ``{name: settings}``."""
    first = {key: value for key, value in data["stage"][0].items() if key != "steps"}
    return make_recipe({**data, "stage": [{**first, "name": name, **own} for name, own in stages.items()]})


@pytest.mark.parametrize(("before", "when_it_begins"), [(90.0, 6.0), (6.0, 90.0)])
def test_other_work_during_one_timing_does_not_decide(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, before: float, when_it_begins: float
) -> None:
    recipe = minutes(data, code={"minutes": 20})
    machine = BusyMachine(monkeypatch, before, when_it_begins)
    timer = machine.timer()
    assert timer.known(recipe["code"]) is None
    assert timer.step_seconds(recipe["code"]) == timer.known(recipe["code"]) == before
    console = Console(file=io.StringIO(), width=200)
    found = resolve_minutes(recipe, recipe["code"], timer, RunDisplay(console), {"code": None})
    assert (found["code"].steps, found["code"].timed_minutes, found["code"].minutes) == (200, 20, None)
    assert machine.said == ["code: timing a step", "code: timing a step again"]
    assert "code: 20 min at 6.00 s a step are 200 steps" in console.file.getvalue()  # type: ignore[attr-defined]


def test_stages_alike_get_the_same_steps(data: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Also arms that begin from other random weights, and those that come later."""
    recipe = minutes(
        data,
        one={"minutes": 10},
        same={"minutes": 10, "learning_rate": 1e-5},
        longer={"minutes": 20},
        wider={"minutes": 10, "batch_tokens": 4 * data["stage"][0]["batch_tokens"]},
    )
    timer = BusyMachine(monkeypatch, 3.0).timer()
    any_number = {stage.name: None for stage in recipe.stage}
    found = resolve_minutes(recipe, recipe["one"], timer, RunDisplay(None), any_number)
    assert {stage.name: stage.steps for stage in found.stage} == {
        "one": 200,
        "same": 200,
        "longer": None,
        "wider": None,
    }
    added = make_recipe(
        {**to_data(found), "stage": [*to_data(found)["stage"], to_data(recipe["same"]) | {"name": "new"}]}
    )
    timer = BusyMachine(monkeypatch).timer()
    assert resolve_minutes(added, added["new"], timer, RunDisplay(None), {"new": None})["new"].steps == 200


@pytest.mark.parametrize(("one", "other", "taken"), [(150, None, 150), (300, 400, 200), (300, 150, 150)])
def test_a_budget_in_minutes_ends_with_the_last_pass(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch, one: int, other: int | None, taken: int
) -> None:
    """Stages alike take the same steps, and none makes more passes than it may, whatever each one reads."""
    limited = {"minutes": 10, "most_passes": 3}
    recipe = minutes(data, one=limited, other=limited, free={"minutes": 10})
    timer = BusyMachine(monkeypatch, 3.0).timer()
    console = Console(file=io.StringIO(), width=200)
    most = {"one": one, "other": other, "free": None}
    found = resolve_minutes(recipe, recipe["one"], timer, RunDisplay(console), most)
    assert [stage.steps for stage in found.stage] == [taken, taken, None]
    text = console.file.getvalue()  # type: ignore[attr-defined]
    whose = " of other" if taken == other else ""
    assert (f"one: takes 150 of them, as most_passes = 3{whose} says" in text) == (taken == 150)
    added = make_recipe(
        {**to_data(found), "stage": [*to_data(found)["stage"], to_data(recipe["one"]) | {"name": "new"}]}
    )
    for own, wanted in ((None, taken), (7, 7)):
        later = resolve_minutes(added, added["new"], timer, RunDisplay(console), {"new": own})
        assert [later[name].steps for name in ("one", "new")] == [taken, wanted]
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"new: takes {taken} steps, as one does" in said
    assert "new: takes 7 of them, as most_passes = 3 says" in said


def test_models_of_one_shape_take_the_same_time(
    data: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "config_of", lambda name: PRESETS[name.partition("/")[0]])
    first = minutes(data, one={"minutes": 10}, two={"minutes": 10})
    names = {"one": "tiny/seed-0", "two": "tiny/seed-1"}
    timer = StepTimer(lambda stage: names[stage.name], print)
    assert timer.shape(first["one"]) == timer.shape(first["two"])
    names["two"] = "llama-5m/seed-1"
    assert timer.shape(first["one"]) != timer.shape(first["two"])
