"""Servers that are busy, break off, talk garbage, fall silent, or are none for us."""

from __future__ import annotations

import asyncio
import base64
import codecs
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from gateways import GREEDY, ask, gateway, texts
from vllm_server import VllmServer, event

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.service import EngineService
from codecascade.generation.gateway.events import EventReader
from codecascade.generation.gateway.gateway import Gateway
from codecascade.generation.requests import Request, SamplingParams, completion_request
from codecascade.generation.streaming import QueueFull
from codecascade.generation.transport import NoReplyError
from codecascade.ground.errors import RunFailed, UserError
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer
from codecascade.tokens.training import train_tokenizer

REQUEST = Request((5, 6, 7), GREEDY, stop_ids=frozenset({2}))


@pytest.fixture
def wanted(model: Llama, tokenizer: Tokenizer) -> Any:
    return texts(ask(EngineService(Engine(model, tokenizer, cache_tokens=512), "ours"), REQUEST))


def broken(server: VllmServer, body: dict[str, Any], events: int, *end: Any) -> list[Any]:
    """An answer of which so many events come, and then something else."""
    return [*list(server.steps(body))[:events], *end]


@pytest.mark.parametrize(
    "trouble",
    [
        lambda server, body: (503, {"error": {"message": "loading"}}),
        lambda server, body: (429, {"error": {"message": "busy"}}, {"Retry-After": "0.01"}),
        lambda server, body: (500, "<html>"),
        lambda server, body: (200, "<html>not events</html>"),
        lambda server, body: (200, {"choices": [{"text": "x"}]}),
        lambda server, body: [],
        lambda server, body: [b"data: [DONE]\n\n"],
        lambda server, body: [b"data: {nonsense\n\n"],
        lambda server, body: [b"data: [1]\n\n"],
        lambda server, body: [b'data: {"choices": 5}\n\n'],
        lambda server, body: [b'data: {"choices": [5]}\n\n'],
        lambda server, body: [b'data: {"choices": [{"text": 5}]}\n\n'],
        lambda server, body: [event({"choices": [{"delta": {"content": "a"}}]})],
        lambda server, body: [event({"choices": [{"delta": {"content": "a"}, "finish_reason": "stop"}]})],
        lambda server, body: [event({"choices": [{"content": "a"}]})],
        lambda server, body: [b"data: " + b"[" * 100_000 + b"\n\n"],
        lambda server, body: [b'data: {"choices": [{"text": "x"}]}\n\n'],
        lambda server, body: [event({"error": {"message": "an accident", "code": 500}})],
        lambda server, body: broken(server, body, 4),
        lambda server, body: broken(server, body, 4, b'data: {"choices": [{"te'),
        lambda server, body: broken(
            server, body, 4, event({"error": {"message": "an accident", "code": 500}})
        ),
        lambda server, body: broken(server, body, 3, b"data: [DONE]\n\n"),
        lambda server, body: broken(
            server, body, 3, event({"choices": [{"text": "", "finish_reason": "abort", "token_ids": []}]})
        ),
    ],
)
def test_what_may_pass_is_tried_again_and_a_text_goes_on_where_it_was(
    server: VllmServer, wanted: Any, trouble: Callable[[VllmServer, dict[str, Any]], Any]
) -> None:
    server.behave = lambda number, body: trouble(server, body) if number <= 2 else None
    assert texts(ask(gateway(server), REQUEST)) == wanted
    assert len(server.requests) == 3


@pytest.mark.parametrize(
    ("trouble", "error", "said"),
    [
        ((503, {"error": {"message": "loading"}}), QueueFull, "loading"),
        ((429, {"error": {"message": "busy"}}), QueueFull, "busy"),
        ((500, {"error": {"message": "an accident"}}), RunFailed, "3 attempts, at last: 500: an accident"),
        ([], RunFailed, "breaks off"),
        ((400, {"error": {"message": "bad bias"}}), UserError, "bad bias"),
        ((422, {"detail": "wrong"}), UserError, "wrong"),
        ((401, {"error": {"message": "no key"}}), RunFailed, "no key"),
        ((404, {"error": {"message": "no model"}}), RunFailed, "no model"),
        ((307, "", {"Location": "http://elsewhere/"}), RunFailed, "sends to http://elsewhere/"),
        ([event({"error": {"message": "bad", "code": 400}})], UserError, "bad"),
    ],
    ids=str,
)
def test_what_does_not_pass(server: VllmServer, trouble: Any, error: type[Exception], said: str) -> None:
    server.behave = lambda number, body: trouble
    at = gateway(server)
    with pytest.raises(error, match=said):
        ask(at, REQUEST)
    assert at.load().running == 0


