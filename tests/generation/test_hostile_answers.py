"""Whatever a server's answer holds: a completion, or a sentence."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hostile_server import HostileServer, answered, http
from hypothesis import given
from hypothesis import strategies as st

from codecascade.generation.backend import TextCompletion, TextPrompt, TextRequest
from codecascade.generation.endpoint import Endpoint
from codecascade.generation.replies import (
    choice_of,
    message_of,
    models_of,
    room_of,
    tokenized,
    tokens_of,
)
from codecascade.generation.transport import Reply, plain
from codecascade.ground.errors import RunFailed, UserError

GOOD = b'{"choices": [{"text": "x"}]}'


@pytest.fixture
def server() -> Iterator[HostileServer]:
    made = HostileServer()
    yield made
    made.stop()


def endpoint(server: HostileServer, **changed: Any) -> Endpoint:
    return Endpoint(server.url, "small", **{"first_wait": 0.01, "timeout": 0.3, "attempts": 2, **changed})


def ask(server: HostileServer, answer: Any, **changed: Any) -> TextCompletion:
    at = endpoint(server, **{"timeout": 60.0, **changed})
    server.answer = answer
    [found] = at.complete([TextRequest(TextPrompt("a"))])
    return found


NO_ANSWERS = [
    b"[" * 100_000,
    b'{"choices": ' * 50_000,
    b'{"choices": [{"text": "x"}], "n": ' + b"9" * 5000 + b"}",
    b'{"choices": [{"text": 1e999}]}',
    b'{"choices": "x"}',
    b'{"choices": {"0": {"text": "x"}}}',
    b'{"choices": [["text"]]}',
    b'{"choices": ["text"]}',
    b'{"choices": [null]}',
    b'{"choices": null}',
    b'{"choices": [{"message": null}]}',
    b'{"choices": [{"message": "x"}]}',
    b'{"choices": [{"message": {"content": [{"type": "text", "text": "x"}]}}]}',
    b'{"choices": [{"text": {"a": 1}}]}',
    b"null",
    b"5",
    b'"choices"',
    b"NaN",
    b"",
    b"data: {}\n\ndata: [DONE]\n\n",
    b"<!doctype html><html><body>\x1b[2JSorry</body></html>",
    b"\xff\xfe\xfd",
    b"\x80abc",
]


@pytest.mark.parametrize("body", NO_ANSWERS, ids=lambda body: body[:25])
def test_what_is_no_answer_is_asked_for_again_and_then_a_sentence(server: HostileServer, body: bytes) -> None:
    with pytest.raises(
        RunFailed, match=r"no answer in 2 attempts, at last: an answer (that is no JSON|without a text)"
    ) as error:
        ask(server, answered(body))
    assert len(str(error.value)) < 600 and str(error.value).isprintable()
    assert server.asked == 3


@pytest.mark.parametrize(
    ("changed", "text", "tokens"),
    [
        ({"usage": {"completion_tokens": 10**4000}}, "x", 0),
        ({"usage": {"completion_tokens": -1}}, "x", 0),
        ({"usage": {"completion_tokens": True}}, "x", 0),
        ({"usage": {"completion_tokens": 1.5}}, "x", 0),
        ({"usage": [1]}, "x", 0),
        ({"usage": {"completion_tokens": 7}}, "x", 7),
        ({"choices": [{"text": None}]}, "", 0),
        ({"choices": [{"text": "x"}, {"text": "y"}, 5]}, "x", 0),
        (
            {"choices": [{"text": "x", "finish_reason": {"a": []}, "logprobs": [[1e300] * 9], "index": "z"}]},
            "x",
            0,
        ),
        ({"choices": [{"text": "\ud800\0"}]}, "\ud800\0", 0),
        ({"id": 5, "created": "x", "object": None, "model": [1]}, "x", 0),
    ],
)
def test_what_is_beside_the_text_may_be_anything(
    server: HostileServer, changed: dict[str, Any], text: str, tokens: int
) -> None:
    found = ask(server, answered(json.dumps({"choices": [{"text": "x"}]} | changed)))
    assert (found.text, found.tokens) == (text, tokens)


def test_infinite_numbers_beside_the_text(server: HostileServer) -> None:
    found = ask(
        server, answered(b'{"choices": [{"text": "x"}], "usage": {"completion_tokens": 1e999}, "n": NaN}')
    )
    assert (found.text, found.tokens) == ("x", 0)


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("utf-8", '{"choices": [{"text": "é"}]}'.encode(), "é"),
        ("UTF-8; q=1", '\ufeff{"choices": [{"text": "é"}]}'.encode(), "é"),
        ("no-such-thing", '{"choices": [{"text": "é"}]}'.encode(), "é"),
        ("rot13", '{"choices": [{"text": "é"}]}'.encode(), "é"),
        ("iso-8859-1", '{"choices": [{"text": "é"}]}'.encode("latin-1"), "é"),
        ('"utf-16"', '{"choices": [{"text": "é"}]}'.encode("utf-16"), "é"),
        ("no-such-thing", '{"choices": [{"text": "é"}]}'.encode("latin-1"), None),
        ("rot13", '{"choices": [{"text": "é"}]}'.encode("latin-1"), None),
        ("undefined", '{"choices": [{"text": "é"}]}'.encode("latin-1"), None),
        ("idna", '{"choices": [{"text": "é"}]}'.encode("latin-1"), None),
        ("\xff", '{"choices": [{"text": "é"}]}'.encode("latin-1"), None),
    ],
)
def test_character_sets(server: HostileServer, charset: str, body: bytes, text: str | None) -> None:
    answer = http(body, f"Content-Type: application/json; charset={charset}")
    if text is None:
        with pytest.raises(RunFailed, match="an answer that is no JSON"):
            ask(server, answer)
    else:
        assert ask(server, answer).text == text


NO_LISTS = [
    b'{"data": [{"id": 5}]}',
    b'{"data": [{"id": null}]}',
    b'{"data": [{"id": ["small"]}]}',
    b'{"data": [{"id": {"a": 1}}]}',
    b'{"data": ["small"]}',
    b'{"data": [["id"]]}',
    b'{"data": "small"}',
    b'{"data": {"id": "small"}}',
    b"[]",
    b"null",
    b"[" * 100_000,
    b'{"data": ' + b"9" * 5000 + b"}",
    b"<html>",
    b"\xff",
    b"",
]


@pytest.mark.parametrize("body", NO_LISTS, ids=lambda body: body[:25])
def test_what_is_no_list_of_models(server: HostileServer, body: bytes) -> None:
    server.models = http(body)
    with pytest.raises(UserError, match="is no OpenAI-compatible server"):
        endpoint(server)


@pytest.mark.parametrize(
    ("length", "known"),
    [("2048", 2048)]
    + [(text, None) for text in ("-5", "0", "true", "1e999", "1" * 4000, '"2048"', "[1]", "2048.0", "null")],
)
def test_a_context_is_a_number(server: HostileServer, length: str, known: int | None) -> None:
    server.models = http(b'{"data": [{"id": "small", "max_model_len": %s}]}' % length.encode())
    assert endpoint(server).context_length == known


def test_thousands_of_models_make_a_short_sentence(server: HostileServer) -> None:
    server.models = http(
        json.dumps({"data": [{"id": f"\x1b[2J{n}" + "x" * 500} for n in range(5000)]}).encode()
    )
    with pytest.raises(UserError, match="and 4,980 more") as error:
        endpoint(server)
    assert len(str(error.value)) < 3000 and "\x1b" not in str(error.value)


@pytest.mark.parametrize(
    "body", [b'{"count": 1e999}', b'{"count": "5"}', b'{"count": -1}', b'{"tokens": 5}',
             b'{"count": ' + b"9" * 5000 + b"}", b"[" * 100_000, b"[]", b"null", b"<html>", b'{"tokens": "abc"}']
)  # fmt: skip
def test_a_count_that_is_none_is_estimated(server: HostileServer, body: bytes) -> None:
    at = endpoint(server, timeout=60.0)
    server.answer = http(body)
    assert at.count_tokens("x" * 32) == 10


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"error": ' + b"9" * 5000 + b"}", b'{"error": [1]}', b'{"error": {"message": {"a": 1}}}',
     b"null", b'{"error": null}', b'{"error": {"message": null, "type": 5}}', b"\xff\xfe", b"",
     b"<html>\x1b[2J" * 5000,
     b'{"error": {"message": "maximum context length is ' + b"9" * 5000 + b' tokens (5 in the prompt)"}}']
)  # fmt: skip
def test_refusals_of_any_kind_are_a_sentence(server: HostileServer, body: bytes) -> None:
    try:
        found = ask(server, http(body, status="400 Bad Request"))
    except RunFailed as error:
        assert "refuses a request (400: " in str(error) and str(error).isprintable()
        assert len(str(error)) < 3000
    else:
        assert found.finish_reason == "context"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["choices", "message", "content", "text", "data", "id", "usage", "completion_tokens", "error",
                         "tokens", "count", "max_model_len", "type"]), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON)
def test_no_json_is_taken_for_what_it_is_not(content: Any) -> None:
    choice = choice_of(content)
    assert choice is None or isinstance(choice, dict)
    if choice is not None:
        assert tokens_of(content) >= 0
    assert all(isinstance(name, str) for name in models_of(content) or {})
    assert (tokenized(content) or 0) >= 0
    message = message_of(Reply(400, {}, json.dumps(content).encode()))
    assert plain(message, 3000) == message
    room_of(message)
