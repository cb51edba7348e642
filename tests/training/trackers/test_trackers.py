"""Trackers get what the log has, and nothing that they do slows or ends a training."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tiny_run import losses, tiny_settings, tiny_train

from codecascade.ground.errors import UserError
from codecascade.recipe import read_recipe
from codecascade.training.trackers import tracker
from codecascade.training.trackers.identity import run_id
from codecascade.training.trackers.settings import LogSettings
from codecascade.training.trackers.table import TrackedRun, check_trackers, open_trackers
from codecascade.training.trackers.tensorboard import start_tensorboard
from codecascade.training.trackers.tracker import SafeTracker


class Kept:
    """A tracker that keeps what it gets, and fails where it is told to."""

    def __init__(self, fails: str = "") -> None:
        self.steps: list[int] = []
        self.values: Mapping[str, float] = {}
        self.closed = False
        self.fails = fails
        if fails == "start":
            raise SystemExit("not logged in")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        if self.fails == "write" and step == 2:
            raise ConnectionError("the network is gone\nand more")
        self.steps.append(step)
        self.values = values

    def close(self) -> None:
        self.closed = True
        if self.fails == "close":
            raise OSError("no space left")


def test_a_tracker_gets_every_step(tmp_path: Path) -> None:
    kept = Kept()
    tiny_train(
        tmp_path, tiny_settings(steps=4), trackers=lambda last_step: [SafeTracker("kept", lambda: kept)]
    )
    assert kept.steps == [1, 2, 3, 4] and kept.closed
    assert kept.values["training/loss"] == losses(tmp_path)[-1]
    assert {
        "training/lr",
        "training/grad_norm",
        "training/infilling_rate",
        "stream/documents",
    } <= kept.values.keys()


@pytest.mark.parametrize(
    ("where", "message"),
    [("start", "not logged in"), ("write", "the network is gone"), ("close", "no space left")],
)
def test_a_tracker_that_fails_is_a_warning(
    tmp_path: Path, where: str, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tiny_train(
            tmp_path,
            tiny_settings(steps=4),
            trackers=lambda last_step: [SafeTracker("kept", lambda: Kept(where))],
        )
    assert len(losses(tmp_path)) == 4
    found = [record.message for record in caplog.records if record.message.startswith("kept")]
    assert found == [f"kept fails ({message}); the training goes on without it"]


def test_a_tracker_that_hangs_is_left(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    over = threading.Event()

    class Hanging(Kept):
        def write(self, step: int, values: Mapping[str, float]) -> None:
            over.wait(60)

    monkeypatch.setattr(tracker, "_MOST_WAITING", 3)
    made = SafeTracker("slow", Hanging, close_seconds=0.05)
    with caplog.at_level(logging.WARNING):
        for step in range(9):
            made.write(step, {})
        made.close()
    over.set()
    said = [record.message for record in caplog.records]
    assert said[0].startswith("slow is slower than the training")
    assert "has not got everything" in said[1]
    assert "steps were left out" in said[2]


class Service(ModuleType):
    """Stands for the modules ``wandb`` and ``trackio``: one run an id, or a name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.runs: dict[str, list[tuple[int, dict[str, Any]]]] = {}
        self.calls: list[dict[str, Any]] = []
        self.metrics: list[str] = []
        self.finished = 0

    def init(self, **given: Any) -> Any:
        assert given["resume"] == "allow"
        self.calls.append(given)
        rows = self.runs.setdefault(given.get("id", given["name"]), [])
        service = self

        class Run:
            def define_metric(self, name: str, **more: Any) -> None:
                service.metrics.append(name)

            def log(self, values: dict[str, Any], step: int | None = None) -> None:
                rows.append((values["step"] if step is None else step, values))

            def finish(self) -> None:
                service.finished += 1

        return Run()


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_a_resumed_training_continues_the_same_run(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(name)
    monkeypatch.setitem(sys.modules, name, service)
    for first, last in ((0, 3), (2, 4)):
        run = TrackedRun("cascade", "code", tmp_path, {"learning_rate": 0.1}, first)
        (made,) = open_trackers(LogSettings(to=(name,)), run)
        for step in range(first + 1, last + 1):
            made.write(step, {"training/loss": 4.0 - step})
        made.close()
    (rows,) = service.runs.values()
    assert [step for step, _ in rows] == [1, 2, 3, 3, 4]
    assert all(values["training/loss"] == 4.0 - step for step, values in rows)
    assert service.finished == 2
    for call in service.calls:
        assert (call["project"], call["config"]) == ("cascade", {"learning_rate": 0.1})
        assert call["name"].startswith("code")
    if name == "wandb":
        assert service.metrics == ["step", "*"] * 2


def test_another_folder_is_another_run(tmp_path: Path) -> None:
    one, two = (run_id(tmp_path / folder, "code", "wandb") for folder in ("one", "two"))
    assert one != two and run_id(tmp_path / "one", "code", "wandb") == one
    assert run_id(tmp_path / "one", "python", "wandb") != one
    (tmp_path / "one" / "logs" / "trackers.json").write_text("{")
    assert run_id(tmp_path / "one", "code", "wandb") != one


def test_a_tracker_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"wandb is not installed; run: pip install 'codecascade\[wandb\]'"):
        check_trackers(LogSettings(to=("wandb",)))
    with pytest.raises(UserError, match="twice"):
        check_trackers(LogSettings(to=("tensorboard", "tensorboard")))
    check_trackers(LogSettings(to=()))


def test_trackers_do_not_change_what_a_stage_becomes() -> None:
    one, two = (
        read_recipe("smoke", overrides) for overrides in ([], ['log.to=["wandb"]', "log.project=mine"])
    )
    assert two.log == LogSettings(to=("wandb",), project="mine")
    assert one.identity(one["code"]) == two.identity(two["code"])
    with pytest.raises(UserError, match=r"log.to\[0\]: must be 'tensorboard', 'wandb' or 'trackio'"):
        read_recipe("smoke", ['log.to=["mlflow"]'])


def test_curves_that_go_on_within_a_second_are_read_last(tmp_path: Path) -> None:
    """Files of one second sort by a process number as text, where 10 comes before 9."""
    begun = int(time.time())
    earlier = tmp_path / f"events.out.tfevents.{begun:010d}.host.99999.9"
    earlier.touch()
    start_tensorboard(tmp_path, 3).close()
    (later,) = set(tmp_path.iterdir()) - {earlier}
    assert later.name > earlier.name


def test_a_clock_that_was_put_back_holds_no_run_up(tmp_path: Path) -> None:
    begun = time.time()
    (tmp_path / f"events.out.tfevents.{int(begun) + 3600:010d}.host.1.0").touch()
    (tmp_path / "events.out.tfevents.of something else").touch()
    start_tensorboard(tmp_path, 3).close()
    assert time.time() < begun + 60
