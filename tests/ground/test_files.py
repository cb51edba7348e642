"""Files are whole or absent; locks go with their process."""

from __future__ import annotations

import errno
import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from codecascade.ground.errors import Stopped, UserError
from codecascade.ground.files import atomic as files
from codecascade.ground.files import json_lines, locks, reading
from codecascade.ground.files.reading import read_text


def test_error_names_file_key_and_fix() -> None:
    error = UserError("must be > 0 (got -5)", file="recipes/x.toml", key="stage[1].tokens")
    assert str(error) == "recipes/x.toml: stage[1].tokens: must be > 0 (got -5)"
    assert Stopped(signal.SIGTERM).exit_code == 143


@pytest.mark.parametrize("sign", ["\x1b", "\x07", "\r", "\x9b", "\u202e", "\u2028", "\udcff"])
def test_what_an_error_repeats_of_a_file_moves_no_cursor(sign: str) -> None:
    for error in (UserError(f"a{sign}b"), UserError("b", file=f"a{sign}"), UserError("b", key=f"a{sign}")):
        escaped = sign.encode("unicode_escape").decode()
        assert sign not in str(error) and f"a{escaped}" in str(error)
    assert str(UserError("größer — 大\n\tals")) == "größer — 大\n\tals"
    assert len(str(UserError("x" * 10**6))) < 5000


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


@pytest.mark.parametrize("name", ["file/below", "file/below/it", "folder"])
def test_what_is_in_the_way_is_no_traceback(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(UserError, match=rf"{name}: can't be written \(.*\); move it away"):
        files.atomic_write(tmp_path / name, "text")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


@pytest.mark.parametrize("number", [errno.EFBIG, errno.EIO, errno.ESTALE])
def test_a_disk_that_fails_is_no_traceback(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(
        UserError, match=rf"file\.txt: can't be written \({os.strerror(number)}\); check the disk"
    ):
        files.atomic_write(tmp_path / "file.txt", "text")
    with (
        pytest.raises(UserError, match=os.strerror(number)),
        files.atomic_folder(tmp_path / "folder") as folder,
    ):
        (folder / "file").touch()
    assert not [*tmp_path.iterdir()]


def test_what_a_killed_writer_left_is_removed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = ["results.json", ".hidden.json", ".notes.abcdefgh", ".lock"]
    for name in mine:
        (tmp_path / name).touch()

    with monkeypatch.context() as killed:
        # A killed process tidies nothing up.
        killed.setattr(os, "unlink", lambda path: None)
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


def test_what_another_process_is_writing_is_no_leftover(tmp_path: Path) -> None:
    path = tmp_path / "model"
    with files.atomic_folder(path) as first:
        (first / "a").write_text("first")
        with files.atomic_folder(path) as second:
            (second / "a").write_text("second")
        assert (path / "a").read_text() == "second" and (first / "a").read_text() == "first"
        with pytest.raises(RuntimeError), files.atomic_folder(path):
            raise RuntimeError
        files.recover_folder(path)
    assert (path / "a").read_text() == "first"
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


WRITER = """
import sys, time
from pathlib import Path
from typing import Any
from codecascade.ground.files import atomic as files
path, name = Path(sys.argv[1]), sys.argv[2]
for _ in range(30):
    with files.atomic_folder(path) as folder:
        for each in ("a", "b", "c"):
            (folder / each).write_text(name)
"""


def test_processes_that_write_one_folder_do_not_break_each_other(tmp_path: Path) -> None:
    path = tmp_path / "model"
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path), name], stderr=subprocess.PIPE, text=True)
        for name in ("one", "two", "three")
    ]
    for writer in writers:
        _, errors = writer.communicate(timeout=300)
        assert writer.returncode == 0, errors
    assert {each.name for each in path.iterdir()} == {"a", "b", "c"}
    assert len({each.read_text() for each in path.iterdir()}) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


