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
