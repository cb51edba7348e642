"""Whatever a server sends: an answer, or a sentence in time."""

from __future__ import annotations

import gzip
import json
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hostile_server import MODELS, HostileServer, answered, dripped, http, poured
from hypothesis import given
from hypothesis import strategies as st

from codecascade.generation import transport
from codecascade.generation.backend import TextCompletion, TextPrompt, TextRequest
from codecascade.generation.endpoint import Endpoint
from codecascade.generation.replies import (
    choice_of,
    message_of,
    models_of,
    retry_after,
    room_of,
    tokenized,
    tokens_of,
)
from codecascade.generation.transport import NoReplyError, Reply, Transport, plain
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
    at = endpoint(server, **{"timeout": 5.0, **changed})
    server.answer = answer
    [found] = at.complete([TextRequest(TextPrompt("a"))])
    return found


ENDLESS = {
    "bytes": dripped(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b"{"),
    "chunks": dripped(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
    "headers": dripped(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n"),
    "a header": dripped(b"HTTP/1.1 200 OK\r\nx: ", b"y"),
    "the status": dripped(b"HTTP/1.1 200 ", b"O"),
    "100 Continue": dripped(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "100 Continue at once": poured(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000),
    "silence": dripped(b"", b""),
    "trailers": dripped(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"x: y\r\n"),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_one_deadline_for_a_whole_answer(server: HostileServer, kind: str) -> None:
    at = endpoint(server)
    server.answer = ENDLESS[kind]
    began = time.monotonic()
    with pytest.raises(
        RunFailed,
        match=r"no answer in 2 attempts, at last: (no answer within 0\.3 s|can't|.*header|.*large|peer)",
    ):
        list(at.complete([TextRequest(TextPrompt("a"))]))
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("kind", ENDLESS)
def test_one_deadline_for_the_list_of_models(server: HostileServer, kind: str) -> None:
    server.models = ENDLESS[kind]
    began = time.monotonic()
    with pytest.raises(UserError, match=r"/v1/models: (does not answer|can't be reached)"):
        endpoint(server)
    assert time.monotonic() - began < 2


def test_the_last_byte_counts_not_the_first(server: HostileServer) -> None:
    """A slow answer within the deadline is taken; each byte of it came in time."""

    def slowly(connection: Any, over: Any) -> None:
        for byte in http(GOOD):
            connection.sendall(bytes([byte]))
            time.sleep(0.001)

    assert ask(server, slowly).text == "x"


def test_a_redirect_in_a_circle_is_not_followed(server: HostileServer) -> None:
    with pytest.raises(RunFailed, match="307: sends to /v1/completions"):
        ask(server, http(b"", "Location: /v1/completions", status="307 Temporary Redirect"))
    assert server.asked == 2, "the list of models, and once"


@pytest.mark.parametrize(
    "there", ["file:///etc/passwd", "ftp://x/", "//", "http://[", "javascript:x", "http://a\x1b[31m/"]
)
def test_a_redirect_to_no_server_is_no_advice(server: HostileServer, there: str) -> None:
    server.models = http(b"", f"Location: {there}", status="302 Found")
    with pytest.raises(UserError, match=r"sends elsewhere|can't be reached") as error:
        endpoint(server)
    assert "\x1b" not in str(error.value)
    if not there.startswith("http"):
        assert "--endpoint" not in str(error.value)


# ---- sizes


LARGE = 3 * transport.LARGEST


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 65536 + b"\r\n"),
    ],
    ids=["length", "until the end", "chunks"],
)
def test_a_body_without_end_is_left(server: HostileServer, start: bytes, piece: bytes) -> None:
    with pytest.raises(RunFailed, match="at last: an answer of more than 8 MB"):
        ask(server, poured(start, piece))
    server.models = poured(start, piece)
    with pytest.raises(UserError, match=r"is no OpenAI-compatible server \(an answer of more than 8 MB\)"):
        endpoint(server, timeout=5.0)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "x-gzip"])
