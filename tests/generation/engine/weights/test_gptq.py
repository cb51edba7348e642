"""int4 weights that are fitted to the inputs of their layers."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from engine_models import tiny_model
from quantised_models import needs_kernels
from torch import Tensor, nn

from codecascade.generation.engine.generator import load_generator
from codecascade.generation.engine.weights.calibration import calibration_tokens, layers_and_moments
from codecascade.generation.engine.weights.gptq import block_size, quantise_by_products
from codecascade.generation.engine.weights.held import hold_weights
from codecascade.generation.engine.weights.layers import QuantisedLinear
from codecascade.generation.engine.weights.quantise import dequantise_int4, quantise_int4
from codecascade.ground.errors import UserError
from codecascade.model.folder import save_folder
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer


def related_inputs(rows: int, columns: int) -> Tensor:
    """Few things decide all columns, some of which are larger than others."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 24, generator=generator) @ torch.randn(24, columns, generator=generator)
    return (x + torch.randn(rows, columns, generator=generator)) * torch.logspace(-0.3, 0.3, columns)


def moments_of(x: Tensor) -> Tensor:
    size = block_size(x.shape[1])
    blocks = x.view(len(x), -1, size).transpose(0, 1)
    return blocks.transpose(1, 2) @ blocks / len(x)


@pytest.mark.parametrize(
    ("columns", "size"), [(32, 32), (576, 576), (896, 448), (1536, 512), (4864, 608), (11_008, 256)]
)
def test_blocks_divide_the_columns(columns: int, size: int) -> None:
    assert block_size(columns) == size


@pytest.mark.parametrize("columns", [96, 640, 1_280])
def test_products_change_less_than_by_the_nearest_values(columns: int) -> None:
    x = related_inputs(2_000, columns)
    weight = torch.randn(48, columns, generator=torch.Generator().manual_seed(1))
    seen, unseen = x[:1_500], x[1_500:]
    before = weight.clone()
    fitted = dequantise_int4(*quantise_by_products(weight, moments_of(seen)), torch.float32)
    assert torch.equal(weight, before)
    nearest = dequantise_int4(*quantise_int4(weight), torch.float32)
    exact = unseen @ weight.T
    lost, lost_nearest = ((unseen @ found.T - exact).square().mean() for found in (fitted, nearest))
    assert lost < 0.5 * lost_nearest


def test_inputs_that_are_never_used_do_no_harm() -> None:
    weight = torch.randn(40, 128, generator=torch.Generator().manual_seed(2))
    nothing = dequantise_int4(*quantise_by_products(weight, torch.zeros(1, 128, 128)), torch.float32)
    assert torch.equal(nothing, dequantise_int4(*quantise_int4(weight), torch.float32))
    x = related_inputs(500, 128)
    x[:, 32:70] = 0
    found = dequantise_int4(*quantise_by_products(weight, moments_of(x)), torch.float32)
    assert (found - weight).abs().max() < 1
    broken = torch.full((1, 128, 128), torch.nan)
    with pytest.raises(UserError, match="no numbers"):
        quantise_by_products(torch.full((40, 128), torch.nan), broken)


def test_what_is_on_the_grid_stays() -> None:
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 16, (9, 128), generator=generator)
    values.view(9, 4, 32)[..., :2] = torch.tensor([0, 15])
    weight = (values - 8) * 0.25 + 0.5
    found = quantise_by_products(weight, moments_of(related_inputs(500, 128)))
    assert torch.equal(dequantise_int4(*found, torch.float32), weight)


def test_moments_are_those_of_the_inputs_behind_what_was_replaced(tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer)
    tokens = calibration_tokens(tokenizer)
    assert tokens.shape == (16, 256)
    plain = [(name, moments) for name, _, moments in layers_and_moments(model, tokens)]
    assert {name for name, _ in plain} == {
        name for name, module in model.model.named_modules(prefix="model") if isinstance(module, nn.Linear)
    }
    inputs: list[Tensor] = []
    last = model.get_submodule(plain[-1][0])
    handle = last.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    with torch.inference_mode():
        model(tokens)
    handle.remove()
    (x,) = inputs
    expected = moments_of(x.reshape(-1, x.shape[-1]))
    assert torch.allclose(plain[-1][1], expected, rtol=1e-3, atol=1e-4 * float(expected.max()))
    changed = copy.deepcopy(model)
    found = {}
    for name, layer, moments in layers_and_moments(changed, tokens):
        found[name] = moments
        if name.startswith("model.layers.0."):
            layer.weight.data.zero_()
    assert torch.equal(found["model.layers.0.down_proj"], dict(plain)["model.layers.0.down_proj"])
    assert not torch.allclose(found["model.layers.1.up_proj"], dict(plain)["model.layers.1.up_proj"])


@needs_kernels
def test_a_model_with_fitted_weights_is_nearer_to_the_whole_one(model: Llama, tokenizer: Tokenizer) -> None:
    # on what they are fitted to: the text is our own source, which changes, and the model is random
    tokens = calibration_tokens(tokenizer)
    losses = []
    with torch.inference_mode():
        expected = model.logits(model(tokens))
        for calibration in (None, calibration_tokens(tokenizer)):
            small = copy.deepcopy(model)
            hold_weights(small, "int4", calibration=calibration)
            assert sum(isinstance(module, QuantisedLinear) for module in small.modules()) == 11
            losses.append((small.logits(small(tokens)) - expected).square().mean())
    assert losses[1] < losses[0], losses


@needs_kernels
def test_loading_fits_int4_weights(
    model: Llama, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_folder(tmp_path / "model", model, model.config, tokenizer)
    fitted: list[tuple[int, ...]] = []

    def watch(weight: Tensor, moments: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        fitted.append(tuple(weight.shape))
        return quantise_by_products(weight, moments)

    target = "codecascade.generation.engine.weights.kernels.quantise_by_products"
    monkeypatch.setattr(target, watch)
    load_generator(str(tmp_path / "model"), precision="int8")
    assert not fitted
    load_generator(str(tmp_path / "model"), precision="int4")
    assert len(fitted) == 10
