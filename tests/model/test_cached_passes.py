"""A pass over new tokens with a cache is the pass over all of them."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from token_rows import empty_cache, random_tokens
from torch import Tensor

from codecascade.model import paged_attention
from codecascade.model.attention import Documents
from codecascade.model.cache import BlockCopy, KeyValueCache
from codecascade.model.llama import Llama
from codecascade.model.paged import rows

MakeModel = Callable[..., Llama]


@torch.no_grad()
def test_cache_gives_the_full_forward_pass(make_model: MakeModel, variant: dict[str, Any]) -> None:
    """A prefill, a chunk on top of it and single steps: together as if all had come at once."""
    model = make_model(**variant)
    tokens = random_tokens(model, 3, 40)
    cache = empty_cache(model, 3)
    parts = tokens.split([20, 17, 1, 1, 1], dim=1)
    stepwise = torch.cat([model(part, cache=cache) for part in parts], 1)
    assert cache.lengths == [40] * 3
    torch.testing.assert_close(stepwise, model(tokens), atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_left_padded_rows_are_as_alone(make_model: MakeModel, variant: dict[str, Any]) -> None:
    model = make_model(**variant)
    tokens = random_tokens(model, 3, 24)
    lengths = torch.tensor([24, 17, 5])
    start = tokens.shape[1] - lengths
    columns = torch.arange(24)
    real = columns >= start[:, None]
    causal = columns[:, None] >= columns
    # a padding token attends to itself, or its row of the softmax would be empty
    mask = (real[:, None, None] | torch.eye(24, dtype=torch.bool)) & causal
    hidden = model(tokens, positions=(columns - start[:, None]).clamp(min=0), mask=mask)
    for row, length in enumerate(lengths.tolist()):
        alone = model(tokens[row, -length:][None])[0]
        torch.testing.assert_close(hidden[row, -length:], alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "passes",
    [
        [(24, 17, 5, 9), *[(1, 1, 1, 1)] * 4],
        [(24, 3, 0, 0), (0, 14, 5, 7), (1, 0, 1, 2), (1, 1, 0, 1), (1, 1, 1, 0), (3, 1, 1, 0)],
    ],
)
@torch.no_grad()
def test_rows_of_a_cache_have_lengths_of_their_own(
    make_model: MakeModel, variant: dict[str, Any], passes: list[tuple[int, ...]]
) -> None:
    """Packed passes, in which a row may have any number of new tokens, give each row what it is alone."""
    model = make_model(**variant)
    tokens = random_tokens(model, 4, 40)
    cache = empty_cache(model, 4)
    found: list[list[torch.Tensor]] = [[], [], [], []]
    for new in passes:
        parts = [
            row[done : done + count] for row, done, count in zip(tokens, cache.lengths, new, strict=True)
        ]
        hidden = model(torch.cat(parts)[None], cache=cache, mask=Documents(new))[0]
        for row, part in enumerate(hidden.split(list(new))):
            found[row].append(part)
    assert cache.lengths == [sum(new) for new in zip(*passes, strict=True)]
    for row, length in enumerate(cache.lengths):
        alone = model(tokens[row, :length][None])[0]
        torch.testing.assert_close(torch.cat(found[row]), alone, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_rows_share_blocks_and_need_no_neighbours(make_model: MakeModel, dtype: torch.dtype) -> None:
    """Rows repeated, reordered and cut, on blocks in any order, some of them filled in the very same pass."""
    model = make_model().to(dtype)
    accuracy = {"atol": 1e-4, "rtol": 1e-4} if dtype == torch.float32 else {"atol": 0.1, "rtol": 0.1}
    tokens = random_tokens(model, 2, 23)
    cache = KeyValueCache.allocate_blocks(model.config, 12, dtype, tokens.device, block_size=4)
    tables = [[7, 2, 11, 0, 5, 1], [7, 2, 11, 9, 3, 4]]
    same = torch.cat((tokens[0, :12], tokens[1, 12:]))
    cache = cache.rows(tables, [0, 12])
    packed = torch.cat((tokens[0, :20], same[12:20]))[None]
    found = model(packed, cache=cache, mask=Documents((20, 8)))[0]
    alone = [model(row[None])[0] for row in (tokens[0], same)]
    torch.testing.assert_close(found[:20], alone[0][:20], **accuracy)
    torch.testing.assert_close(found[20:], alone[1][12:20], **accuracy)
    picked = cache.rows([tables[1], tables[0]], [20, 19])
    found = model(torch.stack((same[20], tokens[0, 19]))[None], cache=picked, mask=Documents((1, 1)))[0]
    torch.testing.assert_close(found, torch.stack((alone[1][20], alone[0][19])), **accuracy)
    copied = picked.rows([[*tables[1][:5], 8]], [22])
    model(same[21][None, None], cache=picked.rows([tables[1]], [21]), mask=Documents((1,)))
    copied.copy_blocks([BlockCopy(4, 8, 2)])
    copied.clear_blocks([4])
    found = model(same[22][None, None], cache=copied, mask=Documents((1,)))[0]
    torch.testing.assert_close(found, alone[1][22:], **accuracy)


@pytest.mark.parametrize("worth", [0, 10_000])
@pytest.mark.parametrize("at_once", [1, 60, 10_000])
@torch.no_grad()
def test_a_beginning_that_rows_share_is_read_once(
    make_model: MakeModel, worth: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples of two prompts, in bf16: near fp32, whether what they share is read apart, and some or all at once."""
    monkeypatch.setattr(paged_attention, "_WORTH_A_CALL", worth)
    model = make_model()
    of_token = model.config.num_key_value_heads * model.config.head_dim * 2
    monkeypatch.setattr(paged_attention, "_GATHERED_AT_ONCE", at_once * of_token)
    tokens = random_tokens(model, 7, 40)
    tokens[1:4, :16], tokens[5:, :9] = tokens[0, :16], tokens[4, :9]
    exact = torch.cat([model(row[None])[0, -5:] for row in tokens])
    half = deepcopy(model).bfloat16()
    cache = KeyValueCache.allocate_blocks(model.config, 80, torch.bfloat16, tokens.device, block_size=4)
    own = iter(range(10, 80))
    tables = [[*[[3, 4, 5, 7], [8, 1]][row > 3], *(next(own) for _ in range(8))] for row in range(7)]
    cache = cache.rows(tables, [0] * 7)
    half(tokens[:, :-5].flatten()[None], cache=cache, mask=Documents((35,) * 7))
    found = [half(tokens[None, :, at], cache=cache, mask=Documents((1,) * 7))[0] for at in range(-5, 0)]
    error = torch.stack(found, 1).flatten(0, 1).float() - exact
    assert error.norm() / exact.norm() < 0.06


