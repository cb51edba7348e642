"""Weights in a CPU's own layout: the same products, in few shapes."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from codecascade.generation.engine.weights.packed import PackedLinear, can_pack, padded_rows


def test_few_shapes_and_few_rows_too_many() -> None:
    padded = {rows: padded_rows(rows) for rows in range(1, 4097)}
    assert all(rows <= most <= rows * 9 / 8 for rows, most in padded.items())
    assert all(padded[rows] == rows for rows in range(1, 17))
    # Each one costs memory and time for each weight.
    assert len(set(padded.values())) < 90


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [False, True])
def test_products_are_those_of_the_plain_weight(dtype: torch.dtype, bias: bool) -> None:
    if not can_pack(torch.device("cpu"), dtype):
        pytest.skip("this machine's PyTorch has no kernels for packed weights")
    torch.manual_seed(0)
    weight = torch.randn(48, 32, dtype=dtype)
    added = torch.randn(48, dtype=dtype) if bias else None
    layer = PackedLinear(weight, added)
    tolerance = 1e-5 if dtype == torch.float32 else 3e-2
    with torch.inference_mode():
        for shape in ((1, 32), (17, 32), (1, 1, 32), (1, 37, 32), (2, 19, 32), (1, 300, 32)):
            x = torch.randn(shape, dtype=dtype)
            expected = functional.linear(x, weight, added)
            torch.testing.assert_close(layer(x), expected, rtol=tolerance, atol=tolerance * 10)


@pytest.mark.parametrize("bias", [False, True])
def test_few_rows_from_the_plain_weight_are_the_same_products(bias: bool) -> None:
    if not can_pack(torch.device("cpu"), torch.float32):
        pytest.skip("this machine's PyTorch has no kernels for packed weights")
    torch.manual_seed(0)
    weight, added = torch.randn(48, 32), torch.randn(48) if bias else None
    layers = PackedLinear(weight, added), PackedLinear(weight, added, plain_rows=3)
    assert layers[0].plain is None
    with torch.inference_mode():
        for rows in (1, 3, 4, 40):
            x, other = torch.randn(1, rows, 32), torch.randn(1, rows, 48)
            torch.testing.assert_close(layers[1](x), layers[0](x), rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(layers[1].silu(x), layers[0].silu(x), rtol=1e-5, atol=1e-5)
            for name in ("plus", "times"):
                found, expected = (getattr(layer, name)(x, other) for layer in layers)
                torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
        # what is packed is not read for few rows
        layers[1].weight = None
        assert layers[1](torch.ones(3, 32)).shape == (3, 48)
