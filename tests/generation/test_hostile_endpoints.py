"""Whatever a server sends: an answer, or a sentence in time."""

from __future__ import annotations

import gzip
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hostile_server import MODELS, HostileServer, dripped, http, poured

from codecascade.generation import transport
from codecascade.generation.backend import TextCompletion, TextPrompt, TextRequest
from codecascade.generation.endpoint import Endpoint
from codecascade.generation.replies import (
    retry_after,
)
from codecascade.generation.transport import NoReplyError, Transport
from codecascade.ground.errors import RunFailed, UserError

GOOD = b'{"choices": [{"text": "x"}]}'


@pytest.fixture
def server() -> Iterator[HostileServer]:
    made = HostileServer()
    yield made
    made.stop()


def endpoint(server: HostileServer, **changed: Any) -> Endpoint:
    return Endpoint(server.url, "small", **{"first_wait": 0.01, "timeout": 0.3, "attempts": 2, **changed})


def in_a_hurry(server: HostileServer) -> Endpoint:
    """An endpoint that waits shortly for an answer. For the list of models, which does come, it had time."""
    at = endpoint(server, timeout=60.0)
    at._timeout = 0.3
    return at


def ask(server: HostileServer, answer: Any, **changed: Any) -> TextCompletion:
    at = endpoint(server, **{"timeout": 60.0, **changed})
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

LONG = 60
"""Seconds. What is measured takes less than one, and without a deadline it takes for ever; a machine may be busy."""


@pytest.mark.parametrize("kind", ENDLESS)
def test_one_deadline_for_a_whole_answer(server: HostileServer, kind: str) -> None:
    at = in_a_hurry(server)
    server.answer = ENDLESS[kind]
    began = time.monotonic()
    with pytest.raises(
        RunFailed,
        match=r"no answer in 2 attempts, at last: (no answer within 0\.3 s|can't|.*header|.*large|peer)",
    ):
        list(at.complete([TextRequest(TextPrompt("a"))]))
    assert time.monotonic() - began < LONG


@pytest.mark.parametrize("kind", ENDLESS)
def test_one_deadline_for_the_list_of_models(server: HostileServer, kind: str) -> None:
    server.models = ENDLESS[kind]
    began = time.monotonic()
    with pytest.raises(UserError, match=r"/v1/models: (does not answer|can't be reached)"):
        endpoint(server)
    assert time.monotonic() - began < LONG


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
        endpoint(server, timeout=60.0)
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
        endpoint(server, timeout=60.0)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "x-gzip"])
def test_what_unpacks_without_end_is_left(server: HostileServer, encoding: str) -> None:
    packer = zlib.compressobj(wbits=31 if "gzip" in encoding else 15)
    bomb = b"".join(packer.compress(b" " * 1_000_000) for _ in range(60)) + packer.flush()
    assert len(bomb) < 100_000
    at = endpoint(server, timeout=60.0)
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
        endpoint(server, timeout=60.0)


def test_counting_has_a_deadline(server: HostileServer) -> None:
    at = in_a_hurry(server)
    server.answer = ENDLESS["bytes"]
    began = time.monotonic()
    assert at.count_tokens("x" * 32) == 10 and time.monotonic() - began < LONG


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
    assert time.monotonic() - began < LONG


def test_the_longest_wait(server: HostileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codecascade.generation.openai_server._LONGEST_WAIT", 0.1)
    began = time.monotonic()
    with pytest.raises(RunFailed, match="429"):
        ask(server, http(b"", "Retry-After: inf", status="429 Too Many"))
    assert time.monotonic() - began < LONG


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
