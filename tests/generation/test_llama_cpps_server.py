"""Another project's server, which answers as the model in memory."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal

import pytest

from codecascade.generation.backend import Backend, ChatPrompt, TextPrompt, TextRequest
from codecascade.generation.endpoint import Endpoint
from codecascade.generation.requests import SamplingParams
from codecascade.generation.served.opening import served_backend
from codecascade.generation.served.settings import ServerSettings
from codecascade.ground.errors import UserError
from codecascade.tokens.chat import Message


def ask(at: Endpoint, *prompts: Any, **sampling: Any) -> list[Any]:
    requests = [TextRequest(prompt, SamplingParams(**sampling)) for prompt in prompts]
    return sorted(at.complete(requests), key=lambda completion: completion.request)


@pytest.fixture(scope="module")
def llama_cpp() -> Iterator[str]:
    """``llama-cpp-python``'s server with the packaged SmolLM2."""
    if importlib.util.find_spec("llama_cpp") is None or importlib.util.find_spec("uvicorn") is None:
        pytest.skip("needs llama-cpp-python[server]")
    from codecascade.model.sources import resolve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model"]
    command += [str(resolve("smollm2-135m-instruct").path), "--model_alias", "smollm2", "--n_ctx", "512"]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stderr=subprocess.DEVNULL, env=dict(os.environ)
    )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 300
        while True:
            try:
                Endpoint(url, "smollm2", attempts=1)
                break
            except UserError:
                assert process.poll() is None and time.monotonic() < deadline
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(120)


@pytest.mark.smollm2
def test_llama_cpps_server_answers_as_the_model_in_memory(llama_cpp: str) -> None:
    from codecascade.generation.loading import load_backend

    at = Endpoint(llama_cpp, "smollm2")
    prompt = TextPrompt("def add(a, b):\n    return", ("\n",))
    [there] = ask(at, prompt, max_new_tokens=12)
    [here] = list(
        load_backend("smollm2-135m-instruct", precision="fp32").complete(
            [TextRequest(prompt, SamplingParams(max_new_tokens=12))]
        )
    )
    assert there.text == here.text == " a + b"
    [healed] = ask(at, TextPrompt("def add(a, b):\n", ("\n\n",)), max_new_tokens=12)
    assert healed.text.startswith("    "), "a body, whose indent the line break brings along"
    [reply] = ask(at, ChatPrompt((Message("user", "Say hello."),)), max_new_tokens=12)
    assert reply.text.strip()
    [long] = ask(at, TextPrompt("word " * 2000), max_new_tokens=12)
    assert long.finish_reason == "context"


@pytest.mark.smollm2
def test_llama_cpps_server_measures_a_model_by_its_texts(llama_cpp: str, tmp_path: Path) -> None:
    """It takes no token ids, which is said; asked for texts it goes on as the model in memory does."""
    model = "smollm2-135m-instruct"

    def opened(prompts: Literal["ids", "text"], name: str) -> AbstractContextManager[Backend]:
        settings = ServerSettings(prompts=prompts, model=name, concurrency=1)
        return served_backend(
            llama_cpp, settings, model, title="base", about={}, precision="auto", log=tmp_path / "log"
        )

    request = TextRequest(TextPrompt("def add(first, second):\n    return", ("\n",)), SamplingParams(8))
    with opened("text", "smollm2") as backend:
        (found,) = backend.complete([request])
        assert found.text.strip().startswith("first + second")
        assert backend.describe()["endpoint"] == "base" and backend.is_chat
        assert backend.describe()["address"] == llama_cpp
    with (
        opened("ids", "smollm2") as backend,
        pytest.raises(UserError, match="token ids"),
    ):
        list(backend.complete([request]))
    with (
        opened("text", "other") as backend,
        pytest.raises(UserError, match=r"serves no 'other'; it has smollm2.*vllm serve"),
    ):
        list(backend.complete([request]))
