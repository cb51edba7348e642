"""Attention of packed documents in bf16, whatever their lengths are and however many there are."""

from __future__ import annotations

import pytest
import torch

from codecascade.model.cpu import attention
from codecascade.model.cpu.attention import PackedAttention, groups_of

LENGTHS = {
    "one": (70,),
    "alike": (64,) * 5,
    "alike and odd": (33,) * 3,
    "mixed": (1, 64, 65, 150, 20, 33, 64, 2, 31, 97, 5),
    "some empty": (0, 12, 0, 40),
    "whole steps": (32, 64, 32, 64),
}


def attend(lengths: tuple[int, ...], heads: int, groups: int, dtype: torch.dtype) -> list[torch.Tensor]:
    """What documents attend to, and the gradients; in fp32 by PyTorch's own attention, one after another."""
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randn(sum(lengths), count, 16, generator=generator).bfloat16().to(dtype).requires_grad_()
        for count in (heads, groups, groups)
    ]
    outer = torch.randn(sum(lengths), heads, 16, generator=generator).bfloat16().to(dtype)
    if dtype == torch.bfloat16:
        attended = PackedAttention.apply(lengths, *inputs)
    else:
        attended = torch.cat(
            [
                torch.nn.functional.scaled_dot_product_attention(
                    *(part.transpose(0, 1)[None] for part in document), is_causal=True, enable_gqa=True
                )[0].transpose(0, 1)
                for document in zip(*(tensor.split(lengths) for tensor in inputs), strict=True)
                if len(document[0])
            ]
        )
    attended.backward(outer)
    return [attended.detach(), *(tensor.grad for tensor in inputs)]


@pytest.mark.parametrize("name", LENGTHS)
@pytest.mark.parametrize("heads, groups", [(4, 4), (6, 2)])
@pytest.mark.parametrize("most_scores", [1 << 21, 1 << 12])
def test_it_is_attention_within_each_document(
    monkeypatch: pytest.MonkeyPatch, name: str, heads: int, groups: int, most_scores: int
) -> None:
    monkeypatch.setattr(attention, "_MOST_SCORES", most_scores)
    groups_of.cache_clear()
    exact, found = (attend(LENGTHS[name], heads, groups, dtype) for dtype in (torch.float32, torch.bfloat16))
    groups_of.cache_clear()
    for right, mine in zip(exact, found, strict=True):
        assert mine.dtype == torch.bfloat16 and mine.isfinite().all()
        assert (mine.float() - right).norm() <= 0.02 * right.norm()


@pytest.mark.parametrize("name", LENGTHS)
def test_groups_hold_each_token_once(name: str) -> None:
    lengths = LENGTHS[name]
    packed = torch.arange(1, sum(lengths) + 1)[:, None, None]
    back, seen = torch.zeros_like(packed), 0
    for group in groups_of(lengths, 4):
        taken = group.take(packed)
        assert taken.shape == (group.count, group.length, 1, 1)
        group.put(back, taken)
        seen += group.count * group.length - (0 if group.padding is None else len(group.padding))
    assert torch.equal(back, packed) and seen == sum(lengths)


def test_few_shapes_for_all_lengths() -> None:
    shapes = {
        (group.count, group.length)
        for first in range(30, 130, 3)
        for group in groups_of((first, 400 - first, 40, 72, 512), 9)
    }
    assert len(shapes) < 25
