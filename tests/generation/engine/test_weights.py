"""Quantised weights: what they lose, what the kernels make of them, and what is refused."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from engine_models import CODE, NEVER, by_request, prompts
from hypothesis import given, settings
from hypothesis import strategies as st
from quantised_models import KINDS, needs_kernels, quantised_model
from torch import Tensor

from codecascade.generation.engine.generator import LocalGenerator, load_generator
from codecascade.generation.engine.weights import kernels, layers
from codecascade.generation.engine.weights.fused import fuse
from codecascade.generation.engine.weights.held import hold_weights
from codecascade.generation.engine.weights.kernels import QuantisedType, quantise, why_not
from codecascade.generation.engine.weights.layers import QuantisedLinear
from codecascade.generation.engine.weights.memory import weight_bytes
from codecascade.generation.engine.weights.packed import can_pack, pack_weights
from codecascade.generation.engine.weights.quantise import (
    GROUP_SIZE,
    dequantise_int4,
    dequantise_int8,
    quantise_int4,
    quantise_int8,
)
from codecascade.generation.loading import load_backend
from codecascade.generation.requests import Request, SamplingParams
from codecascade.ground.errors import UserError
from codecascade.model.folder import save_folder
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer


@st.composite
def weights(draw: st.DrawFn) -> Tensor:
    """Weights of all magnitudes: rows that are far from the others, groups that are constant, zeros."""
    rows, groups = draw(st.integers(1, 70)), draw(st.integers(1, 4))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    weight = torch.randn(rows, groups * GROUP_SIZE, generator=generator)
    weight *= 10.0 ** torch.randint(-6, 3, (rows, 1), generator=generator)
    weight += draw(st.sampled_from([0.0, 0.5, -30.0]))
    weight[torch.randint(rows, (1,), generator=generator), :GROUP_SIZE] = draw(
        st.sampled_from([0.0, 1.0, -0.37, 1e-30])
    )
    return weight.to(draw(st.sampled_from([torch.float32, torch.bfloat16])))


@given(weights())
@settings(max_examples=50)
def test_no_weight_in_int8_is_off_by_more_than_half_a_scale(weight: Tensor) -> None:
    values, scales = quantise_int8(weight)
    error = (dequantise_int8(values, scales, torch.float32) - weight.float()).abs()
    assert (error <= scales.float()[:, None] * 0.5001).all()
    # the scale is as small as bf16 allows
    largest = weight.float().abs().amax(1)
    assert (scales.float() <= (largest / 127 * (1 + 2**-7)).clamp(min=torch.finfo(torch.bfloat16).tiny)).all()


@given(weights(), st.booleans())
@settings(max_examples=50)
def test_an_int4_group_is_never_worse_than_by_its_least_and_largest_weight(
    weight: Tensor, weighted: bool
) -> None:
    columns = weight.shape[1]
    importance = torch.rand(columns, generator=torch.Generator().manual_seed(1)) if weighted else None
    values, scales, zeros = quantise_int4(weight, importance=importance)
    assert values.max() <= 15 and scales.min() > 0
    found = dequantise_int4(values, scales, zeros, torch.float32)
    groups = weight.float().view(len(weight), -1, GROUP_SIZE)
    least, most = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = ((most - least) / 15).clamp(min=1e-37)
    plain = ((groups - least) / scale).round() * scale + least
    counts = torch.ones(columns) if importance is None else importance.clamp(min=0.01 * importance.mean())
    counts = counts.view(-1, GROUP_SIZE)
    lost = ((found.view_as(groups) - groups).square() * counts).sum(-1)
    # what bf16 makes of scale and zero comes on top
    rounding = (15 * scale[..., 0] / 256 + most.abs()[..., 0] / 128).square() * counts.sum(-1)
    assert (lost <= ((plain - groups).square() * counts).sum(-1) + rounding + 1e-30).all()


def test_important_columns_of_an_int4_group_are_the_nearer_ones() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(64, 4 * GROUP_SIZE, generator=generator)
    importance = torch.ones(4 * GROUP_SIZE)
    importance[::7] = 1000
    lost = []
    for counts in (None, importance):
        found = dequantise_int4(*quantise_int4(weight, importance=counts), torch.float32)
        lost.append((found - weight).square().mean(0))
    assert lost[1][::7].mean() < 0.7 * lost[0][::7].mean()
    assert lost[0].mean() < lost[1].mean()


def test_a_search_gains_over_the_least_and_the_largest_weight() -> None:
    weight = torch.randn(64, 4 * GROUP_SIZE, generator=torch.Generator().manual_seed(4))
    groups = weight.view(64, -1, GROUP_SIZE)
    least, most = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    scale = (most - least) / 15
    plain = (((groups - least) / scale).round() * scale + least - groups).square().mean()
    found = dequantise_int4(*quantise_int4(weight), torch.float32)
    assert (found - weight).square().mean() < 0.85 * plain


def test_what_is_on_the_grid_stays() -> None:
    """Weights that were quantised before, such as those of a Q4 file, lose nothing."""
    generator = torch.Generator().manual_seed(0)
    values = torch.randint(0, 16, (9, 4 * GROUP_SIZE), generator=generator)
    values.view(9, 4, GROUP_SIZE)[..., :2] = torch.tensor([0, 15])
    weight = (values - 8) * 0.25 + 0.5
    assert torch.equal(dequantise_int4(*quantise_int4(weight), torch.float32), weight)
    eight = torch.randint(-127, 128, (9, 64), generator=generator)
    eight[:, 0] = 127
    assert torch.equal(dequantise_int8(*quantise_int8(eight * 0.5), torch.float32), eight * 0.5)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 32), (16, 64), (70, 96), (130, 160), (201, 320)])
def test_products_are_those_of_the_dequantised_weight(kind: QuantisedType, shape: tuple[int, int]) -> None:
    """For any number of rows and out features, also such as are no multiple of the kernel's blocks."""
    generator = torch.Generator().manual_seed(1)
    weight = quantise(torch.randn(shape, generator=generator) * 0.1, kind)
    meant = weight.dequantise(torch.float32)
    assert weight.shape == meant.shape == shape
    for rows in (1, 2, 5, 33):
        x = torch.randn(rows, shape[1], generator=generator).bfloat16()
        expected = x.float() @ meant.T
        found = weight.product(x)
        assert found.shape == expected.shape and found.dtype == torch.bfloat16
        assert (found.float() - expected).abs().max() <= 0.01 * expected.abs().max()


