"""The git processes that read objects: killed, limited, ended with the build."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from git_repositories import run, store

from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.sources.git import objects as git_objects
from codecascade.corpus.sources.git.objects import CatFile, GitEndedError, GitObjects


def test_a_killed_process_is_started_again(repository: Path) -> None:
    objects = GitObjects(str(repository / ".git/objects"))
    name = run(repository, "rev-parse", "HEAD:z.py")
    assert objects.read(name, 100) == b"z = 3"
    assert objects._contents is not None and objects._contents._process is not None
    objects._contents._process.kill()
    objects._contents._process.wait()
    assert objects.read(name, 100) == b"z = 3"
    with pytest.raises(UnreadableError, match="larger"):
        objects.read(name, 4)
    assert objects.read(name, 5) == b"z = 3"
    assert [info.size for info in objects.infos([name, "1" * 40, name])] == [5, 0, 5]
    objects.close()


def test_a_process_holds_no_more_than_its_memory(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is no file is held by git as a whole."""
    name = store(repository, "commit", b"0" * 100_000_000)
    monkeypatch.setattr(git_objects, "MEMORY", 60 << 20)
    cat = CatFile(str(repository / ".git/objects"), "--batch")
    with pytest.raises(GitEndedError):
        cat.ask_whole(name)
        cat.content(100_000_000)
    cat.close()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends the processes")
def test_git_ends_with_the_build_however_it_ends(repository: Path) -> None:
    script = (
        "import sys, time; from codecascade.corpus.sources.git.objects import GitObjects;"
        "objects = GitObjects(sys.argv[1]); objects.read(sys.argv[2], 100);"
        "print(objects._contents._process.pid, flush=True); time.sleep(600)"
    )
    arguments = [str(repository / ".git/objects"), run(repository, "rev-parse", "HEAD:z.py")]
    with subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE) as build:
        assert build.stdout is not None
        git_process = int(build.stdout.readline())
        # it would not notice by itself that nobody listens
        os.kill(git_process, signal.SIGSTOP)
        build.send_signal(signal.SIGKILL)
        build.wait()
        for _ in range(2400):
            try:
                state = Path(f"/proc/{git_process}/stat").read_text().rpartition(")")[2].split()[0]
            except FileNotFoundError:
                break
            if state in "ZX":
                break
            time.sleep(0.05)
        else:
            pytest.fail("git lives on")
