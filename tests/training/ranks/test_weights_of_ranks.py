"""Ranks that read and write a model together: the files of one process, in the memory of a rank's own slices."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import rank_weights
import torch
from rank_weights import CASES, SHARD_BYTES, loaded, settings
from warm_process import WarmRanks

from codecascade.model.config import LlamaConfig
from codecascade.model.folder import save_folder
from codecascade.model.llama import Llama
from codecascade.model.presets import build, initialise
from codecascade.model.weights import write_weights
from codecascade.tokens.training import train_tokenizer
from codecascade.training.parallel import weights_in
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.shared_folder import shared_folder
from codecascade.training.parallel.weights_out import final_state_dict, write_model

SCRIPT = Path(rank_weights.__file__)
RANKS = 4
PEAK_IS_COUNTED = os.access("/proc/self/clear_refs", os.W_OK)
ALONE = World(0, 1, torch.device("cpu"), None)


def save(folder: Path, **changes: Any) -> Path:
    shape: dict[str, Any] = {
        "vocab_size": 322,
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
    }
    model: Llama = build(LlamaConfig(**{**shape, **changes}))
    initialise(model, 0)
    tokenizer = train_tokenizer(["def add(left, right): return left + right"] * 5, 300, "bytes")
    save_folder(folder, model, model.config, tokenizer, shard_bytes=60_000, dtype=torch.bfloat16)
    return folder


def run(folder: Path, *cases: tuple[str, Path], ranks: int = RANKS) -> WarmRanks:
    """Ranks that go through some cases, each with its model; what they write is in a folder of the case's name."""
    arguments: list[object] = []
    for case, model in cases:
        arguments += [case, model, folder / case]
    return WarmRanks(ranks, SCRIPT, arguments, folder / "streams", {"CUDA_VISIBLE_DEVICES": ""})


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The model of each case; ``tied`` is that of the layouts."""
    folder = tmp_path_factory.mktemp("models")
    big = save(folder / "big", vocab_size=49_152, hidden_size=512, num_hidden_layers=1)
    return {
        "tied": save(folder / "tied", tie_word_embeddings=True),
        "big": big,
        "small": save(folder / "small"),
    }


@pytest.fixture(scope="module")
def ended(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ranks have written in three cases, one after the other: to start ranks takes longer than they work."""
    folder = tmp_path_factory.mktemp("ranks")
    cases = [("layouts", models["tied"]), ("mistakes", models["small"])]
    if PEAK_IS_COUNTED:
        cases.append(("memory", models["big"]))
    with run(folder, *cases) as ranks:
        assert ranks.wait() == [0] * RANKS, ranks.messages
    return folder


def assert_written_as_by_one_process(model: Path, out: Path, tied: bool, folder: Path) -> None:
    """The rows of the tables can't be shared out evenly."""
    for train, layout in CASES[tied]:
        name = f"{train}, {layout}"
        alone = loaded(str(model), train, ALONE, None)
        found = torch.load(out / f"{name}.pt")
        assert found.keys() == alone.state_dict().keys(), name
        for key, tensor in alone.state_dict().items():
            assert torch.equal(found[key], tensor), (name, key)
        rank_weights.change(alone)
        with shared_folder(folder / name, ALONE) as new:
            write_model(new, alone, settings(train), ALONE, dtype=torch.bfloat16, shard_bytes=SHARD_BYTES)
        files = {path.name: path.read_bytes() for path in (folder / name).iterdir()}
        assert len(files) > 3
        assert {path.name: path.read_bytes() for path in (out / name).iterdir()} == files, name


def test_ranks_read_and_write_what_one_process_does(
    models: dict[str, Path], ended: Path, tmp_path: Path
) -> None:
    assert_written_as_by_one_process(models["tied"], ended / "layouts", True, tmp_path)


@pytest.mark.distributed
def test_so_do_ranks_with_a_head_of_its_own(models: dict[str, Path], tmp_path: Path) -> None:
    with run(tmp_path, ("layouts", models["small"])) as ranks:
        assert ranks.wait() == [0] * RANKS, ranks.messages
    assert_written_as_by_one_process(models["small"], tmp_path / "layouts", False, tmp_path)


@pytest.mark.parametrize("train", ["all", "lora"])
@pytest.mark.parametrize("shard_bytes", [5e9, SHARD_BYTES])
def test_the_files_are_those_of_the_library(train: str, shard_bytes: float, tmp_path: Path) -> None:
    model = loaded(str(save(tmp_path / "model")), train, ALONE, None)
    rank_weights.change(model)
    for folder in ("ours", "theirs"):
        (tmp_path / folder).mkdir()
    state = final_state_dict(model, settings(train))
    write_model(
        tmp_path / "ours", model, settings(train), ALONE, dtype=torch.float32, shard_bytes=shard_bytes
    )
    write_weights(tmp_path / "theirs", state, dtype=torch.float32, shard_bytes=shard_bytes)
    ours, theirs = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("ours", "theirs")
    )
    assert ours == theirs


@pytest.mark.skipif(not PEAK_IS_COUNTED, reason="this system does not count a process's peak anew")
def test_a_rank_needs_the_memory_of_its_own_slices(ended: Path) -> None:
    """The table has 96 MiB in fp32; a rank has a quarter of it, and may need some pieces more, never all of it."""
    table = 49_152 * 512 * 4
    more = 4 * weights_in.PIECE_BYTES
    for rank in range(RANKS):
        figures = json.loads((ended / "memory" / f"memory-{rank}.json").read_text())
        print(rank, {name: f"{value / 2**20:.1f} MiB" for name, value in figures.items()})
        # there are two, for the head is not tied
        assert table / RANKS * 2 <= figures["own"] < table / RANKS * 2.2
        assert figures["reading"] < figures["own"] + more
        assert figures["writing"] < more < table


def test_a_mistake_of_one_rank_is_said_by_all(ended: Path) -> None:
    out = ended / "mistakes"
    said = [json.loads((out / f"said-{rank}.json").read_text()) for rank in range(RANKS)]
    assert all(one == said[0] for one in said)
    assert f"on rank 1 of {RANKS}, machine " in said[0]["a folder that one rank does not see"]
    assert "-of-another-machine: is no folder" in said[0]["a folder that one rank does not see"]
    assert "on rank" not in said[0]["a folder that no rank sees"]
    assert said[0]["a full disk"].startswith(f"{out / 'written'}: the disk is full; make room")
    assert f"on rank 1 of {RANKS}" in said[0]["a full disk"]
    assert f"Transport endpoint is not connected (on rank 1 of {RANKS}" in said[0]["a disk that is gone"]
    for name in ("a folder that is not shared", "a run's folder that is not shared"):
        assert said[0][name].startswith(f"{out}: is not seen by every rank"), name
        assert f"on rank 2 of {RANKS}" in said[0][name]
    assert not [path for path in out.iterdir() if not path.name.startswith("said-")]


@pytest.mark.distributed
def test_a_killed_rank_leaves_nothing_that_looks_finished(models: dict[str, Path], tmp_path: Path) -> None:
    with run(tmp_path, ("die", models["small"]), ranks=2) as ranks:
        assert -9 in ranks.wait()
    out = tmp_path / "die"
    assert [path.name[:13] for path in out.iterdir()] == [".written.new-"]
    with shared_folder(out / "written", ALONE) as folder:
        (folder / "x").touch()
    assert [path.name for path in out.iterdir()] == ["written"]