@needs_kernels
def test_int4_is_unpacked_from_the_kernels_layout() -> None:
    weight = torch.randn(130, 96, generator=torch.Generator().manual_seed(2))
    expected = dequantise_int4(*quantise_int4(weight), torch.float32)
    assert torch.equal(quantise(weight, "int4").dequantise(torch.float32), expected)


@needs_kernels
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("copied", [False, True])
def test_few_rows_and_many_give_the_same_but_for_rounding(
    kind: QuantisedType, dtype: torch.dtype, copied: bool
) -> None:
    if copied and not can_pack(torch.device("cpu"), dtype):
        pytest.skip("this PyTorch has no such kernels")
    generator = torch.Generator().manual_seed(3)
    bias = torch.randn(70, generator=generator).to(dtype)
    weight = quantise(torch.randn(70, 96, generator=generator) * 0.1, kind)
    layer = QuantisedLinear(weight, bias, dtype)
    if copied:
        layer.keep_copy()
    x = torch.randn(2, 3, 96, generator=generator).to(dtype)
    expected = x.float() @ weight.dequantise(torch.float32).T + bias.float()
    with torch.inference_mode():
        for layer.few_rows in (0, 5, 6):
            found = layer(x)
            assert found.dtype == dtype and found.shape == (2, 3, 70)
            torch.testing.assert_close(found.float(), expected, atol=0.05, rtol=0.02)


@needs_kernels
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_model_computes_with_the_weights_that_its_layers_say(
    tokenizer: Tokenizer, kind: QuantisedType, keep: bool, tied: bool
) -> None:
    """The reference is the plain model with dequantised weights, so what quantisation loses is not in the way."""
    plain = quantised_model(tokenizer, tied)
    small = copy.deepcopy(plain)
    about = hold_weights(small, kind, keep_copies=keep)
    assert about.kind == kind and isinstance(about.few_rows, int)
    # with the same layers
    assert len(list(fuse(plain))) > 0
    for name, module in small.named_modules():
        if isinstance(module, QuantisedLinear) and name != "lm_head":
            plain.get_submodule(name).weight.data = module.weight.dequantise(torch.float32)
    table = small.model.embed_tokens.table.dequantise(torch.float32)
    plain.model.embed_tokens.weight.data = table
    if not tied:
        plain.lm_head.weight.data = small.lm_head.weight.dequantise(torch.float32)
    with torch.inference_mode():
        for rows, length in ((1, 1), (2, 40)):
            tokens = torch.arange(rows * length).view(rows, length) % plain.config.vocab_size
            expected = plain.logits(plain(tokens))
            found = small.logits(small(tokens))
            assert (found - expected).abs().max() <= 0.03 * expected.abs().max()


