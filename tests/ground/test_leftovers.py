"""What a killed process left is removed; what another process is writing is not."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from codecascade.ground.files import atomic as files


def test_what_a_killed_process_left_of_a_large_file_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "m[1].gguf"
    program = (
        "import os, signal, sys\n"
        "from codecascade.ground.files.atomic import atomic_file\n"
        "with atomic_file(sys.argv[1]) as file:\n"
        "    file.write_bytes(bytes(1000))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    (left_over,) = tmp_path.iterdir()
    mine = [tmp_path / name for name in (".m1.gguf.abcdefgh", ".m[1].gguf.ABCDEFGH", ".m[1].gguf.abcdefg")]
    for each in mine:
        each.touch()
    with files.atomic_file(path) as temporary:
        files.remove_abandoned(path)
        assert temporary.exists() and not left_over.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert sorted(tmp_path.iterdir()) == sorted([path, *mine])


def test_what_is_being_written_stays_on_a_network_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS gives an exclusive lock only to whoever has opened the file for writing (flock(2))."""
    flock = fcntl.flock

    def flock_of_nfs(descriptor: int, operation: int) -> None:
        if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock_of_nfs)
    left_over = tmp_path / ".x.abcdefgh"
    left_over.touch()
    with files.atomic_file(tmp_path / "x") as temporary:
        files.remove_abandoned(tmp_path / "x")
        temporary.write_text("whole")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["whole"]


def test_a_file_that_is_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = tempfile.mkstemp, []

    def make_and_lose_the_first(**where: Any) -> tuple[int, str]:
        made.append(make(**where))
        if len(made) == 1:
            files.remove_abandoned(tmp_path / "x")
        return made[-1]

    monkeypatch.setattr(tempfile, "mkstemp", make_and_lose_the_first)
    files.atomic_write(tmp_path / "x", "whole")
    assert len(made) == 2 and [path.read_text() for path in tmp_path.iterdir()] == ["whole"]


def test_leftovers_are_those_of_just_this_name(tmp_path: Path) -> None:
    for name in (".model.new-x", ".model[1].new-y"):
        (tmp_path / name).mkdir()
    files.recover_folder(tmp_path / "m*")
    assert len(list(tmp_path.iterdir())) == 2
    files.recover_folder(tmp_path / "model[1]")
    assert [entry.name for entry in tmp_path.iterdir()] == [".model.new-x"]
