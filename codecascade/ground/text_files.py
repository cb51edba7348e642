"""Text and JSON that a user gives: read line by line, and every mistake told with its place."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from codecascade.ground.errors import UserError

_MOST_NESTED = 200
"""Levels of JSON. Python's own limit depends on how deep the caller is, so a text read here could fail elsewhere."""


def parse_json(text: str, place: str | Path, most_nested: int = _MOST_NESTED) -> Any:
    """The value of a JSON text that somebody else wrote.

    Of a key that comes twice the last value counts, as everywhere.

    Args:
        most_nested: levels of lists and objects in each other.

    Raises:
        UserError: it is not JSON, or nested so deeply that what handles it would fail (``place`` is named).
    """
    too_deep = UserError(f"is nested too deeply (more than {most_nested} levels)", file=place)
    try:
        value = json.loads(text)
    except RecursionError:
        raise too_deep from None
    except json.JSONDecodeError as error:
        raise UserError(f"is not valid JSON ({error})", file=place) from None
    except ValueError:
        raise UserError("is not valid JSON (a number has thousands of digits)", file=place) from None
    # A count of all brackets is quick, and few texts have so many that their depth has to be looked up.
    if text.count("[") + text.count("{") > most_nested and _is_deeper(value, most_nested):
        raise too_deep
    return value


def json_object(value: Any, place: str | Path) -> dict[str, Any]:
    """``value``, which has to be a JSON object. Raises UserError if it isn't."""
    if not isinstance(value, dict):
        raise UserError(f"must be a JSON object, not {type(value).__name__}", file=place)
    return value


def read_text(path: str | Path) -> str:
    """A text file of a user's, with its own line ends and without a byte order mark.

    Raises:
        UserError: the file is missing, can't be read or is not UTF-8.
    """
    return "".join(text_lines(path)).removeprefix("\ufeff")


def text_lines(path: str | Path) -> Iterator[str]:
    """Lines that end in a line feed, one by one: some files are larger than what a machine should hold twice."""
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8", newline="\n") as file:
            yield from file
    except FileNotFoundError:
        raise UserError("there is no such file", file=path) from None
    except IsADirectoryError:
        raise UserError("can't be read: it is a folder; name a file", file=path) from None
    except UnicodeDecodeError as error:
        raise UserError(f"is not UTF-8 text ({error})", file=path) from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"can't be read ({error})", file=path) from None


def _is_deeper(value: Any, levels: int) -> bool:
    """Whether lists and objects lie in each other more than so deep; level by level, without recursion."""
    containers = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        containers = [
            inner
            for container in containers
            for inner in (container.values() if isinstance(container, dict) else container)
            if isinstance(inner, dict | list)
        ]
    return bool(containers)
