"""The architecture gives transformers' logits, with and without a cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from model_variants import VARIANTS
from token_rows import empty_cache, random_tokens
from transformers import AutoConfig, AutoModelForCausalLM

from codecascade.model.attention import Documents, attend_last, attend_within
from codecascade.model.llama import Llama, document_mask
from codecascade.model.loss import next_token_loss
from codecascade.model.paged.rows import attend_once
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
def test_every_setting_changes_the_logits(make_model: MakeModel, change: str) -> None:
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
            seen = torch.arange(total) < ends[:, None]
            for mask in (None, seen[:, None, None]):
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
