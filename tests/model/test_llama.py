"""The architecture gives transformers' logits, with and without a cache."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
import torch
from model_variants import VARIANTS
from transformers import AutoConfig, AutoModelForCausalLM

from codecascade.model import paged_attention
from codecascade.model.attention import Documents, attend_last, attend_within
from codecascade.model.cache import BlockCopy, KeyValueCache
from codecascade.model.llama import Llama, document_mask
from codecascade.model.loss import next_token_loss
from codecascade.model.paged_attention import attend_once
from codecascade.model.presets import build, initialise
from codecascade.model.rope_scaling import RopeScaling

MakeModel = Callable[..., Llama]


def reference(model: Llama) -> Any:
    """transformers' model with the same weights."""
    values = model.config.to_hf()
    config = AutoConfig.for_model(values.pop("model_type"), **values, pad_token_id=None)
    theirs = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
    missing, unexpected = theirs.load_state_dict(model.state_dict(), strict=False)
    assert not unexpected and set(missing) <= {"lm_head.weight"}
    return theirs.eval()


def random_tokens(model: Llama, rows: int, length: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(model.config.vocab_size, (rows, length), generator=generator)


def empty_cache(model: Llama, rows: int, capacity: int = 96) -> KeyValueCache:
    weight = model.head_weight
    return KeyValueCache.allocate(model.config, rows, capacity, weight.dtype, weight.device)


@torch.no_grad()
def test_logits_are_those_of_transformers(make_model: MakeModel, variant: dict[str, Any]) -> None:
    model = make_model(**variant)
    tokens = random_tokens(model, 2, 90)
    ours = model.logits(model(tokens))
    theirs = reference(model)(tokens).logits
    assert theirs.std() > 0.5
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@torch.no_grad()
def test_bf16_logits_are_as_near_to_the_exact_ones_as_transformers_are(
    make_model: MakeModel, variant: dict[str, Any]
) -> None:
    model = make_model(**variant)
    tokens = random_tokens(model, 2, 60)
    exact = model.logits(model(tokens))
    model.bfloat16()
    theirs = reference(model).bfloat16()(tokens).logits.float()
    ours = model.logits(model(tokens)).float()
    assert (ours - exact).norm() < 1.2 * (theirs - exact).norm()
    assert (ours - exact).norm() / exact.norm() < 0.1


OTHER_VALUES: dict[str, dict[str, Any]] = {
    "granite": dict.fromkeys(
        ("embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling"), 1.0
    ),
    "smollm3": {"no_rope_layers": (1, 0, 1, 1)},
}


@pytest.mark.parametrize(
    ("model_type", "change"), [(kind, change) for kind, changes in OTHER_VALUES.items() for change in changes]
)
@torch.no_grad()
def test_every_setting_of_a_model_type_changes_the_logits(
    make_model: MakeModel, model_type: str, change: str
) -> None:
    model = make_model(**VARIANTS[model_type])
    changed = Llama(replace(model.config, **{change: OTHER_VALUES[model_type][change]}))
    changed.load_state_dict(model.state_dict())
    tokens = random_tokens(model, 1, 60)
    assert (model.logits(model(tokens)) - changed.logits(changed(tokens))).abs().max() > 1e-2


@torch.no_grad()
def test_the_norms_of_queries_and_keys_change_the_logits(make_model: MakeModel) -> None:
    model = make_model(model_type="qwen3")
    tokens = random_tokens(model, 1, 60)
    before = model(tokens)
    for name in ("q_norm", "k_norm"):
        changed = make_model(model_type="qwen3")
        getattr(changed.model.layers[0].self_attn, name).weight.mul_(torch.linspace(0.5, 2, 8))
        assert (changed(tokens) - before).abs().max() > 1e-2


@pytest.mark.parametrize("change", ["rope_theta", "rope_scaling", "rms_norm_eps", "num_key_value_heads"])
@torch.no_grad()
def test_every_setting_is_heard(make_model: MakeModel, change: str) -> None:
    """The parity test can fail: another value of the setting gives other logits."""
    other = {
        "rope_theta": 1e5,
        "rope_scaling": RopeScaling("linear", 2.0),
        "rms_norm_eps": 0.1,
        "num_key_value_heads": None,
    }[change]
    model = make_model()
    tokens = random_tokens(model, 1, 60)
    before = model(tokens)
    if other is None:
        keys = model.model.layers[0].self_attn.k_proj.weight
        keys.copy_(keys.unflatten(0, (2, 8)).flip(0).flatten(0, 1))  # the two key heads exchanged
        after = model(tokens)
    else:
        changed = Llama(replace(model.config, **{change: other}))
        changed.load_state_dict(model.state_dict())
        after = changed(tokens)
    assert (before - after).abs().max() > 1e-2


@torch.no_grad()
def test_positions_far_out_are_exact(make_model: MakeModel) -> None:
    """At 100,000 tokens rounding of angles would show."""
    model = make_model(rope_theta=1e6)
    tokens = random_tokens(model, 1, 8)
    positions = torch.arange(100_000, 100_008)[None]
    theirs = reference(model)(tokens, position_ids=positions).logits
    torch.testing.assert_close(model.logits(model(tokens, positions=positions)), theirs, atol=1e-4, rtol=0)


@torch.no_grad()
def test_angles_are_not_rounded_to_bf16(make_model: MakeModel) -> None:
    """Only distances between tokens matter, which bf16 positions would turn to multiples of 256."""
    model = make_model().bfloat16()
    tokens = random_tokens(model, 1, 16)
    near = model(tokens, positions=torch.arange(16)[None])
    far = model(tokens, positions=torch.arange(16)[None] + 50_000)
    assert (near - far).abs().mean() / near.std() < 0.05


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


@pytest.mark.parametrize(("length", "total"), [(1, 1), (1, 90), (64, 64), (65, 65), (150, 150), (70, 170)])
def test_the_cpus_bf16_kernels_are_attention(length: int, total: int) -> None:
    """Own products, against the fused kernel in fp32 on the same rounded values."""
    generator = torch.Generator().manual_seed(length)
    queries, keys, values = (
        torch.randn(3, heads, tokens, 16, generator=generator).bfloat16()
        for heads, tokens in ((6, length), (2, total), (2, total))
    )
    with torch.no_grad():
        for row in range(3):
            exact = attend_last(queries[row].float(), keys[row].float(), values[row].float())
            found = attend_last(queries[row], keys[row], values[row])
            assert found.dtype == torch.bfloat16
            assert (found.float() - exact).abs().max() < 0.03
        if length == 1:
            ends = torch.tensor([total, max(1, total // 2), 1])
            hidden = torch.arange(total) >= ends[:, None]
            for mask in (None, hidden):
                exact = attend_once(queries[:, :, 0].float(), keys.float(), values.float(), mask)
                found = attend_once(queries[:, :, 0], keys, values, mask)
                assert (found.float() - exact).abs().max() < 0.03


def test_the_cpus_bf16_gradients_are_those_of_attention() -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = (1, 64, 65, 150, 20)
    shapes = [(1, sum(lengths), heads, 16) for heads in (6, 2, 2)]
    start = [torch.randn(shape, generator=generator).bfloat16() for shape in shapes]
    outer = torch.randn(shapes[0], generator=generator)
    results = []
    for dtype in (torch.float32, torch.bfloat16):
        inputs = [tensor.to(dtype).requires_grad_() for tensor in start]
        attended = attend_within(Documents(lengths), *inputs)
        attended.backward(outer.to(dtype))
        results.append([attended.detach(), *(tensor.grad for tensor in inputs)])
    for exact, found in zip(*results, strict=True):
        assert found.dtype == torch.bfloat16
        assert (found.float() - exact).norm() / exact.norm() < 0.02


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
@torch.no_grad()
def test_a_beginning_that_rows_share_is_read_once(
    make_model: MakeModel, worth: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Samples of two prompts and a row alone, in bf16: near fp32, whether what they share is read apart or not."""
    monkeypatch.setattr(paged_attention, "_WORTH_A_CALL", worth)
    model = make_model()
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


def test_cache_refuses_what_does_not_fit(make_model: MakeModel) -> None:
    model = make_model()
    with pytest.raises(ValueError, match="9 tokens"):
        model(random_tokens(model, 1, 9), cache=empty_cache(model, 1, capacity=8))


@pytest.mark.parametrize("by_length", [True, False])
@torch.no_grad()
def test_packed_documents_do_not_see_each_other(
    make_model: MakeModel, variant: dict[str, Any], by_length: bool
) -> None:
    model = make_model(**variant)
    tokens = random_tokens(model, 2, 30)
    ids = torch.tensor([[4] * 11 + [9] * 19, [1] * 30])
    packed = model(tokens, mask=Documents.of(ids) if by_length else document_mask(ids))
    for row, part in ((0, slice(0, 11)), (0, slice(11, 30)), (1, slice(0, 30))):
        alone = model(tokens[row : row + 1, part])[0]  # positions differ: only distances matter
        torch.testing.assert_close(packed[row, part], alone, atol=1e-4, rtol=1e-4)


def test_gradients_are_those_of_transformers(make_model: MakeModel, variant: dict[str, Any]) -> None:
    model = make_model(**variant)
    theirs = reference(model)
    tokens = random_tokens(model, 2, 24)
    targets, weights = tokens.roll(-1, 1), torch.ones(2, 24)
    loss = next_token_loss(model, model(tokens), targets, weights)
    logits = theirs(tokens).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum")
    torch.testing.assert_close(loss, expected, atol=1e-3, rtol=1e-5)
    loss.backward()
    expected.backward()
    others = dict(theirs.named_parameters())
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, others[name].grad, atol=1e-3, rtol=1e-3, msg=name)


def test_documents_by_length_and_by_mask_have_the_same_gradients(make_model: MakeModel) -> None:
    ids = torch.tensor([[3, 3, 3, 4, 5, 5, 5, 5, 5, 9], [9, 9, 9, 9, 9, 9, 9, 9, 0, 0]])
    assert Documents.of(ids).lengths == (3, 1, 5, 1, 8, 2)
    gradients = []
    for mask in (Documents.of(ids), document_mask(ids)):
        model = make_model(attention_bias=True, attention_output_bias=True)
        model.logits(model(random_tokens(model, 2, 10), mask=mask)).logsumexp(-1).mean().backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for first, second in zip(*gradients, strict=True):
        torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-4)


def test_what_a_cache_can_not_go_on_with_is_refused(make_model: MakeModel) -> None:
    model, tokens = make_model(), torch.ones(1, 4, dtype=torch.int64)
    with pytest.raises(ValueError, match="padding"):
        model(tokens, mask=torch.ones(1, 1, 4, 4, dtype=torch.bool), cache=empty_cache(model, 1))
    with pytest.raises(ValueError, match="2 documents for the 3 rows"):
        model(tokens, mask=Documents((2, 2)), cache=empty_cache(model, 3))


def test_checkpointed_gradients_are_the_same(make_model: MakeModel) -> None:
    model = make_model(tie_word_embeddings=True)
    tokens = random_tokens(model, 2, 16)
    gradients = []
    for model.gradient_checkpointing in (False, True):
        model.zero_grad()
        model.logits(model(tokens)).logsumexp(-1).mean().backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, checkpointed)


@torch.no_grad()
def test_bf16_weights_stay_bf16(make_model: MakeModel) -> None:
    model = make_model()
    tokens = random_tokens(model, 2, 32)
    exact = model.logits(model(tokens))
    model.bfloat16()
    cache = empty_cache(model, 2)
    hidden = torch.cat((model(tokens[:, :-1], cache=cache), model(tokens[:, -1:], cache=cache)), 1)
    assert hidden.dtype == torch.bfloat16
    error = (model.logits(hidden).float() - exact).abs().mean() / exact.std()
    assert error < 0.05


def test_autocast_warns_of_nothing(make_model: MakeModel, recwarn: pytest.WarningsRecorder) -> None:
    model = make_model()
    with torch.autocast("cpu", torch.bfloat16):
        model.logits(model(random_tokens(model, 1, 8))).float().sum().backward()
    assert [str(warning.message) for warning in recwarn] == []
    assert all(parameter.grad.dtype == torch.float32 for parameter in model.parameters())


def test_initialise_is_a_function_of_the_seed(make_config: Any) -> None:
    config = make_config(attention_bias=True, attention_output_bias=True, mlp_bias=True)
    models = []
    for seed in (3, 3, 4):
        model = build(config)
        initialise(model, seed)
        models.append(model.state_dict())
    first, again, other = models
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["lm_head.weight"], other["lm_head.weight"])
    assert first["model.embed_tokens.weight"].std() == pytest.approx(0.02, rel=0.05)
    assert first["model.layers.0.mlp.down_proj.weight"].std() == pytest.approx(0.01, rel=0.05)
    assert (first["model.norm.weight"] == 1).all() and (
        first["model.layers.1.self_attn.o_proj.bias"] == 0
    ).all()


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
