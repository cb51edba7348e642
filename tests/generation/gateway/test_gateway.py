"""The gateway in front of a server that speaks vLLM's API, over real sockets: texts, fields, healing, stops."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest
from engine_models import CODE
from gateways import GREEDY, ask, gateway, texts
from vllm_server import VllmServer, event

from codecascade.generation.editing.stops import EditorStops
from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.service import EngineService
from codecascade.generation.grammar import Grammar
from codecascade.generation.requests import Request, SamplingParams, completion_request, infilling_request
from codecascade.ground.errors import UserError
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer


@pytest.fixture
def ours(model: Llama, tokenizer: Tokenizer) -> EngineService:
    return EngineService(Engine(model, tokenizer, cache_tokens=2048), "ours")


PROMPTS: dict[str, Callable[[Tokenizer], Request]] = {
    "a whole word": lambda tokenizer: completion_request(tokenizer, "def merge(first, second", GREEDY),
    "a word that is cut": lambda tokenizer: completion_request(tokenizer, "def merge(first, sec", GREEDY),
    "white space": lambda tokenizer: completion_request(tokenizer, "def merge(first, second):\n    ", GREEDY),
    "spm": lambda tokenizer: infilling_request(
        tokenizer, "def merge(first, second):\n    res", "\n    return result\n", GREEDY, format="spm"
    ),
    "psm": lambda tokenizer: infilling_request(tokenizer, "def merge(", "):\n    return result\n", GREEDY),
    "stop string": lambda tokenizer: completion_request(
        tokenizer, "def", SamplingParams(40), stop=("e", " r")
    ),
    "penalties": lambda tokenizer: completion_request(
        tokenizer,
        "def merge(fi",
        SamplingParams(12, repetition_penalty=1.5, presence_penalty=0.5, frequency_penalty=0.25),
    ),
    "editor": lambda tokenizer: infilling_request(
        tokenizer,
        "def merge(first, second):\n    ",
        "\n    return result\n",
        SamplingParams(40),
        editor=EditorStops("def merge(first, second):\n    ", "\n    return result\n", lines="single"),
    ),
}


@pytest.mark.parametrize("kind", PROMPTS)
def test_greedy_text_is_what_our_engine_writes(
    server: VllmServer, ours: EngineService, tokenizer: Tokenizer, kind: str
) -> None:
    """Healing included: the token that would disagree is asked for among those that agree."""
    request = PROMPTS[kind](tokenizer)
    wanted = texts(ask(ours, request))
    assert texts(ask(gateway(server), request)) == wanted
    assert all("stop" not in body and "suffix" not in body for body in server.requests)
    assert all(type(token) is int for body in server.requests for token in body["prompt"])


def test_a_prompts_end_that_the_model_would_not_write(
    server: VllmServer, ours: EngineService, tokenizer: Tokenizer
) -> None:
    """Each of many cut prompts: some agree at once, some need a token that is asked for."""
    steps = 0
    for end in range(20, 60, 5):
        request = completion_request(tokenizer, CODE[:end], SamplingParams(6))
        server.requests.clear()
        assert texts(ask(gateway(server), request)) == texts(
            ask(EngineService(Engine(server.model, tokenizer, cache_tokens=512), "ours"), request)
        )
        for body in server.requests:
            steps += "allowed_token_ids" in body
            assert "allowed_token_ids" not in body or body["max_tokens"] == 1
    assert steps > 1


def test_where_nothing_can_be_asked_for_the_prompt_is_sent_whole(
    server: VllmServer, ours: EngineService, tokenizer: Tokenizer
) -> None:
    server.knows = server.knows - {"allowed_token_ids"}
    at = gateway(server)
    assert at.abilities.tells_tokens and not at.abilities.takes_allowed
    fell_back = 0
    for end in range(20, 60, 5):
        request = completion_request(tokenizer, CODE[:end], SamplingParams(6))
        server.requests.clear()
        [(text, *_)] = texts(ask(gateway(server), request))
        if len(server.requests) > 1:
            fell_back += 1
            whole = tuple(server.requests[-1]["prompt"])
            spelt = b"".join(map(tokenizer.token_bytes, whole[len(request.ids) :]))
            assert spelt == request.required
            unhealed = replace(request, ids=whole, required=b"")
            plain = EngineService(Engine(server.model, tokenizer, cache_tokens=512), "ours")
            assert text == texts(ask(plain, unhealed))[0][0]
    assert fell_back > 1


def test_a_server_that_tells_no_tokens(server: VllmServer, ours: EngineService, tokenizer: Tokenizer) -> None:
    """llama.cpp's server, for one: prompts of ids, text in answers."""
    server.knows, server.strict = frozenset(), True
    at = gateway(server)
    assert not at.abilities.tells_tokens and not at.abilities.takes_extras
    request = infilling_request(tokenizer, "def merge(", "):\n    return result\n", GREEDY)
    [(text, ids, reason, _)] = texts(ask(at, request))
    [(wanted, _, wanted_reason, _)] = texts(ask(ours, request))
    assert (text, ids, reason) == (wanted, (), wanted_reason)
    assert set(server.requests[-1]) <= server.openai
    with pytest.raises(UserError, match="does not tell its tokens"):
        ask(gateway(server), replace(request, sampling=SamplingParams(4, logprobs=0)))
    with pytest.raises(UserError, match="grammar"):
        ask(gateway(server), replace(request, grammar=Grammar("json_object")))


