"""A linear layer with a low-rank update, forward and backward."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from codecascade.training.lora import LoRALinear

SCALE = 2.0


def layer(dtype: torch.dtype, bias: bool) -> LoRALinear:
    generator = torch.Generator().manual_seed(0)
    made = LoRALinear(nn.Linear(48, 40, bias=bias), 8, SCALE)
    made.lora_a, made.lora_b = (
        nn.Parameter(0.2 * torch.randn(shape, generator=generator)) for shape in ((8, 48), (40, 8))
    )
    made.weight = nn.Parameter(
        (0.2 * torch.randn(40, 48, generator=generator)).to(dtype), requires_grad=False
    )
    if bias:
        made.bias = nn.Parameter(torch.randn(40, generator=generator).to(dtype), requires_grad=False)
    return made


def inputs(dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(3, 50, 48, generator=generator).bfloat16().to(dtype)
    outer = torch.randn(3, 50, 40, generator=generator).bfloat16().to(dtype)
    return x.requires_grad_(), outer


def by_definition(made: LoRALinear, x: Tensor, outer: Tensor) -> list[Tensor]:
    """What the layer and its gradients are, in fp64."""
    exact, (a, b) = (
        x.detach().double().requires_grad_(),
        (part.detach().double().requires_grad_() for part in (made.lora_a, made.lora_b)),
    )
    out = exact @ (made.weight.double() + SCALE * b @ a).T
    if made.bias is not None:
        out = out + made.bias.double()
    out.backward(outer.double())
    return [out.detach(), *(tensor.grad for tensor in (exact, a, b))]


def apart(layers: Tensor, x: Tensor, b: Tensor) -> Tensor:
    """The update as an addend of its own, in bf16, as it is where layers are compiled."""
    return torch.nn.functional.linear(torch.nn.functional.linear(x, layers) * SCALE, b)


@pytest.mark.parametrize("bias", [False, True])
def test_it_is_the_sum_of_both_and_has_its_gradients(bias: bool) -> None:
    made, (x, outer) = layer(torch.float32, bias), inputs(torch.float32)
    out = made(x)
    out.backward(outer)
    found = [out.detach(), x.grad, made.lora_a.grad, made.lora_b.grad]
    for mine, right in zip(found, by_definition(made, x, outer), strict=True):
        torch.testing.assert_close(mine.double(), right, rtol=1e-4, atol=1e-4)
    assert made.weight.grad is None


def test_in_bf16_it_errs_no_more_than_a_separate_update() -> None:
    made, (x, outer) = layer(torch.bfloat16, False), inputs(torch.bfloat16)
    right = by_definition(made, x, outer)
    errors = []
    for separate in (False, True):
        for tensor in (x, made.lora_a, made.lora_b):
            tensor.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            if separate:
                out = torch.nn.functional.linear(x, made.weight) + apart(made.lora_a, x, made.lora_b)
            else:
                out = made(x)
        out.backward(outer)
        found = [out.detach(), x.grad, made.lora_a.grad, made.lora_b.grad]
        errors.append(
            [
                float((mine.double() - exact).norm() / exact.norm())
                for mine, exact in zip(found, right, strict=True)
            ]
        )
    for mine, separate in zip(*errors, strict=True):
        assert mine < 0.01 and mine <= 1.1 * separate, errors
