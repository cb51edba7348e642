"""The packages that people use, against a real port."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import mistralai.client
import ollama
import openai
import pytest
from live_server import Live, soon

from codecascade.server.settings import ServerSettings

TEXT = "total + 1\n"
Serve = Callable[..., Live]


@pytest.fixture
def server(served: Serve) -> Live:
    return served(ServerSettings(names=("tiny",), keys=("the-key",)))


class TestOpenAI:
    @pytest.fixture
    def client(self, server: Live) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{server.url}/v1", api_key="the-key", max_retries=0)

    def test_completions(self, client: openai.OpenAI) -> None:
        answer = client.completions.create(model="tiny", prompt="x = ", max_tokens=40, logprobs=1, n=2)
        assert [choice.text for choice in answer.choices] == [TEXT, TEXT]
        assert answer.choices[0].logprobs is not None and answer.usage is not None
        filled = client.completions.create(model="tiny", prompt="x = ", suffix="\n", max_tokens=40)
        assert filled.choices[0].text == TEXT
        streamed = client.completions.create(model="tiny", prompt="x = ", max_tokens=40, stream=True)
        assert "".join(chunk.choices[0].text for chunk in streamed) == TEXT

    def test_chat(self, client: openai.OpenAI) -> None:
        messages = [{"role": "user", "content": "Hello"}]
        answer = client.chat.completions.create(model="tiny", messages=messages)  # type: ignore[call-overload]
        assert answer.choices[0].message.content == TEXT
        with client.chat.completions.stream(model="tiny", messages=messages) as stream:  # type: ignore[arg-type]
            for _ in stream:
                pass
            assert stream.get_final_completion().choices[0].message.content == TEXT

    def test_models(self, client: openai.OpenAI) -> None:
        assert [model.id for model in client.models.list()] == ["tiny"]
        assert client.models.retrieve("tiny").id == "tiny"

    def test_errors_are_the_packages_own(self, client: openai.OpenAI, server: Live) -> None:
        with pytest.raises(openai.NotFoundError) as missing:
            client.completions.create(model="other", prompt="x")
        assert missing.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError) as long:
            client.completions.create(model="tiny", prompt=[5] * 500)
        assert long.value.code == "context_length_exceeded"
        stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="no-key", max_retries=0)
        with pytest.raises(openai.AuthenticationError):
            stranger.models.list()
        server.generator.raises = RuntimeError("broken")
        server.generator.raises_after = 2
        with pytest.raises(openai.APIError, match="generation failed"):
            list(client.completions.create(model="tiny", prompt="x", stream=True))

    def test_async_and_cancelled(self, server: Live) -> None:
        server.generator.hold = "decode"

        async def start_and_cancel() -> None:
            client = openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="the-key", max_retries=0)
            tasks = [
                asyncio.create_task(client.completions.create(model="tiny", prompt="x", timeout=120))
                for _ in range(5)
            ]
            while server.generator.running < 5:
                await asyncio.sleep(0.005)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            # A busy machine may not have sent the request before a client that waits shortly gives it up.
            for seconds in (0.05, 1, 20):
                with contextlib.suppress(openai.APITimeoutError):
                    await client.completions.create(model="tiny", prompt="x", timeout=seconds)
                if len(server.generator.requests) == 6:
                    break
            await client.close()

        asyncio.run(start_and_cancel())
        assert soon(lambda: server.generator.running == 0)
        assert len(server.generator.cancelled) == 6


class TestOllama:
    @pytest.fixture
    def client(self, server: Live) -> ollama.Client:
        return ollama.Client(host=server.url, headers={"Authorization": "Bearer the-key"})

    def test_generate(self, client: ollama.Client) -> None:
        assert client.generate("tiny", "x = ", raw=True).response == TEXT
        answer = client.generate("tiny", "x = ", suffix="\n", options={"num_predict": 30})
        assert answer.response == TEXT and answer.done_reason == "stop"
        assert "".join(part.response for part in client.generate("tiny", "x", raw=True, stream=True)) == TEXT

    def test_chat(self, client: ollama.Client) -> None:
        messages = [{"role": "user", "content": "Hello"}]
        assert client.chat("tiny", messages).message.content == TEXT
        assert (
            "".join(part.message.content or "" for part in client.chat("tiny", messages, stream=True)) == TEXT
        )

    def test_what_is_there(self, client: ollama.Client) -> None:
        assert [model.model for model in client.list().models] == ["tiny"]
        shown = client.show("tiny")
        assert "insert" in (shown.capabilities or []) and ".Suffix" in (shown.template or "")
        assert [model.model for model in client.ps().models] == ["tiny"]

    def test_errors(self, client: ollama.Client) -> None:
        with pytest.raises(ollama.ResponseError, match="not found") as error:
            client.generate("other", "x")
        assert error.value.status_code == 404


class TestMistral:
    @pytest.fixture
    def client(self, server: Live) -> mistralai.client.Mistral:
        return mistralai.client.Mistral(server_url=server.url, api_key="the-key")

    def test_fim(self, client: mistralai.client.Mistral) -> None:
        answer = client.fim.complete(model="tiny", prompt="x = ", suffix="\n", max_tokens=30)
        assert answer.choices[0].message.content == TEXT
        streamed = client.fim.stream(model="tiny", prompt="x = ", suffix="\n")
        parts = [str(part.data.choices[0].delta.content or "") for part in streamed]
        assert "".join(parts) == TEXT

    def test_chat_and_models(self, client: mistralai.client.Mistral) -> None:
        answer = client.chat.complete(model="tiny", messages=[{"role": "user", "content": "Hello"}])
        assert answer.choices[0].message.content == TEXT
        assert [model.id for model in client.models.list().data or []] == ["tiny"]

    def test_errors(self, client: mistralai.client.Mistral) -> None:
        with pytest.raises(Exception, match="Invalid model"):
            client.fim.complete(model="other", prompt="x")