def test_what_unpacks_without_end_is_left(server: HostileServer, encoding: str) -> None:
    packer = zlib.compressobj(wbits=31 if "gzip" in encoding else 15)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(60)) + packer.flush()
    assert len(bomb) < 100_000
    at = endpoint(server, timeout=5.0)
    server.answer = http(bomb, f"Content-Encoding: {encoding}")
    tracemalloc.start()
    try:
        with pytest.raises(RunFailed, match="at last: an answer of more than 8 MB"):
            list(at.complete([TextRequest(TextPrompt("a"))]))
        assert tracemalloc.get_traced_memory()[1] < 5 * transport.LARGEST
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(GOOD, mtime=0), "gzip"),
        (zlib.compress(GOOD), "deflate"),
        (zlib.compress(GOOD, wbits=-15), "deflate"),
        (GOOD, "identity"),
        (GOOD, ""),
    ],
)
def test_what_comes_compressed_is_unpacked(server: HostileServer, body: bytes, encoding: str) -> None:
    assert ask(server, http(body, f"Content-Encoding: {encoding}")).text == "x"
    assert all(b"accept-encoding: identity" in head.lower() for head in server.heads)


@pytest.mark.parametrize(
    ("body", "encoding", "reason"),
    [
        (gzip.compress(GOOD, mtime=0)[:-9], "gzip", "compression is damaged"),
        (b"\x1f\x8bnothing of the sort", "gzip", "compression is damaged"),
        (GOOD, "gzip", "compression is damaged"),
        (b"", "deflate", "compression is damaged"),
        (GOOD, "br", r"not asked for \(br\)"),
        (GOOD, "zstd", r"not asked for \(zstd\)"),
        (gzip.compress(gzip.compress(GOOD, mtime=0), mtime=0), "gzip, gzip", "not asked for"),
        (GOOD, "x" * 1000, "not asked for"),
    ],
)
def test_bad_compression_is_a_sentence(
    server: HostileServer, body: bytes, encoding: str, reason: str
) -> None:
    bad = http(body, f"Content-Encoding: {encoding}")
    with pytest.raises(RunFailed, match=rf"no answer in 2 attempts, at last: an answer .*{reason}"):
        ask(server, bad)
    server.models = bad
    with pytest.raises(UserError, match=rf"is no OpenAI-compatible server \(an answer .*{reason}"):
        endpoint(server)


# ---- contents


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
    at = endpoint(server, timeout=5.0)
    server.answer = http(body)
    assert at.count_tokens("x" * 32) == 10


def test_counting_has_a_deadline(server: HostileServer) -> None:
    at = endpoint(server)
    server.answer = ENDLESS["bytes"]
    began = time.monotonic()
    assert at.count_tokens("x" * 32) == 10 and time.monotonic() - began < 2


# ---- refusals


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("5", 5), ("inf", float("inf")), ("-inf", 0), ("nan", 0), ("-5", 0), ("1e999", float("inf")), ("", 0),
     ("soon", 0), ("9" * 5000, float("inf")), ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
     ("Fri, 99 Dec 1999 99:99:99 GMT", 0),
     ("Fri, 31 Dec 99999999999 23:59:59 GMT", 0), ("\0", 0)]
)  # fmt: skip
def test_how_long_to_wait(said: str, seconds: float) -> None:
    assert retry_after({"Retry-After": said}) == seconds


def test_until_when_to_wait() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    assert 90 < retry_after({"Retry-After": date}) <= 100


@pytest.mark.parametrize("wait", ["nan", "-inf", "-5", "Fri, 31 Dec 1999 23:59:59 GMT", "soon"])
def test_hostile_waits_are_no_longer_than_ours(server: HostileServer, wait: str) -> None:
    began = time.monotonic()
    with pytest.raises(RunFailed, match="at last: 429: slow down"):
        ask(
            server,
            http(b'{"error": {"message": "slow down"}}', f"Retry-After: {wait}", status="429 Too Many"),
        )
    assert time.monotonic() - began < 2


def test_the_longest_wait(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codecascade.generation.endpoint._LONGEST_WAIT", 0.1)
    began = time.monotonic()
    with pytest.raises(RunFailed, match="429"):
        ask(server, http(b"", "Retry-After: inf", status="429 Too Many"))
    assert time.monotonic() - began < 2


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


def test_nothing_is_kept_of_a_server_for_its_next_answer(server: HostileServer) -> None:
    server.models = http(MODELS, "Set-Cookie: a=b")
    ask(server, http(GOOD))
    assert not any(b"cookie" in head.lower() for head in server.heads)


def test_a_transport_that_nobody_holds_ends_its_thread() -> None:
    held = Transport(1, {})
    loop = held._loop
    del held
    for _ in range(100):
        if not loop.is_running():
            break
        time.sleep(0.01)
    assert not loop.is_running()


@pytest.mark.parametrize(
    "url", ["http://[", "http://xn--/", "http://a b/", "http://\udcff/", "http://127.0.0.1:99999"]
)
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(NoReplyError):
        Transport(1, {}).request("GET", url, 2.0)
