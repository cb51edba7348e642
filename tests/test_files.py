"""Files are whole or absent; locks go with their process."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codecascade import files
from codecascade.errors import Stopped, UserError


def test_error_names_file_key_and_fix() -> None:
    error = UserError("must be > 0 (got -5)", file="recipes/x.toml", key="stage[1].tokens")
    assert str(error) == "recipes/x.toml: stage[1].tokens: must be > 0 (got -5)"
    assert Stopped(signal.SIGTERM).exit_code == 143


def test_atomic_write_replaces_or_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "sub" / "file.txt"
    files.atomic_write(path, "first")
    assert path.read_text() == "first"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="disk is full"):
        files.atomic_write(path, "second")
    assert path.read_text() == "first"
    assert [entry.name for entry in path.parent.iterdir()] == ["file.txt"]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = ["results.json", ".hidden.json", ".notes.abcdefgh", ".lock"]
    for name in mine:
        (tmp_path / name).touch()

    with monkeypatch.context() as killed:
        killed.setattr(os, "unlink", lambda path: None)  # a killed process tidies nothing up
        killed.setattr(os, "replace", lambda name, path: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            files.write_json(tmp_path / "results.json", {})
    assert len(list(tmp_path.iterdir())) == 5
    files.remove_leftovers(tmp_path)
    files.remove_leftovers(tmp_path / "nowhere")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mine)


def test_atomic_folder_is_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with files.atomic_folder(path) as folder:
        (folder / "a").write_text("old")
    with pytest.raises(RuntimeError), files.atomic_folder(path) as folder:
        (folder / "a").write_text("new")
        raise RuntimeError
    assert (path / "a").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]
    with files.atomic_folder(path) as folder:
        (folder / "b").write_text("new")
    assert [entry.name for entry in path.iterdir()] == ["b"]


def test_killed_between_the_two_renames(tmp_path: Path) -> None:
    path = tmp_path / "model"
    (tmp_path / ".model.old").mkdir()
    (tmp_path / ".model.old" / "a").write_text("old")
    (tmp_path / ".model.new-x").mkdir()
    files.recover_folder(path)
    assert (path / "a").read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_lock_is_exclusive_and_dies_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from codecascade.files import FolderLock\n"
        "with FolderLock(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another codecascade process"), files.FolderLock(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with files.FolderLock(tmp_path):
        pass


def test_json_lines_name_the_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    files.write_jsonl(path, [{"a": 1}, {"a": "é"}])
    assert [row for _, row in files.read_jsonl(path)] == [{"a": 1}, {"a": "é"}]
    with files.JsonlAppender(path) as appender:
        appender.write({"a": 3})
    assert [number for number, _ in files.read_jsonl(path)] == [1, 2, 3]
    path.write_text('{"a": 1}\n\n[2]\n')
    with pytest.raises(UserError, match=r"rows.jsonl:3: must be a JSON object, not list"):
        list(files.read_jsonl(path))
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(UserError, match=r"rows.jsonl:2: is not valid JSON"):
        list(files.read_jsonl(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        list(files.read_jsonl(path))


def test_json_round_trip_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    files.write_json(path, {"x": [1, 2.5, None, "ü"]})
    assert files.read_json(path) == json.loads(path.read_text()) == {"x": [1, 2.5, None, "ü"]}
    path.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        files.read_json(path)
    with pytest.raises(UserError, match="no such file"):
        files.read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("name", ["file", "file/folder"])
def test_a_lock_where_no_folder_can_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"{name}: is no folder"), files.FolderLock(tmp_path / name):
        pass