@needs_kernels
@pytest.mark.parametrize(("kind", "most_lost", "agreeing"), [("int8", 0.05, 0.9), ("int4", 0.5, 0.4)])
def test_greedy_text_stays_close(
    model: Llama, tokenizer: Tokenizer, kind: QuantisedType, most_lost: float, agreeing: float
) -> None:
    """After the plain model's own text most tokens are its own; random weights are the hardest to quantise."""
    requests = [Request(ids, SamplingParams(max_new_tokens=12), stop_ids=NEVER) for ids in prompts(tokenizer)]
    plain = by_request(list(LocalGenerator(model, tokenizer).generate(requests)))
    small = copy.deepcopy(model)
    hold_weights(small, kind)
    agreed = []
    for place, request in enumerate(requests):
        ids = torch.tensor([[*request.ids, *plain[place, 0].ids[:-1]]])
        with torch.inference_mode():
            found, expected = small.logits(small(ids))[0], model.logits(model(ids))[0]
        assert (found - expected).square().mean().sqrt() <= most_lost * expected.std()
        agreed += (found.argmax(-1) == expected.argmax(-1))[len(request.ids) - 1 :].tolist()
    assert len(agreed) == 12 * len(requests) and sum(agreed) >= agreeing * len(agreed)


@pytest.mark.parametrize("kind", ["fp32", "auto"])
def test_without_quantisation_every_bit_stays(tokenizer: Tokenizer, kind: str) -> None:
    plain = quantised_model(tokenizer, tied=True)
    packed = copy.deepcopy(plain)
    about = hold_weights(plain, kind, timed=True)
    if can_pack(torch.device("cpu"), torch.float32):
        pack_weights(packed)
    assert (about.kind, about.copy_bytes, about.few_rows) == ("fp32", 0, None)
    tokens = torch.arange(40)[None]
    with torch.inference_mode():
        assert torch.equal(plain.logits(plain(tokens)), packed.logits(packed(tokens)))


@needs_kernels
def test_memory_is_counted(tokenizer: Tokenizer) -> None:
    model = quantised_model(tokenizer, tied=True)
    matrices = sum(
        module.weight.numel()
        for module in model.model.layers.modules()
        if isinstance(module, torch.nn.Linear)
    )
    rows, hidden = model.head_weight.shape
    rest = sum(p.nbytes for name, p in model.named_parameters() if "norm" in name or "bias" in name)
    outs = sum(
        module.weight.shape[0]
        for module in model.model.layers.modules()
        if isinstance(module, torch.nn.Linear)
    )
    without, kept = copy.deepcopy(model), copy.deepcopy(model)
    hold_weights(without, "int8", keep_copies=False)
    # the tied head's table is there once
    expected = matrices + 2 * outs + rows * (hidden + 2) + rest
    assert weight_bytes(without) == (expected, 0)
    for module in kept.modules():
        assert not isinstance(module, QuantisedLinear)
    hold_weights(kept, "int8", keep_copies=False)
    for module in list(kept.modules()):
        if isinstance(module, QuantisedLinear):
            module.keep_copy()
    assert weight_bytes(kept) == (expected, 4 * (matrices + rows * hidden))


@pytest.mark.parametrize("kind", KINDS)
def test_a_machine_without_the_kernel_says_so(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, kind: QuantisedType
) -> None:
    def missing(self: object, x: Tensor) -> Tensor:
        raise NotImplementedError("no such operator\nand a long explanation")

    def wrong(self: object, x: Tensor) -> Tensor:
        return torch.ones(len(x), 72, dtype=torch.bfloat16)

    target = kernels.Int8Weight if kind == "int8" else kernels.Int4Weight
    for product, words in ((missing, "has no .* kernel .*no such operator"), (wrong, "wrong products")):
        monkeypatch.setattr(target, "product", product)
        why_not.cache_clear()
        try:
            with pytest.raises(UserError, match=f"(?s){words}.*take bf16 or fp32"):
                hold_weights(quantised_model(tokenizer, tied=True), kind)
        finally:
            why_not.cache_clear()


@needs_kernels
def test_commands_load_quantised_weights_and_say_so(
    model: Llama, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    save_folder(tmp_path / "model", model, model.config, tokenizer)
    generator = load_generator(str(tmp_path / "model"), precision="int4")
    assert generator.weights is not None and generator.weights.kind == "int4"
    request = Request(tuple(tokenizer.encode(CODE)[:50]), SamplingParams(max_new_tokens=5), stop_ids=NEVER)
    assert [len(done.ids) for done in generator.generate([request])] == [5]
    assert len(next(iter(generator.log_probabilities([request.ids])))[1]) == len(request.ids) - 1
    about = load_backend(str(tmp_path / "model"), precision="int8").describe()
    assert about["quantisation"] == "int8"
    assert "quantisation" not in load_backend(str(tmp_path / "model")).describe()


def test_plain_layers_are_packed_where_that_can_be_done() -> None:
    packs = can_pack(torch.device("cpu"), torch.float32)
    layer = layers.as_linear(torch.eye(16, 32), None)
    assert isinstance(layer, layers.PackedLinear if packs else layers.PlainLinear)
    assert torch.equal(layer(torch.arange(32.0)[None]), torch.arange(16.0)[None])
    assert layers.linear_bytes(layer) == 16 * 32 * 4
