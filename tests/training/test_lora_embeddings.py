"""LoRA: nothing at the start, and an ordinary model at the end."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from tiny_run import VOCABULARY, CountingStream, tiny_model, tiny_settings

from codecascade.model.llama import Llama
from codecascade.training.learner import Learner
from codecascade.training.lora_weights import first_matrix as first_matrix_of
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.weights_out import final_state_dict, write_model

ALONE = World(0, 1, torch.device("cpu"), None)
NEW = [90, 93]


@pytest.mark.parametrize("tied", [True, False])
def test_lora_starts_at_the_model_and_merges_into_what_it_became(tied: bool) -> None:
    original, model = tiny_model(tied=tied), tiny_model(tied=tied)
    settings = tiny_settings(train="lora", lora_rank=3, lora_alpha=6)
    learner = Learner(model, settings, 20, ALONE, NEW)
    stream, tokens = CountingStream(), torch.arange(40).view(2, 20)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(model(tokens)), original.logits(original(tokens)))
    for step in range(1, 6):
        batch = stream.batch(range(4))
        batch.tokens[:, 3::5] = 90
        learner.step(batch, step)
    merged = final_state_dict(model, settings)
    assert merged.keys() == original.state_dict().keys()
    plain = tiny_model(tied=tied, seed=5)
    plain.load_state_dict(merged)
    with torch.no_grad():
        trained = model.logits(model(tokens))
        torch.testing.assert_close(plain.logits(plain(tokens)), trained, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(trained, original.logits(original(tokens)), atol=1e-3)


def test_lora_trains_the_linear_layers_and_the_new_rows_alone() -> None:
    model, before = tiny_model(), tiny_model().state_dict()
    settings = tiny_settings(train="lora")
    learner = Learner(model, settings, 20, ALONE, NEW)
    learner.step(CountingStream().batch(range(4)), 1)
    merged = final_state_dict(model, settings)
    old = [row for row in range(VOCABULARY) if row not in NEW]
    table = "model.embed_tokens.weight"
    assert torch.equal(merged[table][old], before[table][old])
    assert not torch.equal(merged[table][NEW], before[table][NEW])
    for name in before.keys() - {table}:
        assert torch.equal(merged[name], before[name]) == ("norm" in name), name
    moments = sum(state["exp_avg"].numel() for state in learner.optimizer.adamw.state.values())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert moments == trainable < sum(p.numel() for p in model.parameters()) / 2


def test_a_share_of_the_updates_lies_between_before_and_after(tmp_path: Path) -> None:
    """A weighted mean of both; new rows, which mean nothing before, are written as they were trained."""
    model, before = tiny_model(), tiny_model().state_dict()
    settings = tiny_settings(train="lora")
    Learner(model, settings, 20, ALONE, NEW).step(CountingStream().batch(range(4)), 1)
    after = final_state_dict(model, settings)
    quarter = tiny_settings(train="lora", lora_merge=0.25)
    merged = final_state_dict(model, quarter)
    table = "model.embed_tokens.weight"
    assert torch.equal(merged[table], after[table]) and not torch.equal(after[table], before[table])
    for name in before.keys() - {table}:
        torch.testing.assert_close(merged[name], torch.lerp(before[name], after[name], 0.25))
    write_model(tmp_path, model, quarter, ALONE, dtype=torch.float32)
    [file] = tmp_path.glob("*.safetensors")
    written = load_file(file)
    assert {name: written[name] for name in merged if name in written}.keys() == written.keys()
    assert all(torch.equal(written[name], merged[name]) for name in written)


def test_all_weights_have_no_updates_to_merge() -> None:
    with pytest.raises(
        ValidationError, match=r"lora_merge \(0.5\) is of low-rank updates; set train = 'lora'"
    ):
        tiny_settings(lora_merge=0.5)


def test_lora_rows_have_their_own_rate() -> None:
    settings = tiny_settings(train="lora", new_token_learning_rate=0.5)
    learner = Learner(tiny_model(), settings, 20, ALONE, NEW)
    peaks = {
        group["peak"]: sum(p.numel() for p in group["params"])
        for group in learner.optimizer.adamw.param_groups
    }
    assert peaks[0.5] == len(NEW) * 32


def test_lora_is_a_third_less_work() -> None:
    model = tiny_model()
    whole = tiny_settings().flops_per_token(model.config)
    assert tiny_settings(train="lora").flops_per_token(model.config) == pytest.approx(whole * 2 / 3)


def test_lora_is_drawn_by_its_seed() -> None:
    def first_matrix(seed: int) -> torch.Tensor:
        model = tiny_model()
        Learner(model, tiny_settings(train="lora", seed=seed), 20, ALONE)
        return model.model.layers[1].mlp.down_proj.lora_a  # type: ignore[union-attr, return-value]

    # of two seeds and two layers, so that every layer has its own
    matrices = [
        first_matrix_of(seed, layer, 4, 8) for seed in (1, 2) for layer in ("layers.0.a", "layers.1.a")
    ]
    assert torch.unique(torch.stack(matrices)).numel() == 4 * 4 * 8

    assert torch.equal(first_matrix(1), first_matrix(1))
    assert not torch.equal(first_matrix(1), first_matrix(2))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_families_with_biases_learn_by_lora_in_each_precision(
    precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Qwen 2 has biases of queries, keys and values; they stay in fp32 beside matrices in bf16."""
    # also where a processor emulates bf16, slowly
    monkeypatch.setattr("codecascade.model.precision._has_bf16", lambda device: (True, "for a test"))
    losses = {}
    for train in ("lora", "all"):
        plain = tiny_model()
        config = replace(plain.config, attention_bias=True, attention_output_bias=True, mlp_bias=True)
        model = Llama(config)
        generator = torch.Generator().manual_seed(0)
        for parameter in model.parameters():
            with torch.no_grad():
                parameter.copy_(
                    0.05 * torch.randn(parameter.shape, generator=generator) + (parameter.ndim < 2)
                )
        before = {name: value.clone() for name, value in model.state_dict().items()}
        settings = tiny_settings(train=train, lora_rank=3, precision=precision)
        learner, stream = (
            Learner(model, settings, 20, ALONE, NEW if train == "lora" else ()),
            CountingStream(),
        )
        losses[train] = [learner.step(stream.batch(range(4)), step).loss for step in (1, 2, 3)]
        if train == "lora":
            after = final_state_dict(model, settings)
            assert all(torch.equal(after[name], before[name]) for name in before if name.endswith("bias"))
    # Without an update the first step is that of the model.
    assert losses["lora"][0] == pytest.approx(losses["all"][0], rel=2e-2 if precision == "bf16" else 1e-5)
    assert losses["lora"][2] < losses["lora"][0]
