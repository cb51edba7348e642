"""What the replies of an OpenAI-compatible server say: texts, counts, models, refusals.

A server may be anybody's: nothing here takes a value for what the protocol says it is before it has looked.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from codecascade.generation.transport import Reply, plain

Body = dict[str, Any]

_MOST_TOKENS = 2**31
"""Of a text or a context; what a server counts beyond is no count."""
_LONGEST_MESSAGE = 2000
"""Characters, which is also more digits than any number has that is looked for in one."""
_CONTEXT = re.compile(
    r"context.{0,20}(length|window|size)|maximum context|exceed_context|too many tokens", re.IGNORECASE
)
_MAXIMUM = re.compile(r"maximum context length is (\d+)|context window of (\d+)", re.IGNORECASE)
_PROMPT_TOKENS = re.compile(
    r"(\d+) in (?:the |your )?(?:messages|prompt)|has (\d+) input tokens", re.IGNORECASE
)


def text_of(choice: Any) -> str | None:
    """What a choice says, "" where a reply has no content; None if it is no choice with a text."""
    if not isinstance(choice, dict):
        return None
    if "message" in choice:
        message = choice["message"]
        if not isinstance(message, dict) or "content" not in message:
            return None
        text = message["content"]
    elif "text" in choice:
        text = choice["text"]
    else:
        return None
    return text if isinstance(text, str) else "" if text is None else None


def choice_of(content: Any) -> Body | None:
    """The first choice of an answer, if it has one with a text in one of the two forms."""
    choices = content.get("choices") if isinstance(content, dict) else None
    if not isinstance(choices, list) or not choices or text_of(choices[0]) is None:
        return None
    choice: Body = choices[0]
    return choice


def tokens_of(content: Body) -> int:
    """Tokens that were generated, if the server counts them."""
    usage = content.get("usage")
    return count_of(usage.get("completion_tokens")) or 0 if isinstance(usage, dict) else 0


def count_of(value: Any) -> int | None:
    """A number of tokens; None if it is none."""
    return value if type(value) is int and 0 <= value < _MOST_TOKENS else None


def tokenized(content: Any) -> int | None:
    """Of how many tokens a text is, as ``/tokenize`` answers; None if it does not tell."""
    if not isinstance(content, dict):
        return None
    tokens = content.get("tokens")
    return count_of(content.get("count")) or (len(tokens) if isinstance(tokens, list) else None)


def models_of(content: Any) -> dict[str, int | None] | None:
    """The models that a server has, with the length of their context if it tells; None if this is no such list."""
    entries = content.get("data") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        return None
    models: dict[str, int | None] = {}
    for entry in entries:
        if not isinstance(entry, dict) or not isinstance(entry.get("id"), str):
            return None
        models[entry["id"]] = count_of(entry.get("max_model_len")) or None
    return models


def message_of(reply: Reply) -> str:
    """What the server says is wrong."""
    try:
        content = reply.json()
    except ValueError:
        return plain(reply.text(), 200) or plain(reply.reason)
    error = content.get("error", content) if isinstance(content, dict) else content
    if not isinstance(error, dict):
        return plain(error if isinstance(error, str) else json.dumps(error), _LONGEST_MESSAGE)
    said = error.get("message")
    text = said if isinstance(said, str) and said else json.dumps(said or error)
    kind = error.get("type")
    # of the kinds only this one says more than the message
    about = f" ({plain(kind, 100)})" if isinstance(kind, str) and "context" in kind else ""
    return plain(text, _LONGEST_MESSAGE) + about


def advice_on(status: int, path: str) -> str:
    """What to do about a refusal, where that is known."""
    if status in (401, 403):
        return "; set the environment variable OPENAI_API_KEY to a key that it takes, and run the same command again"
    if status in (404, 405, 501) and path == "/v1/completions":
        return "; a server that only chats is asked with --chat always"
    return ""


def is_over_context(message: str) -> bool:
    """Whether a refusal is one of a prompt that is too long."""
    return _CONTEXT.search(message) is not None


def room_of(message: str) -> int | None:
    """Tokens that the context has left after the prompt, if the refusal tells."""
    maximum, prompt = _MAXIMUM.search(message), _PROMPT_TOKENS.search(message)
    if maximum is None or prompt is None:
        return None
    return int(maximum[1] or maximum[2]) - int(prompt[1] or prompt[2])


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that the server asks to wait, or until the date that it names; 0 if it names neither."""
    said = headers.get("Retry-After", "").strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(said) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError, IndexError):
            return 0.0
    return max(seconds, 0.0) if not math.isnan(seconds) else 0.0


def redirect_of(reply: Reply) -> str | None:
    """Where a reply sends to; None if it doesn't."""
    there = reply.headers.get("Location", "")
    return plain(there, 300) if 300 <= reply.status < 400 and there else None
