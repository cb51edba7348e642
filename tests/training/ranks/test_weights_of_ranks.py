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


def run(case: str, model: Path, out: Path, ranks: int = RANKS) -> WarmRanks:
    out.mkdir(exist_ok=True)
    return WarmRanks(ranks, SCRIPT, [case, model, out], out / "streams", {"CUDA_VISIBLE_DEVICES": ""})


@pytest.mark.parametrize("tied", [False, True])
def test_ranks_read_and_write_what_one_process_does(tied: bool, tmp_path: Path) -> None:
    """The rows of the tables can't be shared out evenly."""
    model, out = save(tmp_path / "model", tie_word_embeddings=tied), tmp_path / "out"
    with run("layouts", model, out) as ranks:
        assert ranks.wait() == [0] * RANKS, ranks.messages
    for train, layout in CASES[tied]:
        name = f"{train}, {layout}"
        alone = loaded(str(model), train, ALONE, None)
        found = torch.load(out / f"{name}.pt")
        assert found.keys() == alone.state_dict().keys(), name
        for key, tensor in alone.state_dict().items():
            assert torch.equal(found[key], tensor), (name, key)
        rank_weights.change(alone)
        with shared_folder(tmp_path / name, ALONE) as folder:
            write_model(folder, alone, settings(train), ALONE, dtype=torch.bfloat16, shard_bytes=SHARD_BYTES)
        files = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        assert len(files) > 3
        assert {path.name: path.read_bytes() for path in (out / name).iterdir()} == files, name


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


def test_a_rank_needs_the_memory_of_its_own_slices(tmp_path: Path) -> None:
    """The table has 96 MiB in fp32; a rank has a quarter of it, and may need some pieces more, never all of it."""
    if not os.access("/proc/self/clear_refs", os.W_OK):
        pytest.skip("this system does not count a process's peak anew")
    model = save(tmp_path / "model", vocab_size=49_152, hidden_size=512, num_hidden_layers=1)
    table = 49_152 * 512 * 4
    with run("memory", model, tmp_path / "out") as ranks:
        assert ranks.wait() == [0] * RANKS, ranks.messages
    more = 4 * weights_in.PIECE_BYTES
    for rank in range(RANKS):
        figures = json.loads((tmp_path / "out" / f"memory-{rank}.json").read_text())
        print(rank, {name: round(value / 2**20, 1) for name, value in figures.items()})
        assert table / RANKS * 2 <= figures["own"] < table / RANKS * 2.2
        assert figures["reading"] < figures["own"] + more
        assert figures["writing"] < more < table


def test_a_mistake_of_one_rank_is_said_by_all(tmp_path: Path) -> None:
    model = save(tmp_path / "model")
    with run("mistakes", model, tmp_path / "out") as ranks:
        assert ranks.wait() == [0] * RANKS, ranks.messages
    said = [json.loads((tmp_path / "out" / f"said-{rank}.json").read_text()) for rank in range(RANKS)]
    assert all(one == said[0] for one in said)
    assert f"on rank 1 of {RANKS}, machine " in said[0]["a folder that one rank does not see"]
    assert "-of-another-machine: is no folder" in said[0]["a folder that one rank does not see"]
    assert "on rank" not in said[0]["a folder that no rank sees"]
    assert said[0]["a full disk"].startswith(f"{tmp_path / 'out' / 'written'}: the disk is full; make room")
    assert f"on rank 1 of {RANKS}" in said[0]["a full disk"]
    for name in ("a folder that is not shared", "a run's folder that is not shared"):
        assert said[0][name].startswith(f"{tmp_path / 'out'}: is not seen by every rank"), name
        assert f"on rank 2 of {RANKS}" in said[0][name]
    left = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith("said-")}
    assert left == {"streams"}


def test_a_killed_rank_leaves_nothing_that_looks_finished(tmp_path: Path) -> None:
    model = save(tmp_path / "model")
    out = tmp_path / "out"
    with run("die", model, out, ranks=2) as ranks:
        assert -9 in ranks.wait()
    assert not (out / "written").exists()
    assert [path.name for path in out.iterdir() if path.name.startswith(".written.new-")]
    with shared_folder(out / "written", ALONE) as folder:
        (folder / "x").touch()
    assert sorted(path.name for path in out.iterdir()) == ["streams", "written"]
