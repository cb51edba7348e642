"""A rotation of many numbers is made in another way than one of few, and has a gradient of its own."""

from __future__ import annotations

import pytest
import torch

from codecascade.model import rope
from codecascade.model.presets import PRESETS
from codecascade.model.rope import rotate, rotation


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_both_ways_have_the_same_numbers(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype) -> None:
    config = PRESETS["smollm2-135m"]
    cos, sin = rotation(config, torch.arange(100, 112))
    generator = torch.Generator().manual_seed(0)
    start, outer = (torch.randn(2, 12, 3, config.head_dim, generator=generator).to(dtype) for _ in range(2))
    results = []
    for many in (1, 1 << 30):
        monkeypatch.setattr(rope, "_MANY", many)
        x = start.clone().requires_grad_()
        turned = rotate(x, cos, sin)
        turned.backward(outer)
        results.append((turned.detach(), x.grad))
    bound = {"rtol": 2**-7, "atol": 2**-7} if dtype == torch.bfloat16 else {"rtol": 1e-5, "atol": 1e-6}
    for mine, plain in zip(*results, strict=True):
        assert mine.dtype == dtype
        torch.testing.assert_close(mine, plain, **bound)
