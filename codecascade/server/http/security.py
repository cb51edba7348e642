"""Who may use a server: keys, the names it is addressed by, and the web pages that may call it."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path

from starlette.types import ASGIApp, Receive, Scope, Send

from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import read_text
from codecascade.server.http.disconnect import Refuse
from codecascade.server.http.errors import ApiError

KEYS_VARIABLE = "CODECASCADE_API_KEYS"
LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
LOCAL_ORIGINS = (
    r"(https?://(localhost|127\.0\.0\.1|\[::1\])(:\d+)?|vscode-webview://.*|(app|file|tauri)://.*)"
)
"""Pages of this machine: the playground, and what runs inside an editor."""

_PUBLIC = ("/health",)
_MOST_KEYS = 10_000


def read_keys(file: Path | None) -> tuple[str, ...]:
    """The keys of a file (one a line; ``#`` begins a comment) and of the environment (parted by commas).

    Raises:
        UserError: the file can't be read or has no key: a server that was to be closed must not stand open.
    """
    keys = [key.strip() for key in os.environ.get(KEYS_VARIABLE, "").split(",")]
    if file is not None:
        lines = [line.strip() for line in read_text(file).splitlines()]
        found = [line for line in lines if line and not line.startswith("#")]
        if not found:
            raise UserError("holds no key; write one a line", file=file, key="--api-key-file")
        keys += found
    keys = list(dict.fromkeys(key for key in keys if key))
    for key in keys:
        if not (key.isascii() and key.isprintable()) or " " in key:
            raise UserError(
                "a key may hold visible ASCII characters only", file=file, key=None if file else KEYS_VARIABLE
            )
    if len(keys) > _MOST_KEYS:
        raise UserError(f"there are {len(keys):,} keys; at most {_MOST_KEYS:,} are taken", file=file)
    return tuple(keys)


def is_open_to_others(file: Path) -> bool:
    """Whether other users of this machine may read the keys of a file."""
    return bool(file.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


class Keys:
    """Compares a request's key with all keys, in a time that depends on neither."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key.encode()) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def accepts(self, headers: Sequence[tuple[bytes, bytes]]) -> bool:
        """Whether ``Authorization: Bearer KEY`` or ``X-API-Key: KEY`` holds one of the keys."""
        given = []
        for name, value in headers:
            if name == b"x-api-key":
                given.append(value.strip())
            elif name == b"authorization" and value[:7].lower() == b"bearer ":
                given.append(value[7:].strip())
        right = False
        for digest in map(_digest, given):
            for known in self._digests:
                right |= hmac.compare_digest(digest, known)
        return right


class Guard:
    """Lets requests through that are addressed to this server, come from no foreign web page, and carry a key.

    Args:
        hosts: see :class:`~codecascade.server.settings.ServerSettings`.
        origins: a pattern of the web pages that may send something; None: all.
        public: addresses that need no key beside ``/health``.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        hosts: Sequence[str] | None,
        origins: re.Pattern[str] | None,
        public: Sequence[str],
        refuse: Refuse,
    ) -> None:
        self._app, self._keys, self._refuse = app, keys, refuse
        self._hosts = None if hosts is None else {host.lower() for host in hosts}
        self._origins = origins
        self._public = {*_PUBLIC, *public}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (error := self._error(scope)) is not None:
            await self._refuse(scope, send, error)
        else:
            await self._app(scope, receive, send)

    def _error(self, scope: Scope) -> ApiError | None:
        headers = dict(scope["headers"])
        if self._hosts is not None:
            host = _without_port(headers.get(b"host", b"").decode("latin-1"))
            if host.lower() not in self._hosts:
                return ApiError(403, "this server is not addressed by that name")
        origin = headers.get(b"origin", b"").decode("latin-1")
        if (
            origin
            and scope["method"] not in ("GET", "HEAD")
            and self._origins is not None
            and not self._origins.fullmatch(origin)
            and not self._is_own_page(origin, headers)
        ):
            return ApiError(403, "web pages of this origin may not use the server; --cors-origin allows them")
        if self._keys and scope["path"] not in self._public and not self._keys.accepts(scope["headers"]):
            return ApiError(401, "Invalid API Key", code="invalid_api_key")
        return None

    def _is_own_page(self, origin: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a page that this server gave out under another address than a local one sends the request.

        A foreign page can give its own name the address of this server (DNS rebinding) and looks the same then. It
        has no key, though, and can't do so with a number, or with a name without a dot, which is no name of the
        internet.
        """
        host = headers.get(b"host", b"").decode("latin-1").lower()
        if not host or origin.lower().partition("://")[2] != host:
            return False
        return bool(self._keys) or _is_unforgeable(_without_port(host))


def origin_pattern(origins: Sequence[str]) -> re.Pattern[str] | None:
    """The pages that may use the server: those of this machine and ``origins``; None where one of them is ``*``."""
    if "*" in origins:
        return None
    return re.compile("|".join([LOCAL_ORIGINS, *map(re.escape, origins)]))


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _is_unforgeable(host: str) -> bool:
    """Whether the internet can't give the name an address."""
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "." not in host
    return True


def _without_port(host: str) -> str:
    return re.sub(r":\d+$", "", host)
