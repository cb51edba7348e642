"""The format in which a program's answers reach the tests: copies of plain values, and nothing else.

A value is a table of nodes in JSON: ``[root, nodes, order, changed]``. So shared and recursive containers keep their
structure, and the decoder needs no recursion. A node is ``[kind, items]`` or ``[kind, items, references]``. An item
is null, a truth value, a number or a text; at each index in ``references`` it is the number of another node.
``order`` lists the nodes of immutable kinds, each after the nodes that it contains. ``changed`` pairs the numbers of
the caller's own containers with nodes of their new content.

Supported are: None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict and its views, set,
frozenset, range, deque, OrderedDict and Counter (whose equality differs from dict's), the builtin types themselves,
Decimal, Fraction, dates and times with their zones, the types of :data:`TEXTUAL`, arrays of ``array`` and NumPy (also
of objects), NumPy's scalars, and iterators (asked item by item). An instance of a subclass (namedtuple, defaultdict,
IntEnum) is sent as its base class, whose ``__eq__`` compares it. Of an object that is true and equals only itself (a
match of a regular expression), only this is sent: an
:class:`~codecascade.sandbox.inside.values.reading.Opaque`.

This module has what both sides need. The encoder (:mod:`codecascade.sandbox.inside.values.writing`) runs beside
hostile code, so nothing relies on it. The decoder (:mod:`codecascade.sandbox.inside.values.reading`) accepts any
bytes. Only the standard library is used, and little of it, as in everything that a program's process contains.
"""

from __future__ import annotations

import sys
from _collections import OrderedDict, deque  # type: ignore[import-not-found]

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LARGEST = 32 << 20
"""Bytes of one answer."""

ATOMS = frozenset({type(None), bool, int, float, str})
_MARSHALLED = frozenset({list, dict, set, tuple, frozenset, bytes, complex})
MUTABLE: dict[str, type] = {
    "list": list,
    # Before dict, which it derives from.
    "OrderedDict": OrderedDict,
    "dict": dict,
    "set": set,
    "deque": deque,
    "bytearray": bytearray,
}
IMMUTABLE: dict[str, type] = {"tuple": tuple, "frozenset": frozenset}
TYPES: dict[str, type] = {
    each.__name__: each
    for each in (
        *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, object),
        *(type, type(None)),
    )
}
DATES = ("date", "datetime", "time", "timedelta")
VIEWS: dict[str, type[Any]] = {
    "dict_keys": type({}.keys()),
    "dict_values": type({}.values()),
    "dict_items": type({}.items()),
}
DIGITS = 4300
TEXTUAL: dict[str, tuple[str, ...]] = {
    "ipaddress": (
        "IPv4Address",
        "IPv4Interface",
        "IPv4Network",
        "IPv6Address",
        "IPv6Interface",
        "IPv6Network",
    ),
    "pathlib": ("PosixPath", "PurePosixPath", "PureWindowsPath"),
    "uuid": ("UUID",),
    "zoneinfo": ("ZoneInfo",),
}
"""Types of the standard library, by module, that can be made again from their text alone."""
FLAT_DTYPES = frozenset("biufcUSMm")
"""Kinds of NumPy's types whose arrays are their bytes: numbers, texts, dates. They contain no objects."""


def mutable_arguments(positional: tuple[Any, ...], named: dict[str, Any]) -> tuple[list[Any], bool]:
    """The containers that can be changed in a call's arguments, each once, in an order that a copy has as well.

    And whether ``marshal`` copies the arguments as they are: what it does not know it may take for bytes.
    """
    found: list[Any] = []
    if not named and ATOMS.issuperset(map(type, positional)):
        return found, True
    seen: set[int] = set()
    waiting, known = [*positional, *named.values()], True
    while waiting:
        each = waiting.pop()
        if (kind := type(each)) in ATOMS or id(each) in seen:
            continue
        known = known and kind in _MARSHALLED
        if isinstance(each, (list, dict, set, deque, bytearray)):
            found.append(each)
        elif is_array(each):
            found.append(each)
            continue
        elif is_object_array(each):
            found.append(each)
        elif not isinstance(each, tuple):
            continue
        seen.add(id(each))
        # Whatever is hashed holds nothing that can be changed.
        if isinstance(each, (set, bytearray)):
            inner: Any = ()
        elif isinstance(each, dict):
            inner = _dictionary(each).values(each)
        else:
            inner = list(each.flat) if is_object_array(each) else each
        if not ATOMS.issuperset(map(type, inner)):
            waiting.extend(inner)
    return found, known


def contents(container: Any) -> list[Any]:
    """What a container holds now; of a dictionary keys and values in turn."""
    if isinstance(container, dict):
        return [part for pair in _dictionary(container).items(container) for part in pair]
    if is_object_array(container):
        return list(container.flat)
    return [container.tobytes()] if is_array(container) else list(container)


def _dictionary(value: Any) -> Any:
    """Whose methods know the order of a dictionary's items."""
    return OrderedDict if isinstance(value, OrderedDict) else dict


def is_array(value: Any) -> bool:
    """Whether a value is an array of numbers or texts, of the standard library or of NumPy."""
    kind = type(value)
    if kind.__name__ == "array":
        return kind.__module__ == "array"
    return kind.__name__ == "ndarray" and kind.__module__ == "numpy" and value.dtype.kind in FLAT_DTYPES


def is_object_array(value: Any) -> bool:
    """Whether a value is a NumPy array of Python objects."""
    kind = type(value)
    return kind.__name__ == "ndarray" and kind.__module__ == "numpy" and bool(value.dtype.kind == "O")


def is_counter(value: Any) -> bool:
    """Whether a value is a ``Counter``."""
    collections = sys.modules.get("collections")
    return collections is not None and isinstance(value, collections.Counter)


def replace_content(container: Any, items: list[Any]) -> None:
    """Give a container of the caller's another content."""
    if isinstance(container, (list, bytearray)):
        container[:] = items if isinstance(container, list) else bytes(items)
        return
    if is_array(container):
        (data,) = items
        if type(container).__name__ == "array":
            container[:] = type(container)(container.typecode, data)
        else:
            new = type(container)(container.shape, container.dtype, bytearray(data))
            container[...] = new
        return
    if is_object_array(container):
        flat = type(container)((len(items),), container.dtype)
        for index, item in enumerate(items):
            flat[index] = item
        container[...] = flat.reshape(container.shape)
        return
    container.clear()
    if isinstance(container, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            container[key] = value
        return
    if isinstance(container, deque):
        container.extend(items)
    else:
        container.update(items)
