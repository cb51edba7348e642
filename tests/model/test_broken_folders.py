"""Folders that are not as they should be are refused by a sentence."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from codecascade.ground.errors import UserError
from codecascade.model.folder import load_folder, save_folder
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer

MakeModel = Callable[..., Llama]


@pytest.fixture
def folder(make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    model = make_model()
    save_folder(tmp_path / "model", model, model.config, tokenizer)
    return tmp_path / "model"


def change(folder: Path, file: str, **changes: Any) -> None:
    data = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**data, **changes}))


def cut(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[:-100])


def rewrite(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: shutil.rmtree(f), "model: is no model folder"),
        (lambda f: (f / "config.json").unlink(), "holds no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "config.json: is not valid JSON"),
        (lambda f: (f / "config.json").write_text("[]"), "config.json: must hold an object"),
        (lambda f: change(f, "config.json", model_type="gpt2"), "config.json: model_type: 'gpt2'"),
        (cut, "model.safetensors: is not a whole safetensors file"),
        (
            lambda f: (f / "model.safetensors").write_bytes(b""),
            "model.safetensors: is not a whole safetensors file",
        ),
        (lambda f: (f / "model.safetensors").unlink(), "holds neither model.safetensors nor"),
        (
            lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
            "pytorch_model.bin can't be opened safely",
        ),
        (lambda f: rewrite(f, lambda t: t.pop(NORM)), f"lacks the tensors {NORM}"),
        (lambda f: rewrite(f, lambda t: t.clear()), "and 16 more"),
        (
            lambda f: rewrite(f, lambda t: t.update({"model.norm.bias": torch.ones(32)})),
            "model.norm.bias, for which",
        ),
        (lambda f: rewrite(f, lambda t: t.update({NORM: torch.ones(33)})), f"{NORM}: has the shape (33,)"),
        (lambda f: rewrite(f, lambda t: t.update({NORM: torch.ones(32).to(torch.int8)})), "quantised"),
        (lambda f: change(f, "config.json", attention_bias=True), "self_attn.k_proj.bias"),
        (lambda f: change(f, "config.json", vocab_size=20), "has the shape (320, 32), and by"),
        (lambda f: (f / "tokenizer.json").unlink(), "tokenizer.json"),
    ],
)
def test_broken_folders(folder: Path, harm: Callable[[Path], Any], words: str) -> None:
    harm(folder)
    with pytest.raises(UserError) as caught:
        load_folder(folder)
    assert words in str(caught.value)


def test_broken_shards(make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = make_model()
    save_folder(tmp_path / "m", model, model.config, tokenizer, shard_bytes=20_000)
    index, shard = (
        tmp_path / "m" / "model.safetensors.index.json",
        next((tmp_path / "m").glob("model-00002-*")),
    )
    shard.rename(tmp_path / "aside")
    with pytest.raises(UserError, match=rf"{shard.name}: is missing"):
        load_folder(tmp_path / "m")
    (tmp_path / "aside").rename(shard)
    index.write_text("{}")
    with pytest.raises(UserError, match="weight_map: is missing"):
        load_folder(tmp_path / "m")
