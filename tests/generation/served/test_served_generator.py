"""A model behind a server that takes token ids answers and scores as the model in memory does."""

from __future__ import annotations

import math
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from engine_models import CODE
from live_server import live

from codecascade.generation.backend import InfillingPrompt, TextPrompt, TextRequest
from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.engine.service import EngineService
from codecascade.generation.gateway.gateway import Gateway
from codecascade.generation.local_backend import LocalBackend
from codecascade.generation.requests import Request, SamplingParams, Scorer
from codecascade.generation.served.generator import ServedGenerator, ServerAddress
from codecascade.generation.streaming import Delta
from codecascade.ground.errors import RunFailed, UserError
from codecascade.model.llama import Llama
from codecascade.server.settings import ServerSettings
from codecascade.tokens.tokenizer import Tokenizer

CONTEXT = 128


@pytest.fixture(scope="module")
def url(model: Llama, tokenizer: Tokenizer) -> Iterator[str]:
    def make() -> EngineService:
        return EngineService(Engine(model, tokenizer, cache_tokens=4096, context=CONTEXT), "small")

    with live(make, ServerSettings(names=("small",))) as server:
        yield server.url


@pytest.fixture(scope="module")
def served(url: str, tokenizer: Tokenizer) -> ServedGenerator:
    return ServedGenerator(
        tokenizer, CONTEXT, lambda: ServerAddress(url, "small"), concurrency=4, timeout=60.0
    )


@pytest.fixture(scope="module")
def ours(model: Llama, tokenizer: Tokenizer) -> LocalGenerator:
    return LocalGenerator(model, tokenizer, context=CONTEXT)


PROMPTS = {
    "a word that is cut": TextPrompt("def merge(first, sec"),
    "white space": TextPrompt("def merge(first, second):\n    "),
    "not healed": TextPrompt("def merge(first, sec", heal=False),
    "stop strings": TextPrompt("def", ("e", " r")),
    "stops after a text": TextPrompt("def merge(first):", ("\n",), stop_after_text=True),
    "psm": InfillingPrompt("def merge(", "):\n    return result\n"),
    "spm": InfillingPrompt("def merge(first):\n    res", "\n    return result\n", format="spm"),
    "editor": InfillingPrompt("def merge(first):\n    ", "\n", editor_lines="single", language="python"),
    "too long": TextPrompt(CODE * 9),
}


def test_answers_are_those_of_the_model_in_memory(served: ServedGenerator, ours: LocalGenerator) -> None:
    requests = [TextRequest(prompt, SamplingParams(24)) for prompt in PROMPTS.values()]

    def ask(generator: Any) -> dict[str, Any]:
        found = LocalBackend(generator, "small").complete(requests)
        return {list(PROMPTS)[each.request]: each for each in found}

    theirs, own = ask(served), ask(ours)
    for name in PROMPTS:
        assert theirs[name] == own[name], name
    assert own["too long"].finish_reason == "context"


def test_each_sample_has_its_own_draw(served: ServedGenerator) -> None:
    request = TextRequest(TextPrompt("def "), SamplingParams(16, temperature=1.0, seed=3), (4, 7, 9))

    def draw() -> dict[int, str]:
        return {each.sample: each.text for each in LocalBackend(served, "small").complete([request])}

    found = draw()
    assert set(found) == {4, 7, 9} and len(set(found.values())) == 3
    assert draw() == found


def test_texts_are_scored_as_by_the_model_in_memory(
    served: ServedGenerator, ours: LocalGenerator, tokenizer: Tokenizer
) -> None:
    """Also a text that fills the context, which leaves a server no room for a token that it would write."""
    ids = tokenizer.encode(CODE * 9)
    sequences = [ids[:CONTEXT], ids[:20], ids[:1], ids[: CONTEXT - 1]]
    assert isinstance(served, Scorer)
    own, theirs = (dict(each.log_probabilities(sequences)) for each in (ours, served))
    assert theirs[2] == []
    for index, sequence in enumerate(sequences):
        assert len(theirs[index]) == len(sequence) - 1
        assert theirs[index] == pytest.approx(own[index], abs=1e-3)
    with pytest.raises(UserError, match=r"129 tokens .* context has 128.*perplexity.tokens"):
        list(served.log_probabilities([ids[: CONTEXT + 1]]))


def test_no_server_is_needed_before_the_first_request(tokenizer: Tokenizer) -> None:
    def connect() -> ServerAddress:
        raise UserError("is asked for")

    lazy = ServedGenerator(tokenizer, CONTEXT, connect, concurrency=1, timeout=1.0)
    assert LocalBackend(lazy, "small").context_length == CONTEXT
    with pytest.raises(UserError, match="is asked for"):
        list(lazy.log_probabilities([[1, 2]]))


def test_a_server_that_has_ended_is_told_of(
    url: str, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that fails is explained by what the server printed at its end, not by a closed connection."""

    def check() -> None:
        raise RunFailed("vllm ended with status 1")

    async def broken(self: Gateway, request: Request) -> AsyncIterator[Delta]:
        raise RunFailed("gave no answer in 6 attempts")
        yield

    address = ServerAddress(url, "small", check=check)
    generator = ServedGenerator(tokenizer, CONTEXT, lambda: address, concurrency=2, timeout=60.0)
    requests = [TextRequest(TextPrompt("def "), SamplingParams(4)) for _ in range(9)]
    monkeypatch.setattr(Gateway, "stream", broken)
    with pytest.raises(RunFailed, match="vllm ended"):
        list(LocalBackend(generator, "small").complete(requests))


def test_a_model_without_numbers_is_refused(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    from codecascade.generation.served import scoring

    ids = [1, 2, 3]
    names = [f"token_id:{token}" for token in ids]
    answer = {
        "choices": [{"text": "", "logprobs": {"tokens": names, "token_logprobs": [None, math.nan, -1]}}]
    }
    monkeypatch.setattr(scoring, "ask", lambda *arguments, **more: answer)
    scorer = scoring.PromptScorer("http://x", "m", {}, context=9, connections=1, timeout=1.0)
    with pytest.raises(RunFailed, match="no numbers"):
        scorer.score(ids, threading.Event())
    answer["choices"][0]["logprobs"]["tokens"] = ["a", "b", "c"]
    with pytest.raises(UserError, match="tells no log-probabilities"):
        scorer.score(ids, threading.Event())
