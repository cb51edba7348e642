"""What a conversion keeps, and what it refuses to write."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from codecascade.ground.errors import UserError
from codecascade.model.convert import convert
from codecascade.model.folder import load_folder, save_folder
from codecascade.model.llama import Llama
from codecascade.model.sources import load
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

MakeModel = Callable[..., Llama]
NAME = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def byte_tokenizer() -> Tokenizer:
    return train_tokenizer(["def add(first, second):\n    return first + second\n"] * 4, 300, kind="bytes")


def test_a_window_survives_conversions(
    make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(model_type="mistral", sliding_window=4096)
    save_folder(tmp_path / "hf", model, model.config, byte_tokenizer)
    convert(str(tmp_path / "hf"), tmp_path / "again")
    convert(str(tmp_path / "again"), tmp_path / "m.gguf", to="gguf")
    convert(str(tmp_path / "m.gguf"), tmp_path / "back")
    after = load_folder(tmp_path / "back")
    assert after.config == model.config and after.config.sliding_window == 4096
    for name, tensor in after.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("to", "dtype", "value", "fits"),
    [
        ("hf", "f16", 1e5, "bf16"),
        ("gguf", "f16", 1e5, "bf16"),
        ("hf", "bf16", 3.4e38, "f32"),
        ("gguf", "bf16", 3.4e38, "f32"),
        ("gguf", "q8_0", 1e7, "bf16"),
        ("hf", "f16", -torch.inf, None),
        ("hf", None, torch.nan, None),
    ],
)
def test_weights_beyond_the_type_that_is_asked_for_are_refused(
    to: Any,
    dtype: Any,
    value: float,
    fits: Any,
    make_model: MakeModel,
    byte_tokenizer: Tokenizer,
    tmp_path: Path,
) -> None:
    model = make_model()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] = value
    save_folder(tmp_path / "in", model, model.config, byte_tokenizer)
    out = tmp_path / ("out.gguf" if to == "gguf" else "out")
    with pytest.raises(UserError, match="no numbers" if fits is None else f"too large for {dtype}") as caught:
        convert(str(tmp_path / "in"), out, to=to, dtype=dtype)
    assert caught.value.key == NAME and [*tmp_path.iterdir()] == [tmp_path / "in"]
    if fits is not None:
        assert fits in str(caught.value)
        convert(str(tmp_path / "in"), out, to=to, dtype=fits)
        assert load(str(out)).model.state_dict()[NAME][3, 5] > 0.9 * value
