"""Writes the bytes of a program's answers (:mod:`codecascade.sandbox.inside.values.form`).

It runs in the program's process, where hostile code can change it, so nothing relies on it.
"""

from __future__ import annotations

import sys
from _json import encode_basestring, make_encoder
from _operator import is_

from codecascade.sandbox.inside.values.form import (
    ATOMS,
    DATES,
    DIGITS,
    FLAT_DTYPES,
    IMMUTABLE,
    LARGEST,
    MUTABLE,
    TEXTUAL,
    TYPES,
    VIEWS,
    contents,
    is_array,
    is_counter,
    is_object_array,
)

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def encode(
    value: Any,
    arguments: list[Any] | tuple[Any, ...] = (),
    before: list[list[Any]] | tuple[list[Any], ...] = (),
    keep: Callable[[Any], int] | None = None,
) -> bytes:
    """A value as bytes, with the changes of ``arguments`` (containers that the caller also has).

    Args:
        before: the :func:`contents` of the arguments before the call.
        keep: stores an iterator, and returns its number.

    Raises:
        TypeError: the value contains an unsupported type.
        RecursionError: it is nested too deeply.
    """
    changed = [
        number
        for number, (each, old) in enumerate(zip(arguments, before, strict=False))
        if len(old) != len(new := contents(each)) or not (all(map(is_, old, new)) or _is_same(each, old, new))
    ]
    digits, depth = sys.get_int_max_str_digits(), sys.getrecursionlimit()
    if digits != DIGITS:
        sys.set_int_max_str_digits(DIGITS)
    try:
        try:
            if type(value) in ATOMS and not changed:
                message = "".join(_to_json([value, [], [], []], 0)).encode()
            else:
                message = _Encoder(arguments, keep).message(value, changed)
        # Lone surrogates, or very many digits.
        except ValueError:
            message = _Encoder(arguments, keep, careful=True).message(value, changed)
        except RecursionError:
            # The tests may walk down level by level. Calls between Python functions use no C stack.
            sys.setrecursionlimit(_DEEPEST)
            message = _Encoder(arguments, keep, careful=True).message(value, changed)
    finally:
        if sys.getrecursionlimit() != depth:
            sys.setrecursionlimit(depth)
        if digits != DIGITS:
            sys.set_int_max_str_digits(digits)
    if len(message) > LARGEST:
        raise TypeError(f"a value of more than {LARGEST >> 20} MB can't be handed to the tests")
    return message


_DEEPEST = 1_000_000


def _is_same(container: Any, old: list[Any], new: list[Any]) -> bool:
    return is_array(container) and old == new