def test_lock_is_exclusive_and_dies_with_its_process(tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from codecascade.ground.files.locks import FolderLock\n"
        "with FolderLock(sys.argv[1]):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(600)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(UserError, match="another codecascade process"), locks.FolderLock(tmp_path):
        pass
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locks.FolderLock(tmp_path):
        pass


def test_json_lines_name_the_bad_line(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    json_lines.write_jsonl(path, [{"a": 1}, {"a": "é"}])
    assert [row for _, row in json_lines.read_jsonl(path)] == [{"a": 1}, {"a": "é"}]
    with json_lines.JsonlAppender(path) as appender:
        appender.write({"a": 3})
    assert [number for number, _ in json_lines.read_jsonl(path)] == [1, 2, 3]
    path.write_text('{"a": 1}\n\n[2]\n')
    with pytest.raises(UserError, match=r"rows.jsonl:3: must be a JSON object, not list"):
        list(json_lines.read_jsonl(path))
    path.write_text('{"a": 1}\n{"a": \n')
    with pytest.raises(UserError, match=r"rows.jsonl:2: is not valid JSON"):
        list(json_lines.read_jsonl(path))
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="not UTF-8"):
        list(json_lines.read_jsonl(path))


def test_json_round_trip_and_errors(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    files.write_json(path, {"x": [1, 2.5, None, "ü"]})
    assert reading.read_json(path) == json.loads(path.read_text()) == {"x": [1, 2.5, None, "ü"]}
    path.write_text("{")
    with pytest.raises(UserError, match="not valid JSON"):
        reading.read_json(path)
    with pytest.raises(UserError, match="no such file"):
        reading.read_json(tmp_path / "absent.json")


@pytest.mark.parametrize("name", ["file", "file/folder"])
def test_a_lock_where_no_folder_can_be(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=f"{name}: is no folder"), locks.FolderLock(tmp_path / name):
        pass


@pytest.mark.parametrize("end", ["", ".gz"])
def test_json_lines_may_begin_with_a_byte_order_mark(tmp_path: Path, end: str) -> None:
    path = tmp_path / f"x.jsonl{end}"
    # Two such files put together have a mark inside, too.
    content = '\ufeff{"a": "\ufeff"}\r\n\ufeff\n\ufeff{"a": 2}'.encode()
    path.write_bytes(gzip.compress(content) if end else content)
    assert list(json_lines.read_jsonl(path)) == [(1, {"a": "\ufeff"}), (3, {"a": 2})]
    (tmp_path / "x.json").write_bytes(b"\xef\xbb\xbf[1]")
    assert reading.read_json(tmp_path / "x.json") == [1]
    (tmp_path / "x.txt").write_bytes(b"\xef\xbb\xbfa\r\nb\r")
    assert read_text(tmp_path / "x.txt") == "a\r\nb\r"


@pytest.mark.parametrize("depth", [201, 500, 985, 100_000])
def test_deeply_nested_json_is_one_sentence(tmp_path: Path, depth: int) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text(f'{{"a": {"[" * 199}{"]" * 199}}}\n{{"a": {"[" * depth}{"]" * depth}}}\n')
    rows = json_lines.read_jsonl(path)
    assert next(rows)[0] == 1
    with pytest.raises(UserError, match=r"x\.jsonl:2: is nested too deeply"):
        next(rows)
    many = json.dumps({"a": [[]] * 5_000})
    path.write_text(many)
    assert len(next(json_lines.read_jsonl(path))[1]["a"]) == 5_000


def test_what_is_no_text_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl.gz").write_bytes(b"no gzip")
    (tmp_path / "utf16.jsonl").write_bytes('{"a": 1}\n'.encode("utf-16"))
    (tmp_path / "digits.jsonl").write_text('{"a": ' + "1" * 200_000 + "}\n")
    for name, message in {
        "x.jsonl.gz": "can't be read",
        "utf16.jsonl": "is not UTF-8 text",
        "digits.jsonl": "jsonl:1: is not valid JSON",
        "": "is a folder",
        "no.jsonl": "there is no such file",
    }.items():
        with pytest.raises(UserError, match=message):
            list(json_lines.read_jsonl(tmp_path / name))


def test_a_lock_leaves_no_folder_where_nothing_was_done(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    with pytest.raises(UserError, match="wrong"), locks.FolderLock(folder):
        raise UserError("wrong")
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError), locks.FolderLock(folder):
        (folder / "x").touch()
        raise UserError("wrong")
    assert (folder / "x").exists(), "what was written stays"
    (folder / "x").unlink()
    with pytest.raises(UserError), locks.FolderLock(folder):
        raise UserError("wrong")
    assert folder.exists(), "it was there before"
    with locks.FolderLock(tmp_path / "c"):
        pass
    assert (tmp_path / "c").exists()


def test_a_file_that_others_fill_is_whole_or_absent(tmp_path: Path) -> None:
    path = tmp_path / "new" / "table.parquet"
    with pytest.raises(ZeroDivisionError), files.atomic_file(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        raise ZeroDivisionError
    assert list(path.parent.iterdir()) == []
    for text in ("one", "two"):
        with files.atomic_file(path) as temporary:
            assert temporary.parent == path.parent and temporary.name.startswith(".table.parquet.")
            temporary.write_text(text)
        assert path.read_text() == text
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o002])
def test_permissions_are_the_umask_s_whatever_a_library_made(mask: int, tmp_path: Path) -> None:
    """Some write files of mode 0600, in place of ours or in our folder; what can be executed stays so."""
    before = os.umask(mask)
    try:
        with files.atomic_file(tmp_path / "alone") as temporary:
            temporary.unlink()
            os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
        with files.atomic_folder(tmp_path / "model") as folder:
            (folder / "inner").mkdir(mode=0o700)
            for name in ("weights", "inner/weights"):
                os.close(os.open(folder / name, os.O_CREAT | os.O_WRONLY, 0o600))
            (folder / "program").touch()
            (folder / "program").chmod(0o700)
            (tmp_path / "private").touch(mode=0o600)
            (folder / "link").symlink_to(tmp_path / "private")
    finally:
        os.umask(before)
    for name in ("alone", "model/weights", "model/inner/weights"):
        assert mode(tmp_path / name) == 0o666 & ~mask, name
    for name in ("model", "model/inner"):
        assert mode(tmp_path / name) == 0o777 & ~mask, name
    assert mode(tmp_path / "model/program") == 0o700 | 0o666 & ~mask
    assert mode(tmp_path / "private") == 0o600


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
