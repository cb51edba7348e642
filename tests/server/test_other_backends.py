"""The whole way: clients, our server, and behind it a server that speaks vLLM's API, or llama.cpp."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from engine_models import tiny_model
from live_server import Live, live, soon
from llama_runtime import StandIn
from tiny_models import save_tiny_model
from vllm_server import VllmServer

from codecascade.cli import main
from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.service import EngineService
from codecascade.generation.gateway.gateway import Gateway
from codecascade.generation.llama_cpp.engine import LlamaCppEngine
from codecascade.model.llama import Llama
from codecascade.server.loading import load_gateway
from codecascade.server.settings import ServerSettings
from codecascade.tokens.tokenizer import Tokenizer

SETTINGS = ServerSettings(names=("tiny",))


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> Llama:
    return tiny_model(tokenizer)


@pytest.fixture(scope="module")
def behind(model: Llama, tokenizer: Tokenizer) -> Iterator[VllmServer]:
    made = VllmServer(model, tokenizer)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def ours(model: Llama, tokenizer: Tokenizer) -> Iterator[Live]:
    with live(lambda: EngineService(Engine(model, tokenizer, cache_tokens=2048), "tiny"), SETTINGS) as server:
        yield server


@pytest.fixture(scope="module", params=["gateway", "llama.cpp"])
def server(
    request: pytest.FixtureRequest, behind: VllmServer, model: Llama, tokenizer: Tokenizer
) -> Iterator[Live]:
    def make() -> Any:
        if request.param == "gateway":
            return Gateway(behind.url, "small", tokenizer, first_wait=0.01)
        return EngineService(LlamaCppEngine(StandIn(model), tokenizer), "tiny")

    with live(make, SETTINGS) as server:
        yield server


BODIES = {
    "/infill": {
        "input_prefix": "def merge(",
        "prompt": "fir",
        "input_suffix": "):\n    pass\n",
        "n_predict": 8,
    },
    "/completion": {"prompt": "def merge(fir", "n_predict": 8, "temperature": 0},
    "/v1/completions": {"prompt": "def merge(fir", "suffix": "):\n", "max_tokens": 8, "temperature": 0},
    "/v1/chat/completions": {
        "messages": [{"role": "user", "content": "merge"}],
        "max_tokens": 8,
        "temperature": 0,
    },
    "/v1/fim/completions": {"prompt": "def merge(fir", "suffix": "):\n", "max_tokens": 8},
    "/api/generate": {"model": "tiny", "prompt": "def merge(", "suffix": "):\n", "stream": False},
    "/generate": {"inputs": "def merge(", "parameters": {"max_new_tokens": 8}},
}


def said(answer: Any) -> Any:
    """The text of an answer, in whatever protocol."""
    if "choices" in answer:
        choice = answer["choices"][0]
        return choice["text"] if "text" in choice else choice["message"]["content"]
    return next(answer[key] for key in ("content", "response", "generated_text") if key in answer)


def counted(answer: Any) -> int | None:
    """The tokens of a completion, as a protocol tells them; None where it does not."""
    answer = answer.get("usage") or answer.get("details") or answer
    keys = ("completion_tokens", "tokens_predicted", "eval_count", "generated_tokens")
    return next((answer[key] for key in keys if key in answer), None)


def written(server: Live) -> int:
    """The tokens of all its completions, as ``/metrics`` counts them."""
    tokens: int = server.generator.load().completion_tokens
    return tokens


def has_written(server: Live, tokens: int) -> bool:
    return written(server) == tokens


@pytest.mark.parametrize("path", BODIES)
def test_each_protocol_gives_what_our_own_engine_gives(server: Live, ours: Live, path: str) -> None:
    found, wanted = server.post(path, BODIES[path]), ours.post(path, BODIES[path])
    assert found.status_code == wanted.status_code == 200, found.text
    assert said(found.json()) == said(wanted.json())
    assert counted(found.json()) == counted(wanted.json())


def test_no_more_tokens_are_counted_than_were_asked_for(server: Live, ours: Live) -> None:
    """The end of the prompt is given again by a token of its own, which is the prompt's."""
    bodies: list[tuple[str, dict[str, Any]]] = [
        ("/v1/completions", {"prompt": "def merge(fir", "max_tokens": 5, "temperature": 0}),
        ("/infill", {"input_prefix": "def merge(fir", "input_suffix": "", "n_predict": 5, "n_cmpl": 2}),
        ("/completion", {"prompt": "def merge(fir", "n_predict": 5, "temperature": 0}),
        (
            "/api/generate",
            {"model": "tiny", "prompt": "def fir", "stream": False, "options": {"num_predict": 5}},
        ),
        ("/generate", {"inputs": "def fir", "parameters": {"max_new_tokens": 5, "details": True}}),
    ]
    for path, body in bodies:
        for each in (server, ours):
            before = written(each)
            answers = each.post(path, {**body, "editor_stops": False}).json()
            counts = [counted(answer) for answer in (answers if isinstance(answers, list) else [answers])]
            assert counts == [5] * len(counts), (path, answers)
            assert soon(partial(has_written, each, before + 5 * len(counts))), path


