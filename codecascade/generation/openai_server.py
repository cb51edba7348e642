"""What all who ask an OpenAI-compatible server share: its address, its key, its models, and what may pass."""

from __future__ import annotations

import base64
import os
import re
import threading
import time
from urllib.parse import unquote

from codecascade.generation.replies import (
    Body,
    choice_of,
    is_over_context,
    message_of,
    models_of,
    redirect_of,
    retry_after,
)
from codecascade.generation.transport import NoReplyError, SilentError, Transport, plain
from codecascade.ground.errors import RunFailed, UserError
from codecascade.ground.format import LOGIN, counted, listed, without_login

PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""Statuses after which the same request may be answered."""
SHORT_SECONDS = 30.0
"""For what needs no generation."""
_LONGEST_WAIT = 60.0
_ADDRESS = r"https?://[^/]"
_MOST_NAMES = 20
"""Of models that a sentence lists."""


class Refused(Exception):
    """The server's answer to a request that it will not answer otherwise if asked again."""

    def __init__(self, status: int, message: str) -> None:
        self.status, self.message = status, message
        super().__init__(f"{status}: {message}")


def server_url(url: str) -> str:
    """A server's address without the ``/v1`` that some people add, and without its login (:func:`login_headers`).

    Raises:
        UserError: it is none.
    """
    shown = without_login(url)
    bare = shown.rstrip("/").removesuffix("/v1")
    if not re.match(_ADDRESS, bare):
        raise UserError(f"must be a URL such as http://localhost:8000 (got {shown!r})", key="--endpoint")
    return bare


def login_headers(url: str, key: str | None = None) -> dict[str, str]:
    """The header by which a server knows us: HTTP's Basic authentication (RFC 7617) where its address has a login.

    Args:
        url: of the server, as ``http://name:password@host``, in which other signs may be written by their numbers
            (``%40``); or without a login, where a key is sent.
        key: see :func:`key_headers`.

    Raises:
        UserError: the key is none.
    """
    found = LOGIN.match(url)
    name, _, password = found[2].partition(":") if found is not None else ("", "", "")
    if not (name or password):
        return key_headers(key)
    login = f"{unquote(name)}:{unquote(password)}".encode(errors="replace")
    return {"Authorization": f"Basic {base64.b64encode(login).decode()}"}


def key_headers(key: str | None = None) -> dict[str, str]:
    """The header with a key.

    Args:
        key: None takes the one that the environment variable ``OPENAI_API_KEY`` holds, if it does.

    Raises:
        UserError: it holds what is no key.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip() if key is None else key
    if not (key.isascii() and key.isprintable()):
        raise UserError("holds characters that no key has", key="OPENAI_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


def ask(
    transport: Transport,
    url: str,
    path: str,
    body: Body,
    *,
    timeout: float,
    attempts: int,
    first_wait: float,
    stopped: threading.Event,
) -> Body:
    """A server's answer with a choice in it, asked again as long as the reason for there being none may pass.

    Args:
        url: of the server.
        timeout: seconds for a whole answer.
        attempts: how often the request is made.
        first_wait: seconds before the second attempt; each further wait is twice as long.
        stopped: when it is set, nothing is asked again.

    Raises:
        Refused: the server will not answer the request.
        RunFailed: it gave no answer, however often it was asked.
    """
    for attempt in range(1, attempts + 1):
        wait = first_wait * 2 ** (attempt - 1)
        try:
            reply = transport.request("POST", url + path, timeout, body)
            if reply.status == 200:
                content = reply.json()
                if choice_of(content) is not None:
                    answer: Body = content
                    return answer
                reason = f"an answer without a text: {plain(reply.text(), 200)}"
            else:
                message = message_of(reply)
                if reply.status not in PASSING or is_over_context(message):
                    there = redirect_of(reply)
                    raise Refused(reply.status, message if there is None else f"sends to {there}")
                reason = f"{reply.status}: {message}"
                wait = max(wait, retry_after(reply.headers))
        except NoReplyError as error:
            reason = str(error)
        except ValueError:
            reason = "an answer that is no JSON"
        if attempt < attempts and stopped.wait(min(wait, _LONGEST_WAIT)):
            break
    raise RunFailed(
        f"{url} gave no answer in {counted(attempts, 'attempt')}, at last: {reason}. What was answered is kept; "
        "run the same command again to continue"
    )


def served_context(
    transport: Transport, url: str, model: str, *, timeout: float, attempts: int, first_wait: float
) -> int | None:
    """See that the server is there and has the model; the length of its context, if the server tells.

    Raises:
        UserError: there is no such server or no such model on it, or it wants another key.
    """
    address = f"{url}/v1/models"
    for attempt in range(attempts):
        try:
            reply = transport.request("GET", address, min(timeout, SHORT_SECONDS))
        except SilentError as error:
            raise UserError(
                f"does not answer ({error}); is the server busy or the address another's?", file=address
            ) from None
        except NoReplyError as error:
            if error.reached:
                raise UserError(f"is no OpenAI-compatible server ({error})", file=address) from None
            raise UserError(f"can't be reached ({error}); is the server running?", file=address) from None
        if reply.status not in PASSING:
            break
        if attempt + 1 < attempts:
            time.sleep(min(first_wait * 2**attempt, _LONGEST_WAIT))
    there = redirect_of(reply)
    if there is not None:
        advice = ""
        if re.match(_ADDRESS, there):
            advice = f"; name that address: --endpoint {there.removesuffix('/v1/models')}"
        raise UserError(f"sends elsewhere{advice or f' ({there})'}", file=address)
    if reply.status in (401, 403):
        raise UserError("wants a key: set the environment variable OPENAI_API_KEY", file=address)
    if reply.status == 404:
        return None  # a server that has no list of its models
    if reply.status != 200:
        raise UserError(f"answers {reply.status}: {message_of(reply)}", file=address)
    try:
        models = models_of(reply.json())
    except ValueError:
        models = None
    if models is None:
        raise UserError("is no OpenAI-compatible server (its list of models is none)", file=address)
    if model not in models:
        names = listed([plain(name, 100) for name in models], _MOST_NAMES) or "none"
        raise UserError(f"serves no model {model!r}; it has {names}", file=address, key="--model")
    return models[model]
