"""How a program's answers reach the tests: plain values, copied, in a form that can build nothing else.

A value is a table of nodes in JSON, so that shared and recursive containers keep their shape and no depth is walked
in the decoder: ``[root, nodes, order, changed]``. A node is ``[kind, items]`` or ``[kind, items, places]``; an item
is null, a truth value, a number or a text, and at each of ``places`` the number of another node. ``order`` names the
nodes of immutable kinds, each after those that it holds; ``changed`` pairs the numbers of the caller's own containers
with nodes that hold their new content.

What crosses: None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict and its views, set,
frozenset, range, deque, OrderedDict and Counter (whose equality is not that of dict), the builtin types themselves,
Decimal, Fraction, dates and times, arrays of ``array`` and NumPy, NumPy's scalars, iterators (asked item by item). An
instance of a subclass (namedtuple, defaultdict, IntEnum) crosses as its base, whose ``__eq__`` compares it. Of what
is true and equals nothing but itself (a regular expression's match) nothing but that crosses: an
:class:`~codecascade.sandbox.inside.values.reading.Opaque`.

Here is what both sides know. The encoder (:mod:`codecascade.sandbox.inside.values.writing`) runs beside hostile code
and promises nothing; the decoder (:mod:`codecascade.sandbox.inside.values.reading`) takes any bytes. Standard library
only, and little of it, as all that a program's process holds.
"""

from __future__ import annotations

import sys
from _collections import OrderedDict, deque  # type: ignore[import-not-found]

TYPE_CHECKING = False  # as typing's, whose import every program's process would carry along
if TYPE_CHECKING:
    from typing import Any

LARGEST = 32 << 20
"""Bytes of one answer."""

ATOMS = frozenset({type(None), bool, int, float, str})
_MARSHALLED = frozenset({list, dict, set, tuple, frozenset, bytes, complex})
MUTABLE: dict[str, type] = {
    "list": list,
    "OrderedDict": OrderedDict,  # before dict, which it derives from
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
NUMBERS = frozenset("biufc")  # kinds of NumPy's types that hold nothing but numbers


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
        elif not isinstance(each, tuple):
            continue
        seen.add(id(each))
        # Whatever is hashed holds nothing that can be changed.
        inner = (
            ()
            if isinstance(each, (set, bytearray))
            else _dictionary(each).values(each)
            if isinstance(each, dict)
            else each
        )
        if not ATOMS.issuperset(map(type, inner)):
            waiting.extend(inner)
    return found, known


def contents(container: Any) -> list[Any]:
    """What a container holds now; of a dictionary keys and values in turn."""
    if isinstance(container, dict):
        return [part for pair in _dictionary(container).items(container) for part in pair]
    return [container.tobytes()] if is_array(container) else list(container)


def _dictionary(value: Any) -> Any:
    """Whose methods know the order of a dictionary's items."""
    return OrderedDict if isinstance(value, OrderedDict) else dict


def is_array(value: Any) -> bool:
    """Whether a value is an array of numbers or texts, of the standard library or of NumPy."""
    kind = type(value)
    if kind.__name__ == "array":
        return kind.__module__ == "array"
    return kind.__name__ == "ndarray" and kind.__module__ == "numpy" and value.dtype.kind in NUMBERS | {"U"}


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
    container.clear()
    if isinstance(container, dict):
        for key, value in zip(items[::2], items[1::2], strict=True):
            container[key] = value
        return
    if isinstance(container, deque):
        container.extend(items)
    else:
        container.update(items)