def test_the_token_that_ends_a_text_is_counted_whoever_tells_it(
    server: Live, ours: Live, tokenizer: Tokenizer
) -> None:
    """A server may leave it out of its tokens, as ours does."""
    body = {"prompt": "x = 1", "max_tokens": 7, "logit_bias": {str(tokenizer.eos_id): 100}, "logprobs": 0}
    with live(lambda: Gateway(ours.url, "tiny", tokenizer, context=128), SETTINGS) as in_front:
        for each in (server, ours, in_front):
            before = written(each)
            answer = each.post("/v1/completions", body).json()
            assert answer["choices"][0]["text"] == "" and answer["choices"][0]["finish_reason"] == "stop"
            assert counted(answer) == 1
            assert soon(partial(has_written, each, before + 1))
            longer = each.post("/v1/completions", {**body, "min_tokens": 1, "temperature": 0}).json()
            assert counted(longer) == 2 and len(longer["choices"][0]["logprobs"]["tokens"]) == 1


@pytest.mark.parametrize("path", BODIES)
def test_a_server_of_ours_in_front_of_another(ours: Live, tokenizer: Tokenizer, path: str) -> None:
    """It tells its tokens, so the text is the same, healed prompts and editor stops included."""
    with live(lambda: Gateway(ours.url, "tiny", tokenizer, context=128), SETTINGS) as server:
        for stops in (True, False):
            body = {**BODIES[path], "editor_stops": stops}
            found, wanted = server.post(path, body), ours.post(path, body)
            assert found.status_code == wanted.status_code == 200, found.text
            assert said(found.json()) == said(wanted.json())


def test_streams_too(server: Live) -> None:
    body = BODIES["/v1/completions"]
    text = server.post("/v1/completions", {**body, "stream": True}).text
    assert text.endswith("data: [DONE]\n\n")


def test_a_client_that_goes_takes_its_request_along(
    behind: VllmServer, model: Llama, tokenizer: Tokenizer
) -> None:
    behind.pause, gone = 0.02, behind.gone
    try:
        with live(lambda: Gateway(behind.url, "small", tokenizer), SETTINGS) as server:
            for stream in (True, False):
                body = {"prompt": "def", "max_tokens": 100, "temperature": 1, "stream": stream, "seed": 1}
                connection = server.raw("/v1/completions", body)
                assert soon(lambda: behind.running > 0)
                connection.close()
                assert soon(lambda: behind.running == 0 and server.generator.load().running == 0)
            assert behind.gone > gone
    finally:
        behind.pause = 0.0


def test_errors_of_the_server_behind(behind: VllmServer, tokenizer: Tokenizer) -> None:
    with live(lambda: Gateway(behind.url, "small", tokenizer, first_wait=0.01), SETTINGS) as server:
        try:
            for sent, status in ((400, 400), (503, 429), (500, 500), (401, 500)):
                behind.behave = lambda number, body, sent=sent: (sent, {"error": {"message": "no"}})  # type: ignore[misc]
                answer = server.post("/v1/completions", BODIES["/v1/completions"])
                assert answer.status_code == status and "error" in answer.json()
        finally:
            behind.behave = lambda number, body: None
        assert server.post("/v1/completions", BODIES["/v1/completions"]).status_code == 200


def test_a_tokenizer_from_a_folder(behind: VllmServer, tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    gateway = load_gateway(behind.url, "small", str(tmp_path), "mine", context=64)
    assert (gateway.name, gateway.context_length) == ("mine", 64)


MISTAKES = {
    "nothing": ([], "name a MODEL"),
    "both": (["m", "--endpoint", "http://x", "--model", "y", "--tokenizer", "z"], "not both"),
    "no tokenizer": (["--endpoint", "http://127.0.0.1:9", "--model", "y"], "--tokenizer"),
    "no name": (["--endpoint", "http://127.0.0.1:9", "--tokenizer", "y"], "--model"),
    "a stray tokenizer": (["m", "--tokenizer", "y"], "belong together"),
    "weights": (["--endpoint", "x", "--model", "y", "--tokenizer", "z", "--weights", "fp32"], "--weights"),
    "backend": (
        ["--endpoint", "x", "--model", "y", "--tokenizer", "z", "--backend", "llama.cpp"],
        "--backend",
    ),
    "no URL": (["--endpoint", "x", "--model", "y", "--tokenizer", "FOLDER"], "must be a URL"),
    "nobody there": (
        ["--endpoint", "http://127.0.0.1:9", "--model", "y", "--tokenizer", "FOLDER"],
        "can't be reached",
    ),
    "nobody there, and a login": (
        ["--endpoint", "http://me:secret@127.0.0.1:9", "--model", "y", "--tokenizer", "FOLDER"],
        "http://127.0.0.1:9/v1/models: can't be reached",
    ),
    "llama.cpp and weights": (["FOLDER", "--backend", "llama.cpp", "--weights", "bf16"], "--weights"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_of_the_command(
    mistake: str, tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokenizer.save(tmp_path)
    arguments, named = MISTAKES[mistake]
    with pytest.raises(SystemExit) as end:
        main(["serve", "--port", "0", *(str(tmp_path) if word == "FOLDER" else word for word in arguments)])
    out, err = capsys.readouterr()
    assert end.value.code == 2 and out == ""
    assert named in err and "Traceback" not in err and "secret" not in err


def test_llama_cpp_reads_gguf_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_tiny_model(tmp_path)
    with pytest.raises(SystemExit) as end:
        main(["serve", "--port", "0", str(tmp_path), "--backend", "llama.cpp"])
    assert end.value.code == 2 and "convert the model with --to gguf" in capsys.readouterr().err
