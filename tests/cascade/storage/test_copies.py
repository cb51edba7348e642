"""A run's models and results at another address: whole or not there, copied once, and no reason to stop training."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from codecascade.cascade.run_folder import LINEAGE, RunFolder
from codecascade.cascade.storage import copies
from codecascade.cascade.storage.copies import Copies, check_target
from codecascade.ground.errors import RunFailed, UserError

TARGET = "memory://bucket/mine"


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    monkeypatch.setattr(copies, "_FIRST_WAIT", 0.001)
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    filesystem.pseudo_dirs[:] = [""]
    yield filesystem
    filesystem.store.clear()


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run of two stages, as far as files go."""
    folder = RunFolder(tmp_path / "run")
    for name in ("code", "python"):
        model = folder.model(name)
        model.mkdir(parents=True)
        (model / "model.safetensors").write_bytes(name.encode() * 1000)
        (model / "config.json").write_text("{}")
        (model / LINEAGE).write_text('{"training": {}}')
    folder.evaluation("code").mkdir(parents=True)
    (folder.evaluation("code") / "results.json").write_text("{}")
    (folder.path / "recipe.toml").write_text("name = 'run'\n")
    return folder


def copy(run: RunFolder, target: str = TARGET) -> list[str]:
    said: list[str] = []
    made = Copies(target, run, said.append)
    for name in ("code", "python"):
        made.model(name)
    made.finish()
    return said


def test_models_and_results_are_copied_once(run: RunFolder, memory: MemoryFileSystem) -> None:
    said = copy(run)
    assert said[0] == f"models/code: copied to {TARGET} (4.02 kB)"
    names = {name.removeprefix("/bucket/mine/") for name in memory.find("/bucket/mine")}
    assert names == {
        *(
            f"models/{stage}/{file}"
            for stage in ("code", "python")
            for file in ("model.safetensors", "config.json")
        ),
        *(f"models/{stage}/{LINEAGE}" for stage in ("code", "python")),
        *("evaluations/code/results.json", "recipe.toml"),
    }
    assert memory.cat("/bucket/mine/models/python/model.safetensors") == b"python" * 1000
    assert copy(run) == []
    (run.model("python") / "config.json").write_text('{"changed": 1}')
    assert [line.split(":")[0] for line in copy(run)] == ["models/python"]
    assert json.loads(memory.cat("/bucket/mine/models/python/config.json")) == {"changed": 1}


def test_another_target_gets_everything(run: RunFolder, tmp_path: Path) -> None:
    copy(run)
    copy(run, f"file://{tmp_path}/elsewhere")
    assert (tmp_path / "elsewhere" / "models" / "code" / LINEAGE).read_text() == '{"training": {}}'


def test_what_says_that_a_model_is_whole_comes_last(
    run: RunFolder,
    memory: MemoryFileSystem,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    copy(run)
    (run.model("code") / "model.safetensors").write_bytes(b"trained anew")
    put = MemoryFileSystem.put_file

    def fails(self: Any, source: str, target: str, **more: Any) -> None:
        if target.endswith("model.safetensors"):
            raise ConnectionError("the connection was reset")
        put(self, source, target, **more)

    monkeypatch.setattr(MemoryFileSystem, "put_file", fails)
    with (
        caplog.at_level(logging.WARNING),
        pytest.raises(RunFailed, match=r"models/code: the connection was reset.*same command again") as error,
    ):
        copy(run)
    assert "models/python" not in str(error.value)
    assert len([line for line in caplog.messages if "models/code could not be copied" in line]) == 3
    assert not memory.exists(f"/bucket/mine/models/code/{LINEAGE}")
    monkeypatch.undo()
    assert [line.split(":")[0] for line in copy(run)] == ["models/code"]
    assert memory.exists(f"/bucket/mine/models/code/{LINEAGE}")


def test_a_file_that_arrives_cut_is_no_copy(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, memory: MemoryFileSystem
) -> None:
    def cut(self: Any, source: str, target: str, **more: Any) -> None:
        self.pipe_file(target, Path(source).read_bytes()[:-1])

    monkeypatch.setattr(MemoryFileSystem, "put_file", cut)
    with pytest.raises(RunFailed, match="has another size there"):
        copy(run)


def test_a_target_that_takes_no_files_is_found_first(tmp_path: Path, memory: MemoryFileSystem) -> None:
    check_target(TARGET, tmp_path)
    assert memory.find("/bucket") == []
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be reached"):
        check_target(f"file://{tmp_path}/file/below", tmp_path / "run")
    with pytest.raises(UserError, match="can't be reached"):
        check_target("nosuchprotocol://bucket", tmp_path)


@pytest.mark.parametrize("place", ["run", "run/copies", "link", "link/copies"])
def test_a_run_is_not_copied_over_itself(tmp_path: Path, place: str) -> None:
    """Each model's description is removed at the target before its files are copied: the run had none any more."""
    run = tmp_path / "run"
    run.mkdir()
    (tmp_path / "link").symlink_to(run)
    for target in (f"{tmp_path}/{place}", f"file://{tmp_path}/{place}/"):
        with pytest.raises(UserError, match=r"run\.copy_to: .* in the run's own folder"):
            check_target(target, run)
    check_target(f"{tmp_path}/run-copy", run)
    assert [entry.name for entry in run.iterdir()] == []
