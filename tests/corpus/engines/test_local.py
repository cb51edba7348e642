"""Worker processes: they change nothing, and end when they should."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import source_trees
from source_trees import MakeTree, hashes, many, module

from codecascade.corpus.build import build_corpus
from codecascade.corpus.engines.local import LocalEngine
from codecascade.corpus.settings import CorpusSettings
from codecascade.ground.errors import RunFailed

FOLDERS = [str(Path(file).parent) for file in (__file__, source_trees.__file__)]
"""Where a program of a test finds this module and what it imports."""


def test_workers_change_nothing(tree: MakeTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tree(many(6, 12) | {"r0/copy.py": module("r1m1") + "# and one more line\n"})
    monkeypatch.setattr("codecascade.corpus.engines.local._JOBS_WORTH_A_WORKER", 1)
    settings = CorpusSettings(shard_bytes=4000)
    for workers in (1, 2):
        build_corpus([str(root)], tmp_path / f"by{workers}", settings, engine=LocalEngine(workers))
    assert hashes(tmp_path / "by1") == hashes(tmp_path / "by2")
    assert len(list((tmp_path / "by1/train").glob("*.parquet"))) > 2


def test_a_worker_that_is_killed_is_reported(
    tree: MakeTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("codecascade.corpus.engines.local._JOBS_WORTH_A_WORKER", 1)
    with pytest.raises(RunFailed, match="worker process was killed"):
        list(LocalEngine(2).run(_die, tmp_path, range(4)))


def test_workers_end_with_their_parent(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys
sys.path[:0] = {FOLDERS!r}
from pathlib import Path
from test_local import _wait
from codecascade.corpus.engines import local
local._JOBS_WORTH_A_WORKER = 1
if __name__ == "__main__":
    for pid in local.LocalEngine(2).run(_wait, Path("."), range(2)):
        print(pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
"""
    (tmp_path / "program.py").write_text(program)
    killed = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], capture_output=True, text=True, check=False
    )
    # And the pipes were closed: nobody holds them.
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    (pid,) = killed.stdout.split()
    for _ in range(1200):
        if not Path(f"/proc/{pid}").exists() or "Z" in Path(f"/proc/{pid}/stat").read_text().split()[2]:
            return
        time.sleep(0.1)
    pytest.fail("a worker outlives its parent")


def _wait(work: str, number: int) -> int:
    time.sleep(number * 600)
    return os.getpid()


def _die(work: str, number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def test_ctrl_c_ends_the_workers_at_once(tmp_path: Path) -> None:
    program = f"""
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what was started in the background
sys.path[:0] = {FOLDERS!r}
from pathlib import Path
from test_local import _interrupt
from codecascade.corpus.engines import local
local._JOBS_WORTH_A_WORKER = 1
if __name__ == "__main__":
    engine = local.LocalEngine(2)
    try:
        list(engine.run(_interrupt, Path("."), range(2)))
    except KeyboardInterrupt:
        engine.close()
        print("closed")
"""
    (tmp_path / "program.py").write_text(program)
    ended = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")],
        capture_output=True, text=True, check=False, start_new_session=True, timeout=300,
    )  # fmt: skip
    assert (ended.stdout, ended.stderr) == ("closed\n", "")


def _interrupt(work: str, number: int) -> int:
    """As a terminal does: a signal to all of the group."""
    if number == 0:
        os.killpg(0, signal.SIGINT)
    time.sleep(600)
    return 0
