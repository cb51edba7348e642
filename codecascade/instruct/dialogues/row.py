"""One row of a file of dialogues, and the JSON of one."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import is_deeper
from codecascade.ground.files.values import short

LONGEST_ROW = 32 << 20
"""Most bytes of one dialogue. A row of a longer context than any model has is an error of whoever wrote the file."""
_DEEPEST = 64


@dataclass(frozen=True)
class Row:
    """One row of a file.

    Attributes:
        location: the file and the line (of Parquet: the row), for messages.
        number: of the line or row, from 1.
        value: an object, or whatever else the row holds.
        error: why it can't be read; there is no value then.
    """

    location: str
    number: int
    value: Any = None
    error: UserError | None = None


class DuplicateKey(ValueError):
    """An object has a key twice, and readers don't agree on which value counts."""


def parse_row(data: bytes, location: str) -> Any:
    """The value of a row in JSON.

    Raises:
        UserError: it is not UTF-8, not JSON, nested too deeply, or an object has a key twice.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        reason = f"is not UTF-8 text (byte {error.start:,}: {error.reason}); write it anew as UTF-8"
        raise UserError(reason, file=location) from None
    try:
        return checked_depth(json.loads(text, object_pairs_hook=unique_keys), location)
    except (RecursionError, ValueError) as error:
        raise json_error(error, location) from None


def checked_depth(value: Any, location: str) -> Any:
    """``value``, unless it is nested more deeply than other code can follow. Raises UserError if it is."""
    if is_deeper(value, _DEEPEST):
        raise json_error(RecursionError(), location)
    return value


def json_error(error: RecursionError | ValueError, location: str) -> UserError:
    """What the JSON library raises, or :func:`unique_keys`, in one sentence."""
    if isinstance(error, RecursionError):
        return UserError(f"is nested too deeply (more than {_DEEPEST} levels)", file=location)
    if isinstance(error, DuplicateKey):
        return UserError(str(error), file=location)
    if isinstance(error, json.JSONDecodeError):
        return UserError(f"is not valid JSON ({error})", file=location)
    return UserError("is not valid JSON (a number has thousands of digits)", file=location)


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, for ``object_pairs_hook``. Raises :class:`DuplicateKey`."""
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in made if keys.count(key) > 1)
        raise DuplicateKey(f"has the key {short(twice)} twice in one object; keep one of them")
    return made
