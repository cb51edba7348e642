from __future__ import annotations

import sys
from pathlib import Path

import pytest

from codecascade.model.llama import Llama
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

sys.path.insert(0, str(Path(__file__).parent))  # modules that several test files share

from engine_models import CODE, tiny_model


@pytest.fixture(scope="session", params=["bytes", "llama"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """A byte-level tokenizer without BOS and a Llama-style one with, both with infilling tokens."""
    return add_infilling_tokens(train_tokenizer([CODE] * 4, 400, kind=request.param))


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer) -> Llama:
    """A random model that is sure enough of its choices that rounding does not turn them."""
    return tiny_model(tokenizer)
