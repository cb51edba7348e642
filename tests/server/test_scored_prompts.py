"""``echo`` with ``logprobs``, as harnesses ask for the likelihood of a text, and vLLM's fields in token ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from engine_models import tiny_model
from fastapi.testclient import TestClient
from live_server import Live, live, soon
from scripted_generator import ScriptedGenerator

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.engine.service import EngineService
from codecascade.generation.gateway.gateway import Gateway
from codecascade.model.llama import Llama
from codecascade.server.protocols import openai_completions
from codecascade.server.settings import Limits, ServerSettings
from codecascade.tokens.tokenizer import Tokenizer

SETTINGS = ServerSettings(names=("tiny",))
TEXT = "def merge(first, second):\n    return"


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Llama:
    return tiny_model(tokenizer)


@pytest.fixture(scope="module")
def ours(model: Llama, tokenizer: Tokenizer) -> Iterator[Live]:
    with live(lambda: EngineService(Engine(model, tokenizer, chunk_tokens=16), "tiny"), SETTINGS) as server:
        yield server


@pytest.fixture(scope="module", params=["engine", "gateway"])
def server(request: pytest.FixtureRequest, ours: Live, tokenizer: Tokenizer) -> Iterator[Live]:
    """The engine's server, and a gateway in front of it: both say the same."""
    if request.param == "engine":
        yield ours
        return
    with live(lambda: Gateway(ours.url, "tiny", tokenizer, first_wait=0.01), SETTINGS) as server:
        yield server


def chunks(text: str) -> list[Any]:
    return [json.loads(line[6:]) for line in text.split("\n\n") if line.startswith("data: {")]


@pytest.mark.parametrize("most", [0, 1])
@pytest.mark.parametrize("as_ids", [False, True])
def test_a_harness_gets_the_likelihood_of_each_token(
    server: Live, model: Llama, tokenizer: Tokenizer, as_ids: bool, most: int
) -> None:
    ids = tokenizer.encode(TEXT, bos=True)
    [(_, wanted)] = LocalGenerator(model, tokenizer).log_probabilities([ids])
    body = {"prompt": ids if as_ids else TEXT, "max_tokens": most, "temperature": 0, "logprobs": 1}
    response = server.post("/v1/completions", body | {"echo": True})
    assert response.status_code == 200, response.text
    choice = response.json()["choices"][0]
    told = choice["logprobs"]
    assert {len(told[key]) for key in told} == {len(ids) + most}
    assert told["token_logprobs"][0] is None and told["top_logprobs"][0] is None
    assert told["token_logprobs"][1 : len(ids)] == pytest.approx(wanted, abs=1e-4)
    assert all(score <= max(top.values()) for score, top in list(_pairs(told))[: len(ids) - 1])
    assert choice["text"].startswith(TEXT) and response.json()["usage"]["prompt_tokens"] == len(ids)
    # Behind BOS, and the first token with the space that this family puts before a text.
    texts = [TEXT[start:end] for start, end in _spans(told["text_offset"], len(TEXT))]
    assert texts[2 : len(ids)] == told["tokens"][2 : len(ids)] and texts[1] == told["tokens"][1].lstrip()


def test_several_prompts_and_a_stream_say_the_same(server: Live) -> None:
    body = {"prompt": [TEXT, "x = 1"], "max_tokens": 2, "temperature": 0, "logprobs": 2, "echo": True, "n": 2}
    whole = server.post("/v1/completions", body).json()["choices"]
    streamed = chunks(server.post("/v1/completions", body | {"stream": True}).text)
    assert [choice["index"] for choice in whole] == [0, 1, 2, 3]
    for choice in whole:
        own = [each["choices"][0] for each in streamed if each["choices"][0]["index"] == choice["index"]]
        assert "".join(each["text"] for each in own) == choice["text"]
        for key in ("tokens", "token_logprobs", "text_offset"):
            joined = [value for each in own if each["logprobs"] for value in each["logprobs"][key]]
            assert joined == pytest.approx(choice["logprobs"][key], abs=1e-4) if key != "tokens" else joined
            assert len(joined) == len(choice["logprobs"][key])


