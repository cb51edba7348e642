"""Models whose weights stay in their files, and files that are written piece by piece."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from stored_parts import assert_parts

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.model.folder import open_folder, save_folder
from codecascade.model.llama import Llama
from codecascade.model.presets import build, initial_weights, initialise
from codecascade.model.sources import open_model
from codecascade.model.stored.weights import RandomWeights, TensorWeights
from codecascade.model.stored.writing import WeightsFile, WeightsPlan, write_in_turn
from codecascade.model.weights import HEAD, TABLE, write_weights
from codecascade.tokens.tokenizer import Tokenizer

MakeModel = Callable[..., Llama]


@pytest.mark.parametrize("shard_bytes", [5e9, 20_000])
@pytest.mark.parametrize("tied", [False, True])
def test_parts_of_a_folder(
    tied: bool, shard_bytes: float, make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(tie_word_embeddings=tied)
    save_folder(tmp_path / "m", model, model.config, tokenizer, shard_bytes=shard_bytes)
    stored = open_model(str(tmp_path / "m"))
    assert stored.config == model.config
    assert_parts(stored.weights)
    for name, tensor in TensorWeights(model.config, model.state_dict()).tensors():
        assert torch.equal(stored.weights.read(name), tensor), name


def test_a_tied_head_may_be_there_instead_of_the_table_or_beside_it(
    make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(tie_word_embeddings=True)
    save_folder(tmp_path / "m", model, model.config, tokenizer)
    file = tmp_path / "m" / "model.safetensors"
    tensors = load_file(file)
    table = tensors.pop(TABLE).clone()
    for added, tied in (
        ({HEAD: table}, True),
        ({HEAD: table, TABLE: table + 0}, True),
        ({HEAD: -table, TABLE: table}, False),
    ):
        save_file({**tensors, **added}, file, metadata={"format": "pt"})
        stored = open_folder(tmp_path / "m")
        assert stored.config.tie_word_embeddings == tied
        assert torch.equal(stored.weights.read(TABLE, (slice(4, 9),)), table[4:9])
        assert (HEAD in stored.weights.shapes) != tied
        if not tied:
            assert torch.equal(stored.weights.read(HEAD, (slice(4, 9),)), -table[4:9])
        assert_parts(stored.weights)


def test_a_damaged_file_is_named_before_anything_is_read(
    make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model()
    save_folder(tmp_path / "m", model, model.config, tokenizer, shard_bytes=20_000)
    file = sorted((tmp_path / "m").glob("*.safetensors"))[1]
    content = file.read_bytes()
    file.write_bytes(content[:-10])
    with pytest.raises(UserError, match=rf"{file.name}: is not a whole safetensors file"):
        open_folder(tmp_path / "m")
    # gone between the opening and the reading
    file.write_bytes(content)
    stored = open_folder(tmp_path / "m")
    file.unlink()
    with pytest.raises(UserError, match=rf"{file.name}: is not a whole safetensors file"):
        dict(stored.weights.tensors())
    with pytest.raises(UserError, match=rf"{file.name}: is not a whole safetensors file"):
        for name in stored.weights.shapes:
            stored.weights.read(name, (slice(0, 1),))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shard_bytes", [5e9, 9_000])
def test_pieces_in_any_order_make_the_library_s_files(
    dtype: torch.dtype, shard_bytes: float, make_model: MakeModel, tmp_path: Path
) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in make_model().state_dict().items()}
    tensors['a name of other letters: \u00e9\u4e2d "quoted"'] = torch.ones(3, 5, dtype=dtype)
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    write_weights(tmp_path / "theirs", tensors, shard_bytes=shard_bytes)
    plan = WeightsPlan.of({name: tuple(t.shape) for name, t in tensors.items()}, dtype, shard_bytes)
    for file in plan.files:
        pieces = []
        for name in file.starts:
            rows = len(tensors[name])
            cuts = sorted({0, rows // 3, rows // 2, rows})
            for first, last in itertools.pairwise(cuts):
                if tensors[name].ndim == 1:
                    pieces.append((name, (first,), tensors[name][first:last]))
                    continue
                half = tensors[name].shape[1] // 2
                pieces.append((name, (first, 0), tensors[name][first:last, :half]))
                pieces.append((name, (first, half), tensors[name][first:last, half:]))
        random.Random(0).shuffle(pieces)
        with WeightsFile(tmp_path / "ours", plan, file) as opened:
            for name, offset, values in pieces:
                opened.write(name, offset, values.contiguous())
    plan.write_index(tmp_path / "ours")
    ours, theirs = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("ours", "theirs")
    )
    assert ours == theirs


@pytest.mark.parametrize("shard_bytes", [5e9, 9_000])
def test_weights_that_are_drawn_one_after_the_other(
    shard_bytes: float, make_config: Callable[..., LlamaConfig], tmp_path: Path
) -> None:
    model = build(make_config(num_hidden_layers=3))
    initialise(model, 7)
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    write_weights(tmp_path / "theirs", model.state_dict(), dtype=torch.bfloat16, shard_bytes=shard_bytes)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    drawn = initial_weights(model.config, 7)
    write_in_turn(tmp_path / "ours", shapes, drawn, torch.bfloat16, shard_bytes=shard_bytes)
    ours, theirs = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("ours", "theirs")
    )
    assert ours == theirs


def test_random_weights_have_the_shapes_of_the_model(make_config: Callable[..., LlamaConfig]) -> None:
    weights = RandomWeights(make_config(model_type="qwen2", attention_bias=True))
    for name, tensor in weights.tensors():
        assert tuple(tensor.shape) == weights.shapes[name]
        assert weights.read(name, (slice(2, 7),)).shape == (5, *tensor.shape[1:])
        constant = {"weight": 1.0, "bias": 0.0}[name.rpartition(".")[2]]
        assert bool((tensor == constant).all()) == (tensor.ndim == 1)
