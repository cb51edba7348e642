"""The norm of a training step on a CPU in bf16."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from codecascade.model.cpu.norm import CastNorm, norm_is_cast_once
from codecascade.model.llama import RMSNorm


@pytest.mark.parametrize("shape", [(2, 7, 48), (2, 3, 4, 16)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_the_norm_and_its_gradients(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    start = (3 * torch.randn(shape, generator=generator)).to(dtype)
    outer = torch.randn(shape, generator=generator).bfloat16()
    x, exact = start.clone().requires_grad_(), start.double().requires_grad_()
    norm = RMSNorm(shape[-1], 1e-5)
    torch.nn.init.uniform_(norm.weight, 0.5, 2, generator=generator)
    weight = norm.weight.detach().double().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = norm(x)
    found.backward(outer)
    expected = F.rms_norm(exact, weight.shape, weight, 1e-5)
    expected.backward(outer.double())
    assert found.dtype == torch.bfloat16 and x.grad.dtype == dtype and norm.weight.grad.dtype == torch.float32
    # bf16 rounds to 8 bits
    torch.testing.assert_close(found.double(), expected, rtol=2**-8, atol=0)
    for gradient, right in ((x.grad, exact.grad), (norm.weight.grad, weight.grad)):
        bound = 2**-8 if gradient.dtype == torch.bfloat16 else 1e-5
        torch.testing.assert_close(gradient.double(), right, rtol=bound, atol=1e-5)


def test_a_frozen_weight_gets_no_gradient() -> None:
    x, weight = torch.randn(2, 8, requires_grad=True), torch.ones(8)
    CastNorm.apply(x, weight, 1e-5).sum().backward()
    assert weight.grad is None and x.grad is not None


def test_only_products_in_bf16_want_it() -> None:
    x, weight = torch.ones(2, 8), torch.ones(8)
    assert not norm_is_cast_once(x, weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert norm_is_cast_once(x, weight)
        with torch.no_grad():
            assert not norm_is_cast_once(x, weight)
    with torch.autocast("cpu", torch.float16):
        assert not norm_is_cast_once(x, weight)