def test_a_template_is_scored_as_the_text_that_it_is(
    client: TestClient, generator: ScriptedGenerator
) -> None:
    body = {"prompt": "<PRE> a <SUF>b <MID>", "echo": True, "logprobs": 0, "max_tokens": 0}
    answer = client.post("/v1/completions", json=body).json()["choices"][0]
    assert answer["text"] == body["prompt"] and generator.requests[-1].editor is None
    refused = client.post("/v1/completions", json=body | {"suffix": "y"})
    assert refused.status_code == 400 and refused.json()["error"]["param"] == "echo"


def test_ids_are_told_where_they_are_asked_for(server: Live, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(TEXT, bos=True)
    body = {"prompt": ids, "max_tokens": 4, "temperature": 0, "return_token_ids": True}
    body |= {"logprobs": 1, "return_tokens_as_token_ids": True, "ignore_eos": True}
    choice = server.post("/v1/completions", body).json()["choices"][0]
    assert choice["prompt_token_ids"] == ids and len(choice["token_ids"]) == 4
    assert choice["logprobs"]["tokens"] == [f"token_id:{token}" for token in choice["token_ids"]]
    assert choice["stop_reason"] is None
    parts = [
        each["choices"][0] for each in chunks(server.post("/v1/completions", body | {"stream": True}).text)
    ]
    assert [token for part in parts for token in part["token_ids"]] == choice["token_ids"]
    assert [part.get("prompt_token_ids") for part in parts] == [ids] + [None] * (len(parts) - 1)
    plain = server.post("/v1/completions", {"prompt": ids}).json()["choices"][0]
    assert not {"token_ids", "prompt_token_ids", "stop_reason"} & plain.keys()


def test_which_tokens_may_come_and_end(server: Live, ours: Live, tokenizer: Tokenizer) -> None:
    body = {"prompt": [5, 6], "max_tokens": 6, "temperature": 0, "return_token_ids": True}
    choice = server.post("/v1/completions", body | {"allowed_token_ids": [20, 21]}).json()["choices"][0]
    assert set(choice["token_ids"]) <= {20, 21}
    first = choice["token_ids"][0]
    ended = {"allowed_token_ids": [20, 21], "stop_token_ids": [first]}
    choice = server.post("/v1/completions", body | ended).json()["choices"][0]
    assert (choice["token_ids"], choice["finish_reason"], choice["stop_reason"]) == ([], "stop", first)
    choice = server.post("/v1/completions", body | ended | {"min_tokens": 2}).json()["choices"][0]
    assert choice["token_ids"][:2] == [41 - first] * 2


@pytest.mark.parametrize(
    ("fields", "parameter"),
    [
        ({"allowed_token_ids": []}, "allowed_token_ids"),
        ({"allowed_token_ids": [10**9]}, "allowed_token_ids"),
        ({"stop_token_ids": [10**9]}, "stop_token_ids"),
        ({"stop_token_ids": [1] * 1000}, "stop_token_ids"),
        ({"allowed_token_ids": [7], "stop_token_ids": [7], "min_tokens": 1}, "allowed_token_ids"),
        ({"allowed_token_ids": [7], "suffix": "x"}, "allowed_token_ids"),
        ({"allowed_token_ids": [7], "json_schema": {}}, "allowed_token_ids"),
        ({"min_tokens": 17}, "min_tokens"),
        ({"logprobs": 21}, "logprobs"),
    ],
)
def test_what_leaves_nothing_to_choose_is_refused(
    client: TestClient, generator: ScriptedGenerator, fields: dict[str, Any], parameter: str
) -> None:
    response = client.post("/v1/completions", json={"prompt": "x"} | fields)
    assert response.status_code == 400 and response.json()["error"]["param"] == parameter, response.text
    assert not generator.requests


GAP = {
    "input_prefix": "def merge(fir",
    "input_suffix": "):\n    pass\n",
    "n_predict": 12,
    "return_tokens": True,
}


@pytest.mark.parametrize("format_", ["psm", "spm"])
def test_a_gateway_before_our_own_server_is_exact(ours: Live, tokenizer: Tokenizer, format_: str) -> None:
    """Healed prompts too, which need the tokens that agree with the prompt's end."""
    with live(lambda: Gateway(ours.url, "tiny", tokenizer, first_wait=0.01), SETTINGS) as front:
        abilities = front.generator.abilities
        assert abilities.tells_tokens and abilities.takes_allowed and abilities.takes_extras
        assert not abilities.by_logprobs
        for prefix in ("def merge(fir", "def merge(first, second):\n    ", "x", "retur"):
            body = GAP | {"input_prefix": prefix, "format": format_}
            wanted, found = (each.post("/infill", body).json() for each in (ours, front))
            for key in ("content", "tokens", "stop_type"):
                assert found[key] == wanted[key], (prefix, key)


def _pairs(told: dict[str, Any]) -> Iterator[tuple[float, dict[str, float]]]:
    yield from zip(told["token_logprobs"][1:], told["top_logprobs"][1:], strict=True)


def _spans(offsets: list[int], end: int) -> Iterator[tuple[int, int]]:
    yield from zip(offsets, [*offsets[1:], end], strict=True)


def test_a_text_that_is_whole_with_its_last_token_has_stopped(server: Live) -> None:
    """Whoever asks for just as many tokens as an instance of the grammar has."""
    body = {"prompt": [5, 6], "max_tokens": 1, "structured_outputs": {"regex": "a"}}
    for regex, finish in (("a", "stop"), ("aa+b", "length")):
        body["structured_outputs"] = {"regex": regex}
        choice = server.post("/v1/completions", body).json()["choices"][0]
        assert (choice["text"][0], choice["finish_reason"]) == ("a", finish)


def test_a_long_prompt_is_scored_in_blocks(
    tokenizer: Tokenizer, model: Llama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer is the same JSON, and a stream's events together, however few tokens are written at a time."""
    body = {
        "prompt": [TEXT, "x = 1", "y"],
        "max_tokens": 2,
        "temperature": 0,
        "logprobs": 3,
        "echo": True,
        "n": 2,
    }
    with live(lambda: EngineService(Engine(model, tokenizer), "tiny"), SETTINGS) as server:
        whole = server.post("/v1/completions", body).json()
        monkeypatch.setattr(openai_completions, "_BLOCK", 3)
        again = server.post("/v1/completions", body)
        streamed = chunks(server.post("/v1/completions", body | {"stream": True}).text)
    assert again.headers["content-type"] == "application/json"
    assert again.json()["choices"] == whole["choices"] and again.json()["usage"] == whole["usage"]
    for choice in whole["choices"]:
        own = [each["choices"][0] for each in streamed if each["choices"][0]["index"] == choice["index"]]
        assert "".join(each["text"] for each in own) == choice["text"]
        for key, values in choice["logprobs"].items():
            assert [value for each in own if each["logprobs"] for value in each["logprobs"][key]] == values
    assert len(streamed) > len(whole["choices"]) * 3


def test_log_probabilities_of_prompts_have_a_bound(tokenizer: Tokenizer) -> None:
    """Of one request, and of all that are answered at a time."""
    generator = ScriptedGenerator(tokenizer)
    limits = Limits(prompt_logprobs=50)
    settings = ServerSettings(names=("tiny",), limits=limits)
    body = {"prompt": [[5] * 10], "max_tokens": 1, "logprobs": 1, "echo": True}
    with live(lambda: generator, settings) as server:
        refused = server.post("/v1/completions", body | {"logprobs": 5})
        assert refused.status_code == 400 and "60 log-probabilities" in refused.json()["error"]["message"]
        assert server.post("/v1/completions", body | {"prompt": [[5] * 10] * 3}).status_code == 400
        assert server.post("/v1/completions", body | {"echo": False, "logprobs": 5}).status_code == 200
        generator.hold = "decode"
        # two have room, a third one has to wait until they have gone
        connections = [server.raw("/v1/completions", body) for _ in range(2)]
        assert soon(lambda: generator.running == 2)
        third = server.post("/v1/completions", body)
        assert third.status_code == 503 and third.headers["retry-after"]
        for connection in connections:
            connection.close()
        generator.hold = ""
        assert soon(lambda: server.post("/v1/completions", body).status_code == 200)
        assert server.post("/v1/completions", body | {"logprobs": 4}).status_code == 200, "all is given back"