@pytest.mark.parametrize("common", [0, 12])
@pytest.mark.parametrize("at_once", [1, 19, 60, 100, 240])
@torch.no_grad()
def test_no_more_is_gathered_at_once_than_the_limit(
    make_model: MakeModel, common: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Padding counts: numbers of rows and of blocks that recur are up to half and a quarter larger."""
    model = make_model().bfloat16()
    limit = at_once * model.config.num_key_value_heads * model.config.head_dim
    monkeypatch.setattr(paged_attention, "_GATHERED_AT_ONCE", 2 * limit)
    monkeypatch.setattr(paged_attention, "_WORTH_A_CALL", 8 if common else 10_000)
    gather = rows._gather
    sizes: list[int] = []
    alone = 0

    def watched(memory: Tensor, blocks: Tensor, count: int) -> Tensor:
        nonlocal alone
        found = gather(memory, blocks, count)
        if count > 1:
            sizes.append(found[0].numel())
        else:
            alone += 1
        return found

    monkeypatch.setattr(rows, "_gather", watched)
    device = next(model.parameters()).device
    cache = KeyValueCache.allocate_blocks(model.config, 200, torch.bfloat16, device, block_size=1)
    tables = [[*range(common), *range(common + row * 9, common + row * 9 + 9)] for row in range(17)]
    cache = cache.rows(tables, [common + 8] * 17)
    model(torch.ones(1, 17, dtype=torch.int64), cache=cache, mask=Documents((1,) * 17))
    assert max(sizes, default=0) <= limit
    # what has room is gathered together; a row alone is read where it is
    assert bool(sizes) == (at_once > 19) and (common or not alone)


def test_cache_refuses_what_does_not_fit(make_model: MakeModel) -> None:
    model = make_model()
    with pytest.raises(ValueError, match="9 tokens"):
        model(random_tokens(model, 1, 9), cache=empty_cache(model, 1, capacity=8))


def test_what_a_cache_can_not_go_on_with_is_refused(make_model: MakeModel) -> None:
    model, tokens = make_model(), torch.ones(1, 4, dtype=torch.int64)
    with pytest.raises(ValueError, match="padding"):
        model(tokens, mask=torch.ones(1, 1, 4, 4, dtype=torch.bool), cache=empty_cache(model, 1))
    with pytest.raises(ValueError, match="2 documents for the 3 rows"):
        model(tokens, mask=Documents((2, 2)), cache=empty_cache(model, 3))


@pytest.mark.parametrize("short", [0, 20, 1_000])
@pytest.mark.parametrize("gathered", [1, 64, 10_000])
@torch.no_grad()
def test_fp32_rows_that_are_gathered_or_not(
    make_model: MakeModel, short: int, gathered: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next token of rows of several lengths, some of which begin alike: limits in tokens change nothing."""
    model = make_model()
    of_token = model.config.num_key_value_heads * model.config.head_dim * 4
    monkeypatch.setattr(paged_attention, "_SHORT_ROW", short * of_token)
    monkeypatch.setattr(paged_attention, "_GATHERED", gathered * of_token)
    monkeypatch.setattr(paged_attention, "_WORTH_A_CALL", 8)
    tokens = random_tokens(model, 6, 40)
    tokens[1:3, :16] = tokens[0, :16]
    lengths = [30, 18, 39, 3, 11, 25]
    cache = KeyValueCache.allocate_blocks(model.config, 80, torch.float32, tokens.device, block_size=4)
    tables = [[row * 10 + index for index in range(10)] for row in range(6)]
    for row in (1, 2):
        tables[row][:4] = tables[0][:4]
    cache = cache.rows(tables, [0] * 6)
    packed = torch.cat([row[:length] for row, length in zip(tokens, lengths, strict=True)])
    model(packed[None], cache=cache, mask=Documents(tuple(lengths)))
    following = torch.stack([row[length] for row, length in zip(tokens, lengths, strict=True)])
    found = model(following[None], cache=cache, mask=Documents((1,) * 6))[0]
    alone = [model(row[None, : length + 1])[0, -1] for row, length in zip(tokens, lengths, strict=True)]
    torch.testing.assert_close(found, torch.stack(alone), atol=1e-4, rtol=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="reads how much memory is taken from /proc")
def test_a_cache_takes_memory_as_it_is_used(make_model: MakeModel) -> None:
    """Not a large page for each head of each layer, as soon as the first token is there."""
    config = replace(make_model().config, num_hidden_layers=8, num_key_value_heads=4, head_dim=32)

    def taken() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    cache = KeyValueCache.allocate_blocks(config, 4096, torch.float32, torch.device("cpu"))
    before, whole = taken(), sum(layer.nbytes for layer in cache.memory)
    assert whole == 2**29
    for memory in cache.memory:
        memory[:, :, 0] = 1
    # 64 heads' keys or values, of a block each: large pages would be 128 MB
    assert taken() - before < 16 << 20
    assert all(bool((memory[:, :, 1:3] == 0).all()) for memory in cache.memory)
