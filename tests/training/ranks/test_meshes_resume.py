"""A checkpoint of any mesh resumes on any other, with the same losses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import resuming_run
from resuming_run import take_steps
from tiny_run import losses, read_log
from warm_process import WarmRanks

pytestmark = pytest.mark.distributed

SCRIPT = Path(resuming_run.__file__)
STEPS, WRITTEN = 12, 6
MESHES: dict[str, tuple[int, dict[str, int]]] = {
    "1": (1, {}),
    "FSDP 2": (2, {}),
    "FSDP 4": (4, {}),
    "HSDP 2 x 2": (4, {"data_replicate": 2}),
    "TP 2": (2, {"tensor": 2}),
    "FSDP 2 x TP 2": (4, {"tensor": 2}),
    "CP 2": (2, {"context": 2}),
}
"""Ranks and ``[parallel]`` by name."""
KINDS: dict[str, dict[str, Any]] = {
    "all weights": {"new_token_learning_rate": 3e-2},
    "LoRA": {"train": "lora", "lora_rank": 4, "new_token_learning_rate": 3e-2},
}


def take(mesh: str, kind: str, folders: Sequence[Path], until: int, scratch: Path) -> None:
    """Take the steps until ``until`` of the runs in ``folders`` on this mesh."""
    ranks, parallel = MESHES[mesh]
    settings = {
        "steps": STEPS,
        "warmup_steps": 0,
        **KINDS[kind],
        "parallel": parallel,
    }
    if ranks == 1:
        for folder in folders:
            take_steps(folder, settings, until)
        return
    runs = [{"folder": str(folder), "settings": settings, "until": until} for folder in folders]
    name = "".join(letter for letter in f"{mesh}-{kind}-{until}" if letter.isalnum())
    (scratch / f"{name}.json").write_text(json.dumps(runs))
    environment = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    with WarmRanks(ranks, SCRIPT, [scratch / f"{name}.json"], scratch / name, environment) as group:
        assert group.wait(600) == [0] * ranks, group.messages


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_of_any_mesh_resumes_on_any_other(tmp_path: Path, kind: str) -> None:
    whole = tmp_path / "whole"
    take("1", kind, [whole], STEPS + 1, tmp_path)
    expected = losses(whole)
    assert len(expected) == STEPS
    for mesh in MESHES:
        take(mesh, kind, [tmp_path / "written" / mesh], WRITTEN, tmp_path)
        assert len(losses(tmp_path / "written" / mesh)) == WRITTEN, mesh
    for mesh in MESHES:
        copies = {
            before: shutil.copytree(tmp_path / "written" / before, tmp_path / "resumed" / mesh / before)
            for before in MESHES
        }
        take(mesh, kind, list(copies.values()), STEPS + 1, tmp_path)
        for before, folder in copies.items():
            assert [row["step"] for row in read_log(folder)] == list(range(1, STEPS + 1)), (before, mesh)
            assert losses(folder) == pytest.approx(expected, abs=1e-4), (before, mesh)
