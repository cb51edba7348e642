"""Tiny models of every kind."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_variants import VARIANTS

from codecascade.model.config import LlamaConfig
from codecascade.model.folder import save_folder
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer


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
    """Weights large enough that every part of the model changes the logits; biases and norms are random too."""
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