def test_half_events_and_all_line_ends(server: VllmServer, wanted: Any) -> None:
    def dribble(number: int, body: dict[str, Any]) -> list[Any]:
        data = b"".join(step for step in server.steps(body) if isinstance(step, bytes))
        data = b": a comment\n\nevent: x\nid: 5\n" + data.replace(b"\n", b"\r\n", 7).replace(
            b"}\n\n", b"}\r\r", 2
        )
        return [data[at : at + 7] for at in range(0, len(data), 7)]

    server.behave = dribble
    assert texts(ask(gateway(server), REQUEST)) == wanted


def test_silence_and_events_that_say_nothing(server: VllmServer) -> None:
    nothing = event({"choices": []})
    for steps in ([b": ping\n\n", 0.05], [nothing, 0.05], [event({"choices": [{"text": ""}]}), 0.05], [3.0]):
        server.behave = lambda number, body, steps=steps: steps * 600  # type: ignore[misc]
        at = gateway(server, attempts=1)
        # when the server has said what it is
        at._upstream.patience.timeout = at._upstream.patience.silence = 0.2
        began = time.monotonic()
        with pytest.raises(RunFailed, match="in time"):
            ask(at, REQUEST)
        assert time.monotonic() - began < 60


def test_a_stream_without_end_ends_at_the_tokens_that_were_asked_for(server: VllmServer) -> None:
    one = event({"choices": [{"text": "x", "token_ids": [9]}]})
    server.behave = lambda number, body: [one] * 100_000
    [(_, ids, reason, _)] = texts(ask(gateway(server), REQUEST))
    assert (ids, reason) == ((9,) * GREEDY.max_new_tokens, "length")


def test_tokens_that_nobody_has(server: VllmServer) -> None:
    choice = {"text": "x", "token_ids": [10**12, -1, 5], "finish_reason": "length"}
    server.behave = lambda number, body: [event({"choices": [choice]})]
    with pytest.raises(RunFailed, match="without its tokens"):
        ask(gateway(server, attempts=1), REQUEST)


def test_text_without_tokens_can_not_be_continued(server: VllmServer) -> None:
    server.knows, server.strict = frozenset(), True
    server.behave = lambda number, body: broken(server, body, 3)
    with pytest.raises(RunFailed, match="can't be continued"):
        ask(gateway(server), REQUEST)
    server.behave = lambda number, body: (503, "") if number == 2 else None
    assert ask(gateway(server), REQUEST)[-1].finish_reason == "length"


def test_characters_that_come_in_halves(server: VllmServer) -> None:
    """JSON cuts a character beyond the first 65,536 into two, and events may part them."""
    server.knows, server.strict = frozenset(), True

    def writes(*texts: str) -> None:
        choices = [{"text": text, "finish_reason": None} for text in texts]
        choices.append({"text": "", "finish_reason": "length"})
        server.behave = lambda number, body: [event({"choices": [choice]}) for choice in choices]

    writes("a\ud83d", "\ude42b", "\ud83d\ude42", "c\ud83d")
    assert texts(ask(gateway(server), REQUEST))[0][0] == "a\U0001f642b\U0001f642c"
    for alone in ("\ude42", "\ud83dx"):
        writes(alone)
        with pytest.raises(RunFailed, match="3 attempts, at last: a text with half a character"):
            ask(gateway(server), REQUEST)


def test_reading_a_prompt_alone_is_tried_again(server: VllmServer) -> None:
    request = Request((5, 6, 7), SamplingParams(0), samples=2)
    server.behave = lambda number, body: (503, "") if number <= 2 else None
    assert [delta.finish_reason for delta in ask(gateway(server), request)] == ["length", "length"]
    assert len(server.requests) == 3, "two samples of no tokens read the prompt once"
    server.requests.clear()
    server.behave = lambda number, body: (500, "")
    with pytest.raises(RunFailed, match="in 3 attempts"):
        ask(gateway(server), request)
    assert len(server.requests) == 3
    with pytest.raises(RunFailed, match="in 1 attempt,"):
        ask(gateway(server, attempts=1), request)


def test_a_prompt_that_was_scored_is_not_read_again(server: VllmServer) -> None:
    logprobs = {
        "tokens": [f"token_id:{token}" for token in (5, 6, 7, 9)],
        "token_logprobs": [None, -1, -2, -3],
    }
    choice = {"text": "x", "finish_reason": "length", "logprobs": logprobs}
    server.behave = lambda number, body: [event({"choices": [choice]})]
    [delta] = ask(gateway(server), Request((5, 6, 7), SamplingParams(0, prompt_logprobs=0)))
    assert [entry.logprob for entry in delta.prompt_logprobs] == [-1.0, -2.0]
    assert [body.get("echo") for body in server.requests] == [True]