def test_healing_where_the_server_gives_no_tokens(server: VllmServer, tokenizer: Tokenizer) -> None:
    server.knows, server.strict = frozenset(), True
    for end in range(20, 60, 5):
        request = completion_request(tokenizer, CODE[:end], SamplingParams(6))
        server.requests.clear()
        deltas = ask(gateway(server), request)
        [(text, *_)] = texts(deltas)
        if len(server.requests) > 1:
            whole = tuple(server.requests[-1]["prompt"])
            assert b"".join(map(tokenizer.token_bytes, whole[len(request.ids) :])) == request.required
        assert "".join(delta.text for delta in deltas) == text


def test_older_servers_tell_tokens_beside_log_probabilities(
    server: VllmServer, ours: EngineService, tokenizer: Tokenizer
) -> None:
    server.knows = server.knows - {"return_token_ids"}
    at = gateway(server)
    assert at.abilities.by_logprobs
    request = PROMPTS["a word that is cut"](tokenizer)
    assert texts(ask(at, request)) == texts(ask(ours, request))
    assert server.requests[0]["logprobs"] == 0


def test_log_probabilities(server: VllmServer, ours: EngineService, tokenizer: Tokenizer) -> None:
    request = completion_request(tokenizer, "def merge(first, sec", SamplingParams(6, logprobs=3))
    found, wanted = (
        [entry for delta in ask(generator, request) for entry in delta.logprobs]
        for generator in (gateway(server), ours)
    )
    assert [entry.token for entry in found] == [entry.token for entry in wanted]
    for entry, right in zip(found, wanted, strict=True):
        assert entry.logprob == pytest.approx(right.logprob, abs=1e-4)
        assert [token for token, _ in entry.top] == [token for token, _ in right.top]


def test_samples_have_seeds_of_their_own_whatever_their_number(
    server: VllmServer, tokenizer: Tokenizer
) -> None:
    request = completion_request(tokenizer, "def", SamplingParams(6, temperature=1.5, seed=5), samples=4)
    all_four = texts(ask(gateway(server), request))
    seeds = {body["seed"] for body in server.requests}
    assert len(seeds) == 4 and len(set(all_four)) > 1
    again = replace(request, samples=2, numbers=(3, 1))
    assert texts(ask(gateway(server), again)) == [all_four[3], all_four[1]]


def test_what_is_usual_is_said_so_that_a_models_own_defaults_do_not_count(
    server: VllmServer, tokenizer: Tokenizer
) -> None:
    ask(gateway(server), completion_request(tokenizer, "def", GREEDY))
    body = server.requests[0]
    said = {"top_k": -1, "min_p": 0.0, "repetition_penalty": 1.0, "temperature": 0.0, "top_p": 1.0}
    assert said.items() <= body.items() and body["stop_token_ids"] == sorted(tokenizer.stop_ids)
    bias = ((3, -math.inf), (4, 7.0))
    ask(
        gateway(server),
        Request((5, 6), SamplingParams(2, top_k=7, min_p=0.25, logit_bias=bias), forbidden={9}),
    )
    body = server.requests[-1]
    assert (body["top_k"], body["min_p"]) == (7, 0.25)
    assert body["logit_bias"] == {"3": -100.0, "4": 7.0, "9": -100.0}


