"""Two ranks take the steps of one process, in bf16 and fp32, with any number of micro-batches a rank."""

from __future__ import annotations

from pathlib import Path

import pytest
import rank_steps
import torch
from rank_steps import CASES, STEPS, Taken, steps_of
from warm_process import WarmRanks

from codecascade.training.parallel.ranks import World

SCRIPT = Path(rank_steps.__file__)

NORM = 1e-4
"""Relative. A product in bf16 is rounded by up to 2 ** -9 = 0.002, but at step 1 both sides make the very same
products of the very same weights; only their fp32 sums are made in another order (2 ** -24 each). A micro-batch that
is lost or counted twice changes the norm by several hundredths."""

UPDATE = 0.01
"""L2 of the difference relative to the L2 of the way that a weight has come. From step 2 on the weights may differ in
their last bits, so a few products round to the neighbouring bf16 number, which is 2 ** -8 = 0.004 away."""


FEW = ("fp32", "two micro-batches a rank", "document masks", "LoRA, checkpointing")
"""Each setting is in one of them, but for compiled layers: these take as long as all others together."""
OTHERS = tuple(name for name in CASES if name not in FEW)
Pair = tuple[dict[str, Taken], dict[str, Taken]]


@pytest.fixture(
    scope="module",
    params=[pytest.param(FEW, id="few"), pytest.param(OTHERS, id="others", marks=pytest.mark.distributed)],
)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """The steps of one process, and those of two ranks."""
    out, cases = tmp_path_factory.mktemp("ranks") / "taken.pt", request.param
    with WarmRanks(2, SCRIPT, [out, *cases], out.parent / "streams", {"CUDA_VISIBLE_DEVICES": ""}) as ranks:
        one = steps_of(World(0, 1, torch.device("cpu"), None), cases)
        assert ranks.wait() == [0, 0], ranks.messages
    return one, {name: Taken(*parts) for name, parts in torch.load(out).items()}


def test_two_ranks_take_the_steps_of_one_process(both: Pair) -> None:
    assert both[0].keys() == both[1].keys()
    for case, alone in both[0].items():
        shared = both[1][case]
        assert len(alone.norms) == STEPS
        assert shared.norms[0] == pytest.approx(alone.norms[0], rel=NORM), case
        assert shared.updates.keys() == alone.updates.keys(), case
        for name, update in alone.updates.items():
            assert (shared.updates[name] - update).norm() <= UPDATE * update.norm(), (case, name)
        assert sum(float(update.norm()) for update in alone.updates.values()) > 0, case
