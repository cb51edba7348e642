"""The packages with which people ask a server, and curl, each as its documentation shows it.

A check gets the server's address, a key and the model's name, and returns the text that came; it fails by an
exception.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx
from editor_requests import NEW_TOKENS, PREFIX, SUFFIX

PackageCheck = Callable[[str, str, str], str]
QUESTION: list[Any] = [{"role": "user", "content": "Write a Python function that adds two numbers."}]


def openai_completions(url: str, key: str, model: str) -> str:
    """A text that goes on: whole, streamed, with log-probabilities, several at once."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    assert model in [each.id for each in client.models.list()]
    wanted: dict[str, Any] = {"model": model, "prompt": PREFIX, "max_tokens": NEW_TOKENS, "temperature": 0}
    whole = client.completions.create(**wanted, logprobs=2, n=2)
    texts = {choice.text for choice in whole.choices}
    assert len(whole.choices) == 2 and len(texts) == 1 and whole.usage is not None, whole
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None and logprobs.tokens and "".join(logprobs.tokens).startswith(*texts)
    stream = client.completions.create(**wanted | {"logprobs": 2}, stream=True)
    text = "".join(chunk.choices[0].text for chunk in stream if chunk.choices)
    assert text == texts.pop(), text
    scored = client.completions.create(**wanted | {"max_tokens": 0}, echo=True, logprobs=1)
    of_prompt = scored.choices[0].logprobs
    assert scored.choices[0].text == PREFIX and of_prompt is not None
    assert len(of_prompt.token_logprobs or ()) == len(of_prompt.tokens or ()) > 1
    return text


def openai_suffix(url: str, key: str, model: str) -> str:
    """A gap."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    answer = client.completions.create(
        model=model, prompt=PREFIX, suffix=SUFFIX, max_tokens=NEW_TOKENS, temperature=0
    )
    assert answer.choices[0].finish_reason in ("stop", "length")
    return answer.choices[0].text


def openai_chat(url: str, key: str, model: str) -> str:
    """A reply: whole, streamed, and with a schema."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    wanted: dict[str, Any] = {"model": model, "messages": QUESTION, "max_tokens": 48, "temperature": 0}
    text: str = client.chat.completions.create(**wanted).choices[0].message.content
    stream = client.chat.completions.create(**wanted, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == text
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {"sum": {"type": "integer"}},
        "required": ["sum"],
    }
    schema["additionalProperties"] = False
    form: Any = {"type": "json_schema", "json_schema": {"name": "sum", "schema": schema}}
    messages: list[Any] = [{"role": "user", "content": "What is 2 + 3? Answer in JSON."}]
    try:
        answer = client.chat.completions.create(
            model=model, messages=messages, max_tokens=64, response_format=form
        )
    except openai.BadRequestError as error:
        assert "codecascade[grammar]" in str(error), error
    else:
        assert json.loads(answer.choices[0].message.content or "").keys() == {"sum"}, answer
    return text


def openai_async(url: str, key: str, model: str) -> str:
    """Eight requests at once, and four more that are cancelled."""
    import openai

    many = _many(url, key)

    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0) as client:
            long = [
                asyncio.create_task(
                    client.completions.create(model=model, prompt=f"# {number}", max_tokens=many)
                )
                for number in range(4)
            ]
            await asyncio.sleep(0.5)
            for task in long:
                task.cancel()
            for outcome in await asyncio.gather(*long, return_exceptions=True):
                assert not isinstance(outcome, openai.APIError), outcome
            answers = await asyncio.gather(
                *(
                    client.completions.create(
                        model=model, prompt=f"{PREFIX}# {number}\n    ", max_tokens=8, temperature=0
                    )
                    for number in range(8)
                )
            )
            return [answer.choices[0].text for answer in answers]

    texts = asyncio.run(ask())
    assert len(texts) == 8
    _nothing_runs(url, key)
    return texts[0]