@pytest.mark.parametrize(
    ("grammar", "sent"),
    [
        (Grammar("json_object"), {"json_object": True}),
        (Grammar("json_schema", '{"type": "object"}'), {"json": {"type": "object"}}),
        (Grammar("regex", "[0-9]+"), {"regex": "[0-9]+"}),
        (Grammar("lark", 'start: "a"'), {"grammar": 'start: "a"'}),
    ],
    ids=lambda value: value.kind if isinstance(value, Grammar) else "",
)
def test_grammars_are_the_servers_affair(
    server: VllmServer, tokenizer: Tokenizer, grammar: Grammar, sent: dict[str, Any]
) -> None:
    ask(gateway(server), Request((5, 6), SamplingParams(2), grammar=grammar))
    assert server.requests[-1]["structured_outputs"] == sent


def test_a_prompt_is_only_read(server: VllmServer, tokenizer: Tokenizer) -> None:
    [delta] = ask(gateway(server), Request((5, 6, 7), SamplingParams(0)))
    assert (delta.text, delta.ids, delta.finish_reason) == ("", (), "length")
    assert server.requests[0]["max_tokens"] == 1


def test_prompts_beyond_the_context(server: VllmServer, tokenizer: Tokenizer) -> None:
    assert gateway(server).context_length == 128
    with pytest.raises(UserError, match="129 tokens, the model's context 128"):
        ask(gateway(server), Request((5,) * 129, GREEDY))
    assert not server.requests
    [(_, ids, reason, _)] = texts(
        ask(gateway(server), Request((5,) * 120, SamplingParams(50), stop_ids=frozenset({2})))
    )
    assert (len(ids), reason) == (8, "length") and server.requests[0]["max_tokens"] == 8
    # what --context says may be more than the server takes
    server.models = (200, {"data": [{"id": "small"}]})
    with pytest.raises(UserError, match="maximum context length is 128"):
        ask(gateway(server, context=500), Request((5,) * 200, GREEDY))


def test_a_text_may_not_be_empty(server: VllmServer, ours: EngineService, tokenizer: Tokenizer) -> None:
    request = replace(PROMPTS["spm"](tokenizer), nonempty=True)
    ask(gateway(server), request)
    assert server.requests[0]["min_tokens"] == 1
    stop = tokenizer.stop_ids[0]

    def ends_at_once(number: int, body: dict[str, Any]) -> Any:
        if body.get("min_tokens") and number > 2:
            return None
        choice = {"text": "", "token_ids": [stop], "finish_reason": "stop", "stop_reason": stop}
        return [event({"choices": [choice]})]

    server.requests.clear()
    server.behave = ends_at_once
    found = texts(ask(gateway(server), Request((5, 6), GREEDY, nonempty=True)))
    assert len(server.requests) < 4 and len(found) == 1


def test_cancelling_closes_the_connection(server: VllmServer, tokenizer: Tokenizer) -> None:
    server.pause = 0.02

    async def read() -> None:
        at = gateway(server)
        request = Request((5, 6), SamplingParams(60), samples=3, stop_ids=frozenset({2}))
        async with aclosing(at.stream(request)) as deltas:
            await anext(deltas)
            assert at.load().running == 1
        assert at.load().running == 0
        for _ in range(6000):
            if server.gone == 3 and not server.running:
                break
            await asyncio.sleep(0.02)
        assert (server.gone, server.running) == (3, 0)
        await at.close()

    asyncio.run(read())


def test_a_text_that_ends_here_closes_the_connection(server: VllmServer, tokenizer: Tokenizer) -> None:
    server.pause = 0.02
    request = PROMPTS["stop string"](tokenizer)
    [(_, _, reason, stopped_by)] = texts(ask(gateway(server), request))
    assert reason == "stop" and stopped_by in ("e", " r")

    async def settled() -> None:
        while server.running:
            await asyncio.sleep(0.02)

    asyncio.run(asyncio.wait_for(settled(), 120))
