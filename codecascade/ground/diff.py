"""How two sets of settings differ: the one diff behind every "this run was begun with other settings"."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from codecascade.ground.errors import UserError

_LONGEST = 80
"""The most characters of a value that a message shows."""


def nested_diff(
    before: Mapping[str, Any], now: Mapping[str, Any], *, free: Collection[str] = ()
) -> Iterator[tuple[str, Any, Any]]:
    """``(key, old value, new value)`` for each leaf that differs, in the order of ``before``; new keys come last.

    Keys of inner mappings are joined by dots. Two lists of mappings are compared item by item if they have the same
    length. A missing key counts as None, and a tuple counts as a list, because JSON makes a list of it.

    Args:
        free: keys that may differ, at any depth.

    >>> list(nested_diff({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}, "d": 4}))
    [('a.c', 2, 3), ('d', None, 4)]
    >>> list(nested_diff({"a": [{"b": 1}, {"b": 2}]}, {"a": ({"b": 1}, {"b": 5})}))
    [('a[1].b', 2, 5)]
    """
    for key in [*before, *(key for key in now if key not in before)]:
        if key not in free:
            yield from _leaves(key, before.get(key), now.get(key), free)


def changed_values(
    before: Mapping[str, Any], now: Mapping[str, Any], *, free: Collection[str] = ()
) -> Iterator[str]:
    """:func:`nested_diff` in words, with values as JSON writes them. A long value is left out and only its key is
    named.

    >>> list(changed_values({"seed": 1, "heal": True}, {"seed": 2, "heal": True, "limit": 3}))
    ['seed 1, now 2', 'limit null, now 3']
    """
    for key, old, new in nested_diff(before, now, free=free):
        shown = [json.dumps(value, ensure_ascii=False, default=str) for value in (old, new)]
        yield f"{key} {shown[0]}, now {shown[1]}" if max(map(len, shown)) <= _LONGEST else key


def refuse_changes(
    file: Path, before: Mapping[str, Any], now: Mapping[str, Any], *, free: Collection[str] = ()
) -> None:
    """See that a file in an output folder is gone on with by the settings that it was begun with.

    Raises:
        UserError: a key differs that is not ``free``. The sentence names every key that does, with both values.
    """
    if changed := list(changed_values(before, now, free=free)):
        raise UserError(
            f"was begun with other settings ({'; '.join(changed)}); choose another folder with -o, or the same "
            "settings",
            file=file,
        )


def _leaves(key: str, old: Any, new: Any, free: Collection[str]) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for name, one, other in nested_diff(old, new, free=free):
            yield f"{key}.{name}", one, other
    elif _are_alike(old, new):
        for index, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from _leaves(f"{key}[{index}]", one, other, free)
    elif _json_form(old) != _json_form(new):
        yield key, old, new


def _are_alike(old: Any, new: Any) -> bool:
    """Whether both are lists of mappings of the same length."""
    return (
        isinstance(old, list | tuple)
        and isinstance(new, list | tuple)
        and len(old) == len(new)
        and all(isinstance(item, Mapping) for item in (*old, *new))
    )


def _json_form(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _json_form(item) for key, item in value.items()}
    return [_json_form(item) for item in value] if isinstance(value, list | tuple) else value
