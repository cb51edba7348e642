"""Tiny models with quantised weights."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest
import torch
from engine_models import tiny_model

from codecascade.generation.engine.weights.kernels import QuantisedType, why_not
from codecascade.model.llama import Llama
from codecascade.model.presets import build, initialise
from codecascade.tokens.tokenizer import Tokenizer

KINDS: tuple[QuantisedType, ...] = get_args(QuantisedType)


needs_kernels = pytest.mark.skipif(
    any(why_not(kind) is not None for kind in KINDS), reason="this PyTorch has no such kernels"
)


def quantised_model(tokenizer: Tokenizer, tied: bool) -> Llama:
    biases = {"attention_bias": True, "attention_output_bias": True, "mlp_bias": True}
    config = replace(tiny_model(tokenizer).config, tie_word_embeddings=tied, **biases)
    llama = build(config, torch.device("cpu"))
    initialise(llama, seed=0)
    with torch.no_grad():
        for name, parameter in llama.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter, std=0.1)
    return llama.eval()
