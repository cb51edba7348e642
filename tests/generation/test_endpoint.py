"""Endpoints, good and bad, over real sockets."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from endpoint_server import Server, answered

from codecascade.generation.backend import ChatPrompt, InfillingPrompt, TextPrompt, TextRequest
from codecascade.generation.endpoint import Endpoint
from codecascade.generation.requests import SamplingParams
from codecascade.ground.errors import RunFailed, UserError
from codecascade.tokens.chat import Message


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.stop()


def endpoint(server: Server, model: str = "small", **changed: Any) -> Endpoint:
    return Endpoint(server.url, model, **{"first_wait": 0.01, "timeout": 60.0, **changed})


def ask(at: Endpoint, *prompts: Any, **sampling: Any) -> list[Any]:
    requests = [TextRequest(prompt, SamplingParams(**sampling)) for prompt in prompts]
    return sorted(at.complete(requests), key=lambda completion: completion.request)


def test_each_kind_of_prompt_goes_where_it_belongs(server: Server) -> None:
    at = endpoint(server)
    prompts = (
        TextPrompt("def f():", ("\ndef",)),
        InfillingPrompt("before ", " after"),
        ChatPrompt((Message("system", "be brief"), Message("user", "hi")), "```", ("```",)),
    )
    found = [ask(at, prompt, max_new_tokens=9, temperature=0.8, top_p=0.9, seed=3)[0] for prompt in prompts]
    assert [answer.text for answer in found] == ["def f():", "before ", "hi"]
    assert {answer.tokens for answer in found} == {5}
    (path, plain), (gap_path, gap), (chat_path, chat) = server.requests
    assert (path, gap_path, chat_path) == ("/v1/completions", "/v1/completions", "/v1/chat/completions")
    assert plain["stop"] == ["\ndef"] and "stop" not in gap and "stop" not in chat
    assert (gap["prompt"], gap["suffix"]) == ("before ", " after")
    assert chat["messages"] == [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    for body in (plain, gap, chat):
        assert (body["model"], body["max_tokens"], body["temperature"], body["top_p"]) == (
            "small",
            9,
            0.8,
            0.9,
        )


def test_editor_stops_cut_what_comes(server: Server) -> None:
    texts = {"x = [\n": "    1,\n]\nprint(x)\n", "y = ": "1"}
    server.behave = lambda number, body: (200, answered(body, texts[body["prompt"]]))
    prompts = [InfillingPrompt(prefix, "\n]\nprint(x)\n", editor_lines="block") for prefix in texts]
    first, second = ask(endpoint(server), *prompts)
    assert (first.text, first.finish_reason, first.ended) == ("    1,", "stop", False)
    assert (second.text, second.ended) == ("1", True)
    [whole] = ask(endpoint(server), InfillingPrompt("x = [\n", "\n]\nprint(x)\n"))
    assert whole.text == texts["x = [\n"]


def test_sampling_settings_are_sent_where_they_say_something(server: Server) -> None:
    said = {
        "top_k": 5,
        "min_p": 0.1,
        "repetition_penalty": 1.2,
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
    }
    at = endpoint(server)
    for prompt in (TextPrompt("x"), ChatPrompt((Message("user", "hi"),))):
        ask(at, prompt, **said, logit_bias=((7, -100.0),))
        ask(at, prompt)
        body, plain = server.requests[-2][1], server.requests[-1][1]
        assert {key: body[key] for key in said} == said and body["logit_bias"] == {"7": -100.0}
        assert not {*said, "logit_bias"} & set(plain)


@pytest.mark.parametrize("usage", [None, "many", {}, {"completion_tokens": "5"}])
def test_who_does_not_count_tokens_is_no_trouble(server: Server, usage: Any) -> None:
    server.behave = lambda number, body: (200, {**answered(body), "usage": usage})
    [answer] = ask(endpoint(server), TextPrompt("x"))
    assert (answer.text, answer.tokens) == ("x", 0)


def test_seeds_are_of_problem_and_sample(server: Server) -> None:
    at = endpoint(server, concurrency=1)
    list(at.complete([TextRequest(TextPrompt("x"), SamplingParams(seed=7), (0, 1, 5))]))
    list(at.complete([TextRequest(TextPrompt("x"), SamplingParams(seed=7), (5,))]))
    list(at.complete([TextRequest(TextPrompt("x"), SamplingParams(seed=8), (5,))]))
    seeds = [body["seed"] for _, body in server.requests]
    assert len(set(seeds[:3])) == 3 and seeds[3] == seeds[2] != seeds[4]
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_texts_are_cut_here_too_and_the_reason_of_their_end_is_given(server: Server) -> None:
    texts = {
        "a": ("x\n#y\ndef", {}),
        "b": ("x", {"finish_reason": "length"}),
        "c": ("x", {"stop_reason": None}),
        "d": ("x\n#", {"finish_reason": "length"}),
    }
    server.behave = lambda number, body: (
        200,
        answered(body, *texts[body["prompt"]][:1], **texts[body["prompt"]][1]),
    )
    found = ask(endpoint(server), *(TextPrompt(name, ("\ndef", "\n#")) for name in texts))
    assert [answer.text for answer in found] == ["x"] * 4
    assert [answer.finish_reason for answer in found] == ["stop", "length", "stop", "stop"]
    assert [answer.ended for answer in found] == [False, False, True, False]


def test_white_space_at_a_prompts_end_is_owed_by_the_answer(server: Server) -> None:
    """``def f():`` is followed by a line break with its indent in one token, which no prompt can hold half of."""
    texts = {"def f():": "\n    pass\ndef g", "x =": "1", "x = \n": "2"}
    server.behave = lambda number, body: (200, answered(body, texts.get(body["prompt"], "plain\n")))
    at = endpoint(server, concurrency=1)
    prompts = ("def f():\n", "x = \n", "line\n", "\n  ")
    stops = (("\ndef",), (), ("\n",), ())
    found = ask(at, *(TextPrompt(*each) for each in zip(prompts, stops, strict=True)), max_new_tokens=9)
    assert [answer.text for answer in found] == ["    pass", "2", "plain", "plain\n"]
    asked = [(body["prompt"], body["max_tokens"]) for _, body in server.requests]
    assert asked == [("def f():", 10), ("x =", 11), ("x = \n", 9), ("line\n", 9), ("\n  ", 9)]
    [whole] = ask(at, TextPrompt("def f():\n", ("\ndef",), heal=False), max_new_tokens=9)
    assert whole.text == "plain\n" and server.requests[-1][1]["prompt"] == "def f():\n"


def test_a_stop_behind_text_only_is_not_the_servers_affair(server: Server) -> None:
    server.behave = lambda number, body: (200, answered(body, "\n  \n    x = 1\n    y = 2\n"))
    [answer] = ask(endpoint(server), TextPrompt("def f():", ("\n",), stop_after_text=True))
    assert answer.text == "\n  \n    x = 1" and "stop" not in server.requests[-1][1]


def test_several_requests_at_a_time_and_no_more(server: Server) -> None:
    def slowly(number: int, body: dict[str, Any]) -> Any:
        time.sleep(0.05)
        return 200, answered(body)

    server.behave = slowly
    found = ask(endpoint(server, concurrency=3), *(TextPrompt(str(number)) for number in range(12)))
    assert [answer.text for answer in found] == [str(number) for number in range(12)]
    assert 1 < server.most_at_once <= 3


@pytest.mark.parametrize(
    "trouble",
    [
        (429, {"error": {"message": "slow down"}}, {"Retry-After": "0.01"}),
        (503, "busy"),
        (500, {"error": "an accident"}),
        "drop",
        "close",
        "garbage",
        (200, {"choices": []}),
        (200, {"choices": [{}]}),
        (200, {"choices": ["x"]}),
        (200, {"choices": [{"text": 5}]}),
        (200, [1]),
    ],
    ids=str,
)
def test_what_may_pass_is_tried_again(server: Server, trouble: Any) -> None:
    server.behave = lambda number, body: trouble if number <= 2 else (200, answered(body))
    [answer] = ask(endpoint(server), TextPrompt("x"))
    assert answer.text == "x" and len(server.requests) == 3


def test_silence_is_tried_again_and_then_given_up(server: Server) -> None:
    server.behave = lambda number, body: "hang" if number == 1 else (200, answered(body))
    at = endpoint(server)
    at._timeout = 1.0
    [answer] = ask(at, TextPrompt("x"))
    assert answer.text == "x"
    server.behave = lambda number, body: "hang"
    at = endpoint(server, attempts=2)
    at._timeout = 0.2
    with pytest.raises(
        RunFailed, match=r"no answer in 2 attempts, at last: no answer within 0\.2 s.*continue"
    ):
        ask(at, TextPrompt("x"))


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ((502, "bad gateway"), "502: bad gateway"),
        ("drop", "peer closed|closed connection"),
        ("close", "disconnected"),
    ],
)
def test_trouble_without_end_ends_the_run(server: Server, trouble: Any, reason: str) -> None:
    """After what was answered."""
    server.behave = lambda number, body: trouble if body["prompt"] == "bad" else (200, answered(body))
    at = endpoint(server, attempts=3, concurrency=1)
    answers = at.complete([TextRequest(TextPrompt("good")), TextRequest(TextPrompt("bad"))])
    assert next(answers).text == "good"
    with pytest.raises(RunFailed, match=rf"no answer in 3 attempts, at last: .*({reason})"):
        next(answers)


def test_a_refusal_is_not_repeated(server: Server) -> None:
    server.behave = lambda number, body: (400, {"error": {"message": "unknown parameter seed"}})
    with pytest.raises(RunFailed, match=r"refuses a request .400: unknown parameter seed"):
        ask(endpoint(server), TextPrompt("x"))
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (
            (401, {"error": {"message": "bad key"}}),
            "401: bad key.; set the environment variable OPENAI_API_KEY",
        ),
        ((404, "no such page"), "404: no such page.; a server that only chats is asked with --chat always"),
        ((307, "", {"Location": "http://other/v1"}), "307: sends to http://other/v1.$"),
    ],
)
def test_a_refusal_says_what_to_do(server: Server, refusal: Any, advice: str) -> None:
    server.behave = lambda number, body: refusal
    with pytest.raises(RunFailed, match=advice):
        ask(endpoint(server), TextPrompt("x"))


TOO_LONG = [
    (400, {"error": {"message": "the request exceeds", "type": "exceed_context_size_error"}}),
    (
        400,
        {
            "error": {
                "message": "This model's maximum context length is 100 tokens. However, you requested 700 tokens "
                "(600 in the messages, 100 in the completion)."
            }
        },
    ),
    (500, {"error": {"message": "Requested tokens (600) exceed context window of 100"}}),
]


@pytest.mark.parametrize("refusal", TOO_LONG)
def test_a_prompt_over_the_context_is_reported_and_not_cut(server: Server, refusal: Any) -> None:
    server.behave = lambda number, body: refusal if body["prompt"] == "long" else (200, answered(body))
    found = ask(endpoint(server), TextPrompt("long"), TextPrompt("short"))
    assert [(answer.finish_reason, answer.text) for answer in found] == [("context", ""), ("stop", "short")]


def test_a_prompt_that_leaves_little_room_is_completed_up_to_the_end(server: Server) -> None:
    refusal = (
        400,
        {
            "error": {
                "message": "'max_tokens' is too large: 50. This model's maximum context length is 100 tokens and "
                "your request has 88 input tokens (50 > 100 - 88)."
            }
        },
    )
    server.behave = lambda number, body: refusal if body["max_tokens"] > 12 else (200, answered(body))
    [answer] = ask(endpoint(server), TextPrompt("x"), max_new_tokens=50)
    assert answer.text == "x" and server.requests[-1][1]["max_tokens"] == 12


def test_servers_that_take_four_stops_get_four(server: Server) -> None:
    def four(number: int, body: dict[str, Any]) -> Any:
        if len(body["stop"]) > 4:
            return 400, {"error": {"message": "Invalid 'stop': array too long"}}
        return 200, answered(body, "x\nprint")

    server.behave = four
    stops = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
    found = ask(endpoint(server, concurrency=1), TextPrompt("a", stops), TextPrompt("b", stops))
    assert [answer.text for answer in found] == ["x", "x"] and len(server.requests) == 3


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(UserError, match=r"/v1/models: can't be reached \(.*\); is the server running\?"):
        Endpoint(url, "small")
    with pytest.raises(UserError, match="--endpoint: must be a URL"):
        Endpoint("localhost:8000", "small")


@pytest.mark.parametrize(
    ("models", "sentence"),
    [
        ((200, {"data": [{"id": "big"}]}), "serves no model 'small'; it has big"),
        ((401, {"error": {"message": "no key"}}), "OPENAI_API_KEY"),
        ((418, "a teapot"), "answers 418: a teapot"),
        ((200, {"data": None}), "is no OpenAI-compatible server"),
        (
            (301, "", {"Location": "http://other/v1/models"}),
            "sends elsewhere; name that address: --endpoint http://other$",
        ),
        ((200, "<html>"), "is no OpenAI-compatible server"),
        ((503, "loading"), "answers 503: loading"),
    ],
)
def test_wrong_servers(server: Server, models: Any, sentence: str) -> None:
    server.models = models
    with pytest.raises(UserError, match=sentence):
        endpoint(server, attempts=2)


def test_a_key_that_no_header_can_hold(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "schlüssel")
    with pytest.raises(UserError, match="OPENAI_API_KEY: holds characters"):
        endpoint(server)


def test_what_the_server_tells_of_itself(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    at = endpoint(server, "other", title="Other 1B")
    assert (at.context_length, at.name, server.keys) == (2048, "Other 1B", ["Bearer secret"])
    assert at.describe() == {"endpoint": "other", "address": server.url}
    assert Endpoint(f"{server.url}/v1/", "small").context_length is None
    server.models = (404, "no such page")
    assert endpoint(server, "any").name == "any"


def test_tokens_are_counted_by_the_server_or_estimated(server: Server) -> None:
    server.behave = lambda number, body: (200, {"count": 7, "tokens": [1] * 7})
    at = endpoint(server)
    assert at.count_tokens("abc") == at.count_tokens("abc") == 7 and len(server.requests) == 1
    server.behave = lambda number, body: (200, {"tokens": [1, 2]})
    assert endpoint(server).count_tokens("abc") == 2
    server.behave = lambda number, body: (404, "none")
    other = endpoint(server)
    asked = len(server.requests)
    assert other.count_tokens("x" * 32) == other.count_tokens("y" * 32) == 10
    assert len(server.requests) == asked + 1
