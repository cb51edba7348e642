"""Every mesh takes the steps of one process: the same losses, gradients and weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mesh_steps
import pytest
import torch
from mesh_steps import CASES, STEPS, Taken, taken
from warm_process import WarmRanks

from codecascade.training.parallel.ranks import World

CLOSE = 1e-4
"""Of losses, and of norms of gradients relative to them. Ranks make the same products as one process, in fp32; what
differs is the order of sums (2 ** -24 for each), which 20 steps of Adam make larger."""

MESHES: dict[str, tuple[int, dict[str, Any]]] = {
    "tensor": (2, {"tensor": 2}),
    "context": (2, {"context": 2}),
    "shard": (2, {}),
    "replicate": (2, {"data_replicate": 2}),
    "shard and tensor": (4, {"tensor": 2}),
    "replicate and shard": (4, {"data_replicate": 2}),
    "context and tensor": (4, {"tensor": 2, "context": 2}),
    "replicate and tensor": (4, {"data_replicate": 2, "tensor": 2}),
}
QUICK = {"tensor": ("LoRA, tied head, dialogues", "infilling"), "context": ("instruct", "tied head")}
"""What stays in the suite, with few steps."""
QUICK_STEPS = 3


def on_mesh(mesh: str, cases: list[str], steps: int, folder: Path) -> dict[str, Taken]:
    count, parallel = MESHES[mesh]
    out = folder / "taken.pt"
    arguments = [out, json.dumps(parallel), steps, *cases]
    environment = {"CUDA_VISIBLE_DEVICES": ""}
    with WarmRanks(count, mesh_steps.__file__, arguments, folder / "streams", environment) as ranks:
        assert ranks.wait(600) == [0] * count, ranks.messages
        # a user would read it from every rank, in every run
        assert "Warning" not in ranks.messages, ranks.messages
    return {name: Taken(*parts) for name, parts in torch.load(out).items()}


def assert_same(shared: Taken, alone: Taken) -> None:
    assert shared.losses == pytest.approx(alone.losses, abs=CLOSE)
    # at the first step the weights are the same
    assert shared.norms[0] == pytest.approx(alone.norms[0], rel=CLOSE)
    assert shared.weights.keys() == alone.weights.keys()
    for name, weight in alone.weights.items():
        assert torch.allclose(shared.weights[name], weight, atol=1e-3), name


def alone(case: str, steps: int) -> Taken:
    return taken(World(0, 1, torch.device("cpu"), None), {}, CASES[case], steps)


@pytest.mark.parametrize("mesh", QUICK)
def test_ranks_take_the_steps_of_one_process(mesh: str, tmp_path: Path) -> None:
    cases = [*QUICK[mesh]]
    found = on_mesh(mesh, cases, QUICK_STEPS, tmp_path)
    for case in cases:
        assert_same(found[case], alone(case, QUICK_STEPS))


@pytest.fixture(scope="module")
def one_process() -> dict[str, Taken]:
    return {case: alone(case, STEPS) for case in CASES}


@pytest.mark.distributed
@pytest.mark.parametrize("mesh", MESHES)
def test_every_mesh_takes_the_steps_of_one_process(
    mesh: str, one_process: dict[str, Taken], tmp_path: Path
) -> None:
    found = on_mesh(mesh, [*CASES], STEPS, tmp_path)
    for case, expected in one_process.items():
        assert len(expected.losses) == STEPS and expected.losses[-1] < expected.losses[0]
        assert_same(found[case], expected)
