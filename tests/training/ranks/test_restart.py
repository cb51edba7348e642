"""A rank that is killed: torchrun starts the group again, which goes on from the newest whole checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import restarted_run
from tiny_run import losses, read_log, tiny_settings, tiny_train

SCRIPT = Path(restarted_run.__file__)


def test_a_killed_rank_costs_the_steps_since_the_last_whole_checkpoint(tmp_path: Path) -> None:
    """The checkpoint of step 6 is damaged, so both ranks go back to that of step 3.

    One restart is enough: no rank aborts as its interpreter ends, for the threads of the process group end before it.
    """
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    ended = subprocess.run(
        [*torchrun, "--max-restarts", "1", str(SCRIPT), str(tmp_path / "killed")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("__1_0.distcp has 4 bytes instead of") == 1
    assert ended.stderr.count("going on from step-00000003: 3 steps are taken again") == 1
    for rank in (0, 1):
        threads = (tmp_path / "killed" / f"threads-{rank}").read_text().split()
        assert threads
        assert not [name for name in threads if "gloo" in name]
    tiny_train(tmp_path / "whole", tiny_settings(steps=9, async_checkpoints=False))
    assert [row["step"] for row in read_log(tmp_path / "killed")] == list(range(1, 10))
    assert losses(tmp_path / "killed") == pytest.approx(losses(tmp_path / "whole"), abs=1e-4)
