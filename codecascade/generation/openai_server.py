"""What all who ask an OpenAI-compatible server share: its address, its key, its models, and what may pass."""

from __future__ import annotations

import os
import re
import time

from codecascade.generation.replies import message_of, models_of, redirect_of
from codecascade.generation.transport import NoReplyError, SilentError, Transport, plain
from codecascade.ground.errors import UserError
from codecascade.ground.format import listed

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
    """A server's address without the ``/v1`` that some people add.

    Raises:
        UserError: it is none.
    """
    bare = url.rstrip("/").removesuffix("/v1")
    if not re.match(_ADDRESS, bare):
        raise UserError(f"must be a URL such as http://localhost:8000 (got {url!r})", key="--endpoint")
    return bare


def key_headers() -> dict[str, str]:
    """The header with the key that the environment variable ``OPENAI_API_KEY`` holds, if it does.

    Raises:
        UserError: it holds what is no key.
    """
    key = os.environ.get("OPENAI_API_KEY", "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UserError("holds characters that no key has", key="OPENAI_API_KEY")
    return {"Authorization": f"Bearer {key}"} if key else {}


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