def test_one_sample_that_fails_ends_all(server: VllmServer) -> None:
    server.behave = lambda number, body: (400, {"error": {"message": "no"}}) if number == 2 else None
    server.pause = 0.01
    with pytest.raises(UserError, match="no"):
        ask(gateway(server), Request((5, 6), SamplingParams(60, 1.0), samples=3, stop_ids=frozenset({2})))


def test_events_are_bounded() -> None:
    reader = EventReader()
    with pytest.raises(NoReplyError, match="MB"):
        for _ in range(20):
            reader.push(b"data: " + b"x" * (1 << 20))
    reader = EventReader()
    with pytest.raises(NoReplyError, match="MB"):
        for _ in range(20):
            reader.push(b"data: " + b"x" * (1 << 20) + b"\n")


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_events_do_not_depend_on_how_they_are_cut(size: int) -> None:
    data = b"data: a\r\n\r\n:x\ndata:b\ndata: c\n\n\n\ndata\n\nother: d\r\rdata: e\r\rdata: half"
    for mark in (b"", codecs.BOM_UTF8):
        stream, reader = mark + data, EventReader()
        pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
        found = [entry for piece in pieces for entry in reader.push(piece)]
        assert found == [b"a", b"b\nc", b"", b"e"]


# ---------------------------------------------------------------- servers that are none for us


def test_who_only_chats(server: VllmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.takes_ids = False
    with pytest.raises(UserError, match="refuses a prompt of token ids"):
        gateway(server)
    monkeypatch.setattr(server, "chunks", lambda body: 1 / 0)
    server.takes_ids = True
    with pytest.raises(UserError, match="does not answer"):
        gateway(server)


def test_another_tokenizer(server: VllmServer) -> None:
    other = train_tokenizer(["the quick brown fox jumps over the lazy dog " * 20], 300, kind="bytes")
    with pytest.raises(UserError, match="--tokenizer"):
        Gateway(server.url, "small", other)


def test_another_context(server: VllmServer) -> None:
    server.models = (200, {"data": [{"id": "small"}]})
    with pytest.raises(UserError, match="--context"):
        gateway(server)
    assert gateway(server, context=100).context_length == 100
    server.models = (200, {"data": [{"id": "small", "max_model_len": 64}]})
    assert gateway(server, context=100).context_length == 64
    with pytest.raises(UserError, match="serves no model 'other'; it has small"):
        Gateway(server.url, "other", server.tokenizer)


def test_keys_are_sent(server: VllmServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-5")
    gateway(server)
    assert set(server.keys) == {"Bearer sk-5"}


def test_a_login_in_the_address_is_sent_and_not_told(server: VllmServer) -> None:
    url = server.url.replace("://", "://na%40me:pass%3Aword@")
    at = Gateway(url, "small", server.tokenizer, first_wait=0.01)
    assert at.url == server.url
    server.behave = lambda number, body: (500, "")
    with pytest.raises(RunFailed) as never:
        ask(at, REQUEST)
    server.behave = lambda number, body: (401, "")
    with pytest.raises(RunFailed) as refused:
        ask(Gateway(url, "small", server.tokenizer), REQUEST)
    with pytest.raises(UserError) as unknown:
        Gateway(url, "other", server.tokenizer)
    assert "Basic" in str(server.keys[0])
    login = f"Basic {base64.b64encode(b'na@me:pass:word').decode()}"
    assert set(server.keys) == {login}
    for error in (never.value, refused.value, unknown.value):
        assert server.url in str(error)
        assert "pass" not in str(error) and "me" not in str(error).partition(" ")[0]


def test_draining(server: VllmServer, tokenizer: Tokenizer) -> None:
    server.pause = 0.02

    async def run() -> None:
        at = gateway(server)
        reading = asyncio.create_task(read(at))
        while not at.load().running:
            await asyncio.sleep(0.01)
        await at.drain()
        assert await reading > 1
        with pytest.raises(QueueFull):
            await read(at)
        await at.close()

    async def read(at: Gateway) -> int:
        return len([delta async for delta in at.stream(REQUEST)])

    asyncio.run(run())


def test_a_saved_tokenizer_is_the_same(server: VllmServer, tmp_path: Any) -> None:
    server.tokenizer.save(tmp_path)
    at = Gateway(server.url, "small", load_tokenizer(tmp_path))
    request = completion_request(at.tokenizer, "def merge(first", GREEDY)
    assert texts(ask(at, request))[0][2] in ("length", "stop")
    assert json.dumps(server.requests[0]["prompt"]) == json.dumps(list(request.ids))
