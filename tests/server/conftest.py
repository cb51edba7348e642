from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from engine_models import CODE
from fastapi.testclient import TestClient
from live_server import Live, live
from scripted_generator import ScriptedGenerator

from codecascade.server.app import create_app
from codecascade.server.settings import ServerSettings
from codecascade.tokens.chat import with_chat_format
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

Serve = Callable[..., Any]


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """Llama-style, with BOS, infilling tokens and Llama 2's chat format."""
    return with_chat_format(add_infilling_tokens(train_tokenizer([CODE] * 4, 400, kind="llama")), "llama2")


@pytest.fixture(scope="session")
def plain_tokenizer() -> Tokenizer:
    """Without infilling tokens and chat format."""
    return train_tokenizer([CODE] * 4, 400, kind="llama")


@pytest.fixture
def generator(tokenizer: Tokenizer) -> ScriptedGenerator:
    return ScriptedGenerator(tokenizer)


@pytest.fixture
def client(generator: ScriptedGenerator) -> Iterator[TestClient]:
    """The application in this process: for what needs no real connection."""
    app = create_app(generator, ServerSettings(names=("tiny", "codellama-tiny")))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def served(tokenizer: Tokenizer) -> Iterator[Serve]:
    """Starts real servers with a scripted generator; the arguments are the generator's, and ``settings``."""
    open_servers = []

    def start(settings: ServerSettings | None = None, **script: Any) -> Live:
        script.setdefault("tokenizer", tokenizer)
        server = live(lambda: ScriptedGenerator(**script), settings or ServerSettings(names=("tiny",)))
        found = server.__enter__()
        open_servers.append(server)
        return found

    yield start
    for server in reversed(open_servers):
        server.__exit__(None, None, None)