def openai_stream_that_is_left(url: str, key: str, model: str) -> str:
    """A stream of which only the beginning is read."""
    import openai

    client = openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)
    many = _many(url, key)
    with client.completions.create(model=model, prompt="def ", max_tokens=many, stream=True) as stream:
        text = next(iter(stream)).choices[0].text
    _nothing_runs(url, key)
    return text


def ollama_generate_and_chat(url: str, key: str, model: str) -> str:
    """The package: a gap, a text, a dialogue, each whole and streamed."""
    import ollama

    client = ollama.Client(host=url, headers={"Authorization": f"Bearer {key}"})
    assert [each.model for each in client.list().models] == [model]
    assert "insert" in (client.show(model).capabilities or [])
    options = {"num_predict": NEW_TOKENS, "temperature": 0}
    gap: Any = client.generate(model, PREFIX, suffix=SUFFIX, options=options)
    assert gap.done_reason in ("stop", "length") and (gap.eval_count or 0) > 0
    parts: Any = client.generate(model, PREFIX, raw=True, options=options, stream=True)
    assert "".join(part.response for part in parts)
    reply = client.chat(model, QUESTION, options=options).message.content
    streamed = client.chat(model, QUESTION, options=options, stream=True)
    assert "".join(part.message.content or "" for part in streamed) == reply
    return str(gap.response)


def mistral_fim(url: str, key: str, model: str) -> str:
    """The package ``mistralai``: a gap whole and streamed, and a reply."""
    from mistralai.client import Mistral

    client = Mistral(server_url=url, api_key=key)
    answer: Any = client.fim.complete(
        model=model, prompt=PREFIX, suffix=SUFFIX, max_tokens=NEW_TOKENS, temperature=0
    )
    text = str(answer.choices[0].message.content)
    stream = client.fim.stream(
        model=model, prompt=PREFIX, suffix=SUFFIX, max_tokens=NEW_TOKENS, temperature=0
    )
    assert "".join(str(part.data.choices[0].delta.content or "") for part in stream) == text
    reply: Any = client.chat.complete(model=model, messages=QUESTION, max_tokens=8)
    assert reply.choices[0].message.content
    return text


def curl(url: str, key: str, model: str) -> str:
    """The command that ``codecascade serve`` prints, and a stream."""
    gap = {"input_prefix": PREFIX, "input_suffix": SUFFIX, "n_predict": NEW_TOKENS}
    whole = json.loads(_curl(url, key, "/infill", gap))
    lines = _curl(url, key, "/infill", gap | {"stream": True}).splitlines()
    parts = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    assert "".join(part["content"] for part in parts) == whole["content"] and parts[-1]["stop"]
    assert "llamacpp:tokens_predicted_total" in _curl(url, key, "/metrics")
    text: str = whole["content"]
    return text


def _curl(url: str, key: str, path: str, body: Any = None) -> str:
    command = ["curl", "-sS", "--fail-with-body", "-N", f"{url}{path}", "-H", f"Authorization: Bearer {key}"]
    command += [] if body is None else ["-d", json.dumps(body)]
    found = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


def _many(url: str, key: str) -> int:
    """Tokens that nobody waits for, which the model has room for."""
    models = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"}).json()
    return int(models["data"][0]["max_model_len"]) // 2


def _nothing_runs(url: str, key: str) -> None:
    """See that what was left does not go on."""
    for _ in range(100):
        figures = httpx.get(f"{url}/metrics", headers={"Authorization": f"Bearer {key}"}).text
        if "llamacpp:requests_processing 0.0" in figures and "llamacpp:requests_deferred 0.0" in figures:
            return
        time.sleep(0.1)
    raise AssertionError("requests that were left run on")


PACKAGES: dict[str, PackageCheck] = {
    "openai: completions": openai_completions,
    "openai: suffix": openai_suffix,
    "openai: chat": openai_chat,
    "openai: async, cancelled": openai_async,
    "openai: a stream that is left": openai_stream_that_is_left,
    "ollama": ollama_generate_and_chat,
    "mistralai": mistral_fim,
    "curl": curl,
}
