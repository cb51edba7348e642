"""Every type of model is trained: whole and by LoRA, and ends as an ordinary model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from model_variants import VARIANTS
from tiny_run import CountingStream, tiny_settings

from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.presets import build, initialise
from codecascade.training.learner import Learner
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.weights_out import final_state_dict

ALONE = World(0, 1, torch.device("cpu"), None)


def model_of(name: str) -> Llama:
    shape: dict[str, Any] = {
        "vocab_size": 128,
        "hidden_size": 32,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 64,
    }
    model = build(LlamaConfig(**{**shape, **VARIANTS[name]}))
    initialise(model, 1)
    return model


@pytest.mark.parametrize("train", ["all", "lora"])
@pytest.mark.parametrize("name", ["qwen3", "granite", "granite_biases", "smollm3"])
def test_a_trained_model_is_what_it_was_trained_as(name: str, train: Any) -> None:
    model, original = model_of(name), model_of(name)
    settings = tiny_settings(train=train, lora_rank=3, lora_alpha=6)
    learner = Learner(model, settings, 20, ALONE, [90, 93])
    stream, tokens = CountingStream(), torch.arange(40).view(2, 20)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(model(tokens)), original.logits(original(tokens)))
    for step in range(1, 6):
        learner.step(stream.batch(range(4)), step)
    final = final_state_dict(model, settings)
    assert final.keys() == original.state_dict().keys()
    plain = model_of(name)
    plain.load_state_dict(final)
    with torch.no_grad():
        trained = model.logits(model(tokens))
        torch.testing.assert_close(plain.logits(plain(tokens)), trained, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(trained, original.logits(original(tokens)), atol=1e-3)
