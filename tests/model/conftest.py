"""Tiny models of every kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from codecascade.model.config import LlamaConfig, RopeScaling
from codecascade.model.folder import save_folder
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

LLAMA3 = RopeScaling("llama3", 8.0, 1.0, 4.0, 64)

VARIANTS: dict[str, dict[str, Any]] = {
    "multi_head": {"num_key_value_heads": 4},
    "grouped": {},
    "multi_query": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "head_dim": {"head_dim": 12},
    "attention_bias": {"attention_bias": True, "attention_output_bias": True},
    "mlp_bias": {"mlp_bias": True},
    "eps": {"rms_norm_eps": 1e-3},
    "theta": {"rope_theta": 1e6},
    "linear": {"rope_scaling": RopeScaling("linear", 4.0), "rope_theta": 1e6},
    "llama3": {"rope_scaling": LLAMA3, "rope_theta": 500_000.0},
    "mistral": {"model_type": "mistral", "head_dim": 16},
    "qwen2": {"model_type": "qwen2", "attention_bias": True, "tie_word_embeddings": True},
}


def tiny_config(**changes: Any) -> LlamaConfig:
    values: dict[str, Any] = {
        "vocab_size": 320,
        "hidden_size": 32,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 256,
    }
    return LlamaConfig(**{**values, **changes})


def tiny_model(seed: int = 0, **changes: Any) -> Llama:
    """Weights large enough that every part of the model is heard in the logits; biases and norms are random too."""
    torch.manual_seed(seed)
    model = Llama(tiny_config(**changes))
    for name, parameter in model.named_parameters():
        torch.nn.init.normal_(parameter, mean=1.0 if "norm" in name else 0.0, std=0.3)
    return model.eval()


@pytest.fixture(params=VARIANTS)
def variant(request: pytest.FixtureRequest) -> dict[str, Any]:
    return VARIANTS[request.param]


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Llama]:
    return tiny_model


@pytest.fixture(scope="session")
def make_config() -> Callable[..., LlamaConfig]:
    return tiny_config


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["def add(first, second):\n    return first + second\n"] * 4, 300, kind="llama")


@pytest.fixture(scope="module")
def whole(make_model: Callable[..., Llama], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    tokenizer = train_tokenizer(
        ["def add(first, second):\n    return first + second\n"] * 4, 300, kind="bytes"
    )
    model = make_model()
    save_folder(folder, model, model.config, tokenizer)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))