class _Encoder:
    def __init__(self, arguments: Any, keep: Callable[[Any], int] | None, *, careful: bool = False) -> None:
        self.keep, self.careful = keep, careful
        self.nodes: list[Any] = []
        self.order: list[int] = []
        self.indexes: dict[int, int] = {}
        # An identity may be reused when its object is freed, so all objects are kept alive.
        self.alive: list[Any] = []
        self.arguments = arguments
        self.own = {id(each): number for number, each in enumerate(arguments)}

    def message(self, value: Any, changed: list[int]) -> bytes:
        root = self.item(value)
        contents_of = [[number, self.node("list", contents(self.arguments[number]))] for number in changed]
        table = [root, self.nodes, self.order, contents_of]
        if isinstance(root, tuple):
            # The root is the number of a node.
            table = [root[0], *table[1:], True]
        return "".join(_to_json(table, 0)).encode()

    def item(self, value: Any) -> Any:
        """An atom as it is; for other values a tuple with the number of its node (no atom is a tuple)."""
        kind = type(value)
        if kind in ATOMS and not (self.careful and (kind is str or kind is int)):
            return value
        index = self.indexes.get(id(value))
        if index is None:
            self.alive.append(value)
            index = self.index(value)
        return (index,)

    def node(self, kind: str, items: list[Any], value: Any = None) -> int:
        """The number of a new node with these items, which may be any supported values."""
        index = len(self.nodes)
        self.nodes.append(None)
        if value is not None:
            self.indexes[id(value)] = index
        if self.careful or not ATOMS.issuperset(map(type, items)):
            items = [self.item(each) for each in items]
            indexes = [number for number, each in enumerate(items) if type(each) is tuple]
            for number in indexes:
                items[number] = items[number][0]
            self.nodes[index] = [kind, items, indexes]
        else:
            self.nodes[index] = [kind, items]
        if kind not in MUTABLE and kind != "Counter":
            self.order.append(index)
        return index

    def leaf(self, kind: str, items: list[Any]) -> int:
        self.nodes.append([kind, items])
        self.order.append(len(self.nodes) - 1)
        return len(self.nodes) - 1

    def index(self, value: Any) -> int:
        """The number of a new node for a value."""
        if (number := self.own.get(id(value))) is not None:
            return self.leaf("argument", [number])
        if is_counter(value):
            return self.node("Counter", contents(value), value)
        for name, kind in (*MUTABLE.items(), *IMMUTABLE.items()):
            if isinstance(value, kind):
                if isinstance(value, bytearray):
                    return self.leaf("buffer", [bytes(value).hex()])
                return self.node(name, contents(value), value)
        # Subclasses are written as their base: an IntEnum, NumPy's float64.
        if isinstance(value, str):
            # Hexadecimal, because a pair of surrogates would be read back as one character.
            return self.leaf("str", [str.encode(value, "utf-32-le", "surrogatepass").hex()])
        if isinstance(value, int):
            return self.leaf(
                "int",
                [int.__format__(value, "x")],
                # In a time that grows with the digits alone.
            )
        if isinstance(value, float):
            return self.leaf("float", [float.__pos__(value)])
        if isinstance(value, complex):
            return self.leaf("complex", [value.real, value.imag])
        if isinstance(value, bytes):
            return self.leaf("bytes", [bytes(value).hex()])
        if isinstance(value, range):
            return self.leaf("range", [value.start, value.stop, value.step])
        if isinstance(value, type) and TYPES.get(value.__name__) is value:
            return self.leaf("type", [value.__name__])
        # The views of an OrderedDict derive from these.
        if isinstance(value, VIEWS.get(view := type(value).__name__.removeprefix("o"), ())):
            held: list[Any] = list(value)  # type: ignore[call-overload]
            return self.node(
                view, [part for pair in held for part in pair] if view == "dict_items" else held, value
            )
        return self.of_library(value)

    def of_library(self, value: Any) -> int:
        """The number of a new node for a library type; its module need not have been imported."""
        name, module = type(value).__name__, type(value).__module__
        if module == "decimal" and name == "Decimal":
            return self.leaf(name, [str(value)])
        if module == "fractions" and name == "Fraction":
            return self.leaf(name, [f"{value.numerator:x}", f"{value.denominator:x}"])
        if module == "datetime" and name in DATES:
            return self.leaf(name, [*_date_fields(name, value), *_zone_fields(value)])
        if module == "datetime" and name == "timezone":
            return self.leaf(name, _offset_fields(value.utcoffset(None), value.tzname(None)))
        if name in TEXTUAL.get(top := module.partition(".")[0], ()):
            return self.leaf("textual", [top, name, str(value)])
        if module == "array" and name == "array":
            return self.leaf(name, [value.typecode, value.tobytes().hex()])
        if is_object_array(value):
            return self.node("objects", [value.ndim, *value.shape, *value.flat], value)
        if module == "numpy" and value.dtype.kind in FLAT_DTYPES:
            data = value.tobytes().hex()
            return self.leaf("numpy", [name == "ndarray", value.dtype.str, *value.shape, data])
        if self.keep is not None and hasattr(type(value), "__next__"):
            return self.leaf("iterator", [self.keep(value)])
        kind: Any = type(value)
        if kind.__eq__ is object.__eq__ and not hasattr(kind, "__bool__") and not hasattr(kind, "__len__"):
            return self.leaf("opaque", [name])
        raise TypeError(f"a value of type {name} can't be handed to the tests")


def _date_fields(name: str, value: Any) -> list[int]:
    if name == "timedelta":
        return [value.days, value.seconds, value.microseconds]
    day = [value.year, value.month, value.day] if name != "time" else []
    if name == "date":
        return day
    return [*day, value.hour, value.minute, value.second, value.microsecond]


def _zone_fields(value: Any) -> list[Any]:
    """The fold and the time zone of a date or time; [] where it has none."""
    zone = getattr(value, "tzinfo", None)
    if zone is None:
        return []
    if type(zone).__module__ == "zoneinfo" and zone.key is not None:
        return [value.fold, "ZoneInfo", zone.key]
    offset = value.utcoffset()
    return [] if offset is None else [value.fold, "timezone", *_offset_fields(offset, value.tzname())]


def _offset_fields(offset: Any, name: str | None) -> list[Any]:
    return [offset.days, offset.seconds, offset.microseconds, name]


def _no_other(value: object) -> object:
    raise TypeError(f"a value of type {type(value).__name__} can't be handed to the tests")


_to_json: Any = make_encoder(None, _no_other, encode_basestring, None, ":", ",", False, False, True)
