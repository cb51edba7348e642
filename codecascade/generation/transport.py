"""HTTP with limits: a whole answer comes within one deadline and one size, or there is none.

The deadline runs from the question to the last byte: a server that sends a byte now and then, headers without end or
``100 Continue`` for ever is as silent as one that sends nothing. Redirects are not followed. Compression is not asked
for; what comes compressed all the same is unpacked up to the same size.

Requests run on the event loop of one thread, because there a deadline can end a request whatever it waits for.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import weakref
import zlib
from collections.abc import Coroutine, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as NoResult
from functools import cache
from typing import Any, NamedTuple

import httpx2

LARGEST = 8 << 20
"""Bytes of a body, as it comes and unpacked. The longest answers have some hundred kB."""
CONNECT_SECONDS = 10.0
_GRACE_SECONDS = 5.0
"""What a request that its deadline has ended may take to close its connection."""
TROUBLE = (
    httpx2.HTTPError,
    httpx2.InvalidURL,
    httpx2.StreamError,
    OSError,
    ValueError,
    ArithmeticError,  # of a port
    ExceptionGroup,  # of the attempts to connect
)
"""What httpx raises where a server, a network or an address is bad."""
_COMPRESSED = ("gzip", "x-gzip", "deflate")


class NoReplyError(Exception):
    """There is no whole answer; asking again may help.

    Attributes:
        reached: whether the server said anything.
    """

    def __init__(self, reason: str, *, reached: bool = False) -> None:
        self.reached = reached
        super().__init__(reason)


class SilentError(NoReplyError):
    """The deadline passed."""


class Reply(NamedTuple):
    """A whole answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    reason: str = ""
    """What HTTP calls the status."""

    def text(self) -> str:
        """The body as text, whatever it is."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body as JSON: UTF-8, else in the character set that the headers name.

        Raises:
            ValueError: it is none, or one that can't be held (nested too deeply, numbers too long).
        """
        try:
            try:
                return json.loads(self.body.decode("utf-8-sig"))
            except UnicodeDecodeError:
                return json.loads(self.body.decode(self._charset()))
        except (LookupError, RecursionError) as error:
            raise ValueError(str(error)) from None

    def _charset(self) -> str:
        _, _, charset = self.headers.get("content-type", "").lower().partition("charset=")
        return charset.partition(";")[0].strip(" \"'") or "utf-8"


class Transport:
    """Connections to a server.

    Args:
        connections: at a time.
        headers: of every request.
        largest: bytes of a body, as it comes and unpacked.
    """

    def __init__(self, connections: int, headers: Mapping[str, str], *, largest: int = LARGEST) -> None:
        self._largest = largest
        self._client = new_client(connections, headers)
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="endpoint http", daemon=True)
        thread.start()
        self._finalizer = weakref.finalize(self, _end, self._loop, thread)

    def request(self, method: str, url: str, seconds: float, body: Any = None) -> Reply:
        """A question and its whole answer.

        Args:
            seconds: until there must be all of it.
            body: is sent as JSON; None: nothing is.

        Raises:
            SilentError: there is not, by then.
            NoReplyError: the server can't be reached, breaks off, or answers with what is no HTTP or too large.
        """
        exchange = self._exchange(method, url, seconds, body)
        try:
            return self._run(exchange, seconds + _GRACE_SECONDS)
        except (TimeoutError, NoResult, httpx2.TimeoutException):
            raise SilentError(f"no answer within {seconds:g} s") from None
        except CancelledError:
            raise NoReplyError("the program ends") from None
        except TROUBLE as error:
            raise NoReplyError(plain(str(error)) or type(error).__name__) from None

    def _run(self, exchange: Coroutine[Any, Any, Reply], seconds: float) -> Reply:
        future = asyncio.run_coroutine_threadsafe(exchange, self._loop)
        try:
            return future.result(seconds)
        except BaseException:
            future.cancel()
            raise

    async def _exchange(self, method: str, url: str, seconds: float, body: Any) -> Reply:
        content = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if content is not None else {}
        async with (
            asyncio.timeout(seconds),
            self._client.stream(method, url, content=content, headers=headers) as response,
        ):
            reply = await whole_reply(response, self._largest)
        # what a server says of itself is not kept for its next answer
        self._client.cookies.clear()
        return reply


def new_client(connections: int, headers: Mapping[str, str]) -> httpx2.AsyncClient:
    """See :class:`Transport`. Deadlines are the caller's affair."""
    return httpx2.AsyncClient(
        verify=_certificates(),
        timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        limits=httpx2.Limits(max_connections=connections),
        headers={**headers, "Accept-Encoding": "identity"},
    )


async def whole_reply(response: httpx2.Response, largest: int = LARGEST) -> Reply:
    """Read all of an answer whose body was not read yet, of at most ``largest`` bytes.

    Raises:
        NoReplyError: it is too large, or its compression is damaged.
    """
    data = bytearray()
    async for piece in response.aiter_raw():
        data += piece
        if len(data) > largest:
            raise _too_large(largest)
    unpacked = _unpacked(bytes(data), largest, response.headers.get("content-encoding", ""))
    return Reply(response.status_code, response.headers, unpacked, response.reason_phrase)


@cache
def _certificates() -> ssl.SSLContext:
    """Those that this machine trusts; to read them takes a tenth of a second."""
    return httpx2.create_ssl_context()


def plain(text: str, longest: int = 500) -> str:
    """What a server says, for a line of a terminal.

    >>> plain("no\\x1b[31m such\\n model ")
    'no [31m such  model'
    """
    return "".join(sign if sign.isprintable() else " " for sign in text[:longest]).strip()


def _unpacked(data: bytes, largest: int, encodings: str) -> bytes:
    names = [name.strip().lower() for name in encodings.split(",")]
    packed = [name for name in names if name not in ("", "identity")]
    if not packed:
        return data
    if len(packed) > 1 or packed[0] not in _COMPRESSED:
        raise NoReplyError(
            f"an answer in an encoding that was not asked for ({plain(encodings, 40)})", reached=True
        )
    for window in (zlib.MAX_WBITS | 32, -zlib.MAX_WBITS):  # with a header of gzip or zlib, or without one
        unpacker = zlib.decompressobj(window)
        try:
            unpacked = unpacker.decompress(data, largest + 1)
        except zlib.error:
            continue
        if len(unpacked) > largest:
            raise _too_large(largest)
        if unpacker.eof:
            return unpacked
    raise NoReplyError("an answer whose compression is damaged", reached=True)


def _too_large(largest: int) -> NoReplyError:
    return NoReplyError(f"an answer of more than {largest >> 20} MB", reached=True)


def _end(loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    def stop() -> None:
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.call_soon(loop.stop)

    loop.call_soon_threadsafe(stop)
    thread.join(1.0)
