from __future__ import annotations

from collections.abc import Iterator

import pytest
from vllm_server import VllmServer

from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer


@pytest.fixture
def server(model: Llama, tokenizer: Tokenizer) -> Iterator[VllmServer]:
    made = VllmServer(model, tokenizer)
    yield made
    made.stop()
