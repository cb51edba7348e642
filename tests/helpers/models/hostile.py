"""What a user does with a model, under a limit of time: it works, or it ends with a sentence."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.requests import SamplingParams, chat_request, completion_request
from codecascade.ground.errors import UserError
from codecascade.model.sources import load, resolve
from codecascade.tokens.chat import Message

CONFIG, GENERATION, INDEX, WEIGHTS = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "model.safetensors",
)
TOKENIZER, TOKENIZER_CONFIG, SPECIAL, ADDED, TEMPLATE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
PIECES = "tokenizer.model"
LONGEST_MESSAGE = 1000


class TookTooLong(BaseException):
    """Not an Exception, so that no handler takes it for a library's."""


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def use(path: Path, *, seconds: float = 20.0) -> str | None:
    """The message with which the model is refused, or None if it can be loaded and asked in both ways."""
    try:
        with limited(seconds):
            resolve(str(path))
            loaded = load(str(path))
            generator = LocalGenerator(loaded.model, loaded.tokenizer)
            text = "def add(first):\n    é = first  # ☃" + "a" * 40
            requests = [completion_request(loaded.tokenizer, text, SamplingParams(4))]
            if loaded.tokenizer.chat_format is not None:
                requests.append(chat_request(loaded.tokenizer, [Message("user", text)], SamplingParams(4)))
            assert len(list(generator.generate(requests))) == len(requests)
    except UserError as error:
        message = str(error)
        assert str(path) in message or "tokenizer" in message, message
        assert len(message) < LONGEST_MESSAGE + len(str(path)), message[:LONGEST_MESSAGE]
        return message
    return None


def change(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**data, **changes}))


def change_at(path: Path, keys: tuple[str | int, ...], value: Any) -> None:
    data = json.loads(path.read_text())
    place = data
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(data))
