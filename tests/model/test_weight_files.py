"""Weights are found in the files and by the names that other tools give them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from codecascade.ground.errors import UserError
from codecascade.model.folder import load_folder, save_folder
from codecascade.model.llama import Llama
from codecascade.model.weights import INDEX
from codecascade.tokens.tokenizer import Tokenizer

MakeModel = Callable[..., Llama]
WEIGHTS = "model.safetensors"


@pytest.fixture
def model(make_model: MakeModel) -> Llama:
    return make_model()


@pytest.fixture
def folder(model: Llama, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    save_folder(tmp_path / "model", model, model.config, tokenizer)
    return tmp_path / "model"


def assert_loads(folder: Path, model: Llama) -> None:
    loaded = load_folder(folder).model.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize(
    "rename",
    [
        lambda name: name.removeprefix("model."),
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: name.replace("layers.1.", "layers.1._checkpoint_wrapped_module."),
        lambda name: f"_fsdp_wrapped_module.{name.replace('self_attn.', '_orig_mod.self_attn.')}",
    ],
)
def test_names_of_base_models_and_of_wrapped_ones(
    rename: Callable[[str], str], folder: Path, model: Llama
) -> None:
    save_file({rename(name): tensor for name, tensor in model.state_dict().items()}, folder / WEIGHTS)
    assert_loads(folder, model)


def test_the_head_of_a_model_without_one_is_missing_unless_it_is_tied(
    folder: Path, make_model: MakeModel, model: Llama, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    tied = make_model(tie_word_embeddings=True)
    save_folder(tmp_path / "tied", tied, tied.config, tokenizer)
    for path, one in ((folder, model), (tmp_path / "tied", tied)):
        tensors = {name.removeprefix("model."): tensor for name, tensor in one.state_dict().items()}
        tensors.pop("lm_head.weight", None)
        save_file(tensors, path / WEIGHTS)
    assert_loads(tmp_path / "tied", tied)
    with pytest.raises(UserError, match=r"lacks the tensors lm_head\.weight"):
        load_folder(folder)


def test_two_names_of_one_tensor_are_refused(folder: Path, model: Llama) -> None:
    save_file({**model.state_dict(), "norm.weight": torch.ones(32)}, folder / WEIGHTS)
    with pytest.raises(
        UserError, match=r"'norm.weight': stands for 'model.norm.weight', as 'model.norm.weight'"
    ):
        load_folder(folder)


@pytest.mark.parametrize(
    "name",
    [
        "model.rotary_emb.inv_freq",
        "model.layers.0.self_attn.rotary_emb.cos_cached",
        "rotary_emb.sin_cached",
        "model.position_ids",
        "position_ids",
    ],
)
@pytest.mark.parametrize("kind", [torch.float32, torch.int64])
def test_what_is_no_weight_is_passed_over(name: str, kind: torch.dtype, folder: Path, model: Llama) -> None:
    save_file({**model.state_dict(), name: torch.ones(1, 3).to(kind)}, folder / WEIGHTS)
    assert_loads(folder, model)


@pytest.mark.parametrize("name", ["extra_position_ids", "model.rotary_embedding.inv_freq", "rotary_emb.a.b"])
def test_what_is_not_known_is_refused(name: str, folder: Path, model: Llama) -> None:
    save_file({**model.state_dict(), name: torch.ones(3)}, folder / WEIGHTS)
    with pytest.raises(UserError, match="has no place"):
        load_folder(folder)


@pytest.mark.parametrize("name", ["my model.safetensors", "módel.safetensors", "模型/a..b (1).safetensors"])
def test_shards_of_any_name_in_the_folder(name: str, folder: Path, model: Llama) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / WEIGHTS).rename(folder / name)
    (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(load_file(folder / name), name)}))
    assert_loads(folder, model)


@pytest.mark.parametrize(
    "name",
    [
        "../a.safetensors",
        "a/../b.safetensors",
        "/a.safetensors",
        "./a.safetensors",
        "a\n.safetensors",
        "a.bin",
    ],
)
def test_names_that_lead_out_of_the_folder(name: str, folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / INDEX).write_text(json.dumps({"weight_map": {"model.norm.weight": name}}))
    with pytest.raises(UserError, match="must name a file of this folder"):
        load_folder(folder)
