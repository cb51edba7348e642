"""How a program's answers reach the tests: plain values, copied, in a form that can build nothing else.

A value is a table of nodes in JSON, so that shared and recursive containers keep their shape and no depth is walked
in the decoder: ``[root, nodes, order, changed]``. A node is ``[kind, items]`` or ``[kind, items, places]``; an item
is null, a truth value, a number or a text, and at each of ``places`` the number of another node. ``order`` names the
nodes of immutable kinds, each after those that it holds; ``changed`` pairs the numbers of the caller's own containers
with nodes that hold their new content.

What crosses: None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict and its views, set,
frozenset, range, deque, the builtin types themselves, Decimal, Fraction, dates and times, NumPy's arrays and
scalars, iterators (asked item by item). An instance of a subclass (Counter, namedtuple, IntEnum) crosses as its base,
whose ``__eq__`` compares it. Of what is true and equals nothing but itself (a regular expression's match) nothing but
that crosses: an :class:`Opaque`.

The encoder runs beside hostile code and promises nothing. The decoder takes any bytes and raises
:class:`Malformed` or nothing. Standard library only, and little of it, as all that a program's process holds.
"""

from __future__ import annotations

import sys
from _collections import deque  # type: ignore[import-not-found]
from _json import encode_basestring, make_encoder, make_scanner
from _operator import is_

TYPE_CHECKING = False  # as typing's, whose import every program's process would carry along
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LARGEST = 32 << 20
"""Bytes of one answer."""

_ATOMS = frozenset({type(None), bool, int, float, str})
_MARSHALLED = frozenset({list, dict, set, tuple, frozenset, bytes, complex})
_MUTABLE: dict[str, type] = {"list": list, "dict": dict, "set": set, "deque": deque, "bytearray": bytearray}
_IMMUTABLE: dict[str, type] = {"tuple": tuple, "frozenset": frozenset}
_TYPES: dict[str, type] = {
    each.__name__: each
    for each in (
        *(bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, object),
        *(type, type(None)),
    )
}
_DATES = ("date", "datetime", "time", "timedelta")
_VIEWS: dict[str, type[Any]] = {
    "dict_keys": type({}.keys()),
    "dict_values": type({}.values()),
    "dict_items": type({}.items()),
}
_DIGITS = 4300
_CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}
_NUMBERS = frozenset("biufc")  # kinds of NumPy's types that hold nothing but numbers


class Malformed(ValueError):
    """Bytes that no encoder made."""


class Opaque:
    """Something that is true, and equal to nothing else."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name} of the program>"


def survey(positional: tuple[Any, ...], named: dict[str, Any]) -> tuple[list[Any], bool]:
    """The containers that can be changed in a call's arguments, each once, in an order that a copy has as well.

    And whether ``marshal`` copies the arguments as they are: what it does not know it may take for bytes.
    """
    found: list[Any] = []
    if not named and _ATOMS.issuperset(map(type, positional)):
        return found, True
    seen: set[int] = set()
    waiting, known = [*positional, *named.values()], True
    while waiting:
        each = waiting.pop()
        if (kind := type(each)) in _ATOMS or id(each) in seen:
            continue
        known = known and kind in _MARSHALLED
        if isinstance(each, (list, dict, set, deque, bytearray)):
            found.append(each)
        elif not isinstance(each, tuple):
            continue
        seen.add(id(each))
        # Whatever is hashed holds nothing that can be changed.
        inner = (
            ()
            if isinstance(each, (set, bytearray))
            else dict.values(each)
            if isinstance(each, dict)
            else each
        )
        if not _ATOMS.issuperset(map(type, inner)):
            waiting.extend(inner)
    return found, known


def contents(container: Any) -> list[Any]:
    """What a container holds now; of a dictionary keys and values in turn."""
    if isinstance(container, dict):
        return [part for pair in dict.items(container) for part in pair]
    return list(container)


def replace(container: Any, items: list[Any]) -> None:
    """Give a container of the caller's another content."""
    if isinstance(container, (list, bytearray)):
        container[:] = items if isinstance(container, list) else bytes(items)
        return
    if isinstance(container, dict):
        dict.clear(container)
        dict.update(container, zip(items[::2], items[1::2], strict=True))
        return
    container.clear()
    if isinstance(container, deque):
        container.extend(items)
    else:
        container.update(items)


# --- the program's side ---


def encode(
    value: Any,
    arguments: list[Any] | tuple[Any, ...] = (),
    before: list[list[Any]] | tuple[list[Any], ...] = (),
    keep: Callable[[Any], int] | None = None,
) -> bytes:
    """A value, and the changes of ``arguments`` (containers that the caller has, too).

    Args:
        before: the arguments' :func:`contents` before the call.
        keep: takes an iterator and gives its number.

    Raises:
        TypeError: there is something else in it.
        RecursionError: it is nested too deeply.
    """
    changed = [
        number
        for number, (each, old) in enumerate(zip(arguments, before, strict=False))
        if len(old) != len(new := contents(each)) or not all(map(is_, old, new))
    ]
    digits = sys.get_int_max_str_digits()
    if digits != _DIGITS:
        sys.set_int_max_str_digits(_DIGITS)
    try:
        try:
            if type(value) in _ATOMS and not changed:
                message = "".join(_to_json([value, [], [], []], 0)).encode()
            else:
                message = _Encoder(arguments, keep).message(value, changed)
        except ValueError:  # halves of a pair of surrogates, or very many digits
            message = _Encoder(arguments, keep, careful=True).message(value, changed)
    finally:
        if digits != _DIGITS:
            sys.set_int_max_str_digits(digits)
    if len(message) > LARGEST:
        raise TypeError(f"a value of more than {LARGEST >> 20} MB can't be handed to the tests")
    return message


class _Encoder:
    def __init__(self, arguments: Any, keep: Callable[[Any], int] | None, *, careful: bool = False) -> None:
        self.keep, self.careful = keep, careful
        self.nodes: list[Any] = []
        self.order: list[int] = []
        self.places: dict[int, int] = {}
        self.alive: list[Any] = []  # an identity is taken anew when its object dies
        self.arguments = arguments
        self.own = {id(each): number for number, each in enumerate(arguments)}

    def message(self, value: Any, changed: list[int]) -> bytes:
        root = self.item(value)
        contents_of = [[number, self.node("list", contents(self.arguments[number]))] for number in changed]
        table = [root, self.nodes, self.order, contents_of]
        if isinstance(root, tuple):
            table = [root[0], *table[1:], True]  # the root is a node's number
        return "".join(_to_json(table, 0)).encode()

    def item(self, value: Any) -> Any:
        """An atom as it is; a node's number in a tuple, which no atom is."""
        kind = type(value)
        if kind in _ATOMS and not (self.careful and (kind is str or kind is int)):
            return value
        place = self.places.get(id(value))
        if place is None:
            self.alive.append(value)
            place = self.place(value)
        return (place,)

    def node(self, kind: str, items: list[Any], value: Any = None) -> int:
        """A node of ``items``, which may hold anything that crosses."""
        place = len(self.nodes)
        self.nodes.append(None)
        if value is not None:
            self.places[id(value)] = place
        if self.careful or not _ATOMS.issuperset(map(type, items)):
            items = [self.item(each) for each in items]
            places = [number for number, each in enumerate(items) if type(each) is tuple]
            for number in places:
                items[number] = items[number][0]
            self.nodes[place] = [kind, items, places]
        else:
            self.nodes[place] = [kind, items]
        if kind not in _MUTABLE:
            self.order.append(place)
        return place

    def leaf(self, kind: str, items: list[Any]) -> int:
        self.nodes.append([kind, items])
        self.order.append(len(self.nodes) - 1)
        return len(self.nodes) - 1

    def place(self, value: Any) -> int:
        """The number of a new node."""
        if (number := self.own.get(id(value))) is not None:
            return self.leaf("argument", [number])
        for name, kind in (*_MUTABLE.items(), *_IMMUTABLE.items()):
            if isinstance(value, kind):
                if isinstance(value, bytearray):
                    return self.leaf("buffer", [bytes(value).hex()])
                return self.node(name, contents(value), value)
        # Subclasses cross as their base: an IntEnum, NumPy's float64.
        if isinstance(value, str):
            # Hexadecimal, since two halves of a pair would be read as one letter.
            return self.leaf("str", [str.encode(value, "utf-32-le", "surrogatepass").hex()])
        if isinstance(value, int):
            return self.leaf(
                "int", [int.__format__(value, "x")]
            )  # in a time that grows with the digits alone
        if isinstance(value, float):
            return self.leaf("float", [float.__pos__(value)])
        if isinstance(value, complex):
            return self.leaf("complex", [value.real, value.imag])
        if isinstance(value, bytes):
            return self.leaf("bytes", [bytes(value).hex()])
        if isinstance(value, range):
            return self.leaf("range", [value.start, value.stop, value.step])
        if isinstance(value, type) and _TYPES.get(value.__name__) is value:
            return self.leaf("type", [value.__name__])
        if type(value) is _VIEWS.get(view := type(value).__name__):
            held: list[Any] = list(value)
            return self.node(
                view, [part for pair in held for part in pair] if view == "dict_items" else held, value
            )
        return self.of_library(value)

    def of_library(self, value: Any) -> int:
        """What is of a module that need not have been imported."""
        name, module = type(value).__name__, type(value).__module__
        if module == "decimal" and name == "Decimal":
            return self.leaf(name, [str(value)])
        if module == "fractions" and name == "Fraction":
            return self.leaf(name, [f"{value.numerator:x}", f"{value.denominator:x}"])
        if module == "datetime" and name in _DATES and getattr(value, "tzinfo", None) is None:
            return self.leaf(name, _fields_of_date(name, value))
        if module == "numpy" and value.dtype.kind in _NUMBERS | {"U"}:
            data = value.tobytes().hex()
            return self.leaf("numpy", [name == "ndarray", value.dtype.str, *value.shape, data])
        if self.keep is not None and hasattr(type(value), "__next__"):
            return self.leaf("iterator", [self.keep(value)])
        kind: Any = type(value)
        if kind.__eq__ is object.__eq__ and not hasattr(kind, "__bool__") and not hasattr(kind, "__len__"):
            return self.leaf("opaque", [name])
        raise TypeError(f"a value of type {name} can't be handed to the tests")


def _fields_of_date(name: str, value: Any) -> list[int]:
    if name == "timedelta":
        return [value.days, value.seconds, value.microseconds]
    day = [value.year, value.month, value.day] if name != "time" else []
    if name == "date":
        return day
    return [*day, value.hour, value.minute, value.second, value.microsecond]


def _no_other(value: object) -> object:
    raise TypeError(f"a value of type {type(value).__name__} can't be handed to the tests")


_to_json: Any = make_encoder(None, _no_other, encode_basestring, None, ":", ",", False, False, True)


# --- the tests' side ---


class _Context:
    """What the scanner asks for."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = _CONSTANTS.__getitem__
    memo: dict[str, str] = {}  # noqa: RUF012


_scan: Any = make_scanner(_Context())  # type: ignore[arg-type]


def decode(
    data: bytes,
    arguments: list[Any] | tuple[Any, ...] = (),
    iterator: Callable[[int], Any] | None = None,
) -> Any:
    """The value; ``arguments`` that the program changed are changed.

    Args:
        iterator: makes one of the number that :func:`encode`'s ``keep`` gave.

    Raises:
        Malformed: whatever is wrong with the bytes.
    """
    try:
        text = data.decode()
        table, end = _scan(text, 0)
        if end != len(text):
            raise Malformed("more than one value")
        return _built(table, arguments, iterator)
    except Malformed:
        raise
    except (Exception, StopIteration) as error:
        raise Malformed(f"{type(error).__name__}: {error}"[:200]) from None


def _built(table: Any, arguments: Any, iterator: Callable[[int], Any] | None) -> Any:
    root, nodes, order, changed, *is_node = table
    if not nodes and type(root) in _ATOMS:
        return root
    values: list[Any] = [_MUTABLE[node[0]]() if node[0] in _MUTABLE else _NOT_YET for node in nodes]

    def items_of(node: Any) -> list[Any]:
        items: list[Any] = node[1]
        if len(node) > 2:
            for place in node[2]:
                if (value := values[_index(items[place])]) is _NOT_YET:
                    raise Malformed("a node before what it holds")
                items[place] = value
        elif not _ATOMS.issuperset(map(type, items)):
            raise Malformed("an item that is no atom")
        return items

    for place in order:
        kind, items = nodes[_index(place)][0], items_of(nodes[place])
        if kind in _IMMUTABLE:
            values[place] = _IMMUTABLE[kind](items)
        elif kind == "argument":
            values[place] = arguments[_index(items[0])]
        elif kind == "iterator" and iterator is not None:
            values[place] = iterator(_index(items[0]))
        elif kind in _VIEWS:
            values[place] = _view(kind, items)
        else:
            values[place] = _LEAVES[kind](items)
    for node, value in zip(nodes, values, strict=True):
        if node[0] in _MUTABLE:
            replace(value, items_of(node))
    new = [(arguments[_index(number)], list(values[_index(place)])) for number, place in changed]
    for argument, items in new:
        replace(argument, items)
    if not is_node and type(root) not in _ATOMS:
        raise Malformed("a root that is no atom")
    return values[_index(root)] if is_node else root


_NOT_YET = object()


def _index(number: Any) -> int:
    if type(number) is not int or number < 0:
        raise Malformed("no number of a node")
    return number


def _view(kind: str, items: list[Any]) -> Any:
    if kind == "dict_keys":
        return dict.fromkeys(items).keys()
    if kind == "dict_values":
        return dict(enumerate(items)).values()
    return dict(zip(items[::2], items[1::2], strict=True)).items()


def _decimal(items: list[Any]) -> Any:
    from decimal import Decimal

    return Decimal(str(items[0]))


def _integer(text: Any) -> int:
    return int(text, 16)


def _fraction(items: list[Any]) -> Any:
    from fractions import Fraction

    return Fraction(*map(_integer, items))


def _date(name: str) -> Callable[[list[Any]], Any]:
    def make(items: list[Any]) -> Any:
        import datetime

        return getattr(datetime, name)(*items)

    return make


def _numpy(items: list[Any]) -> Any:
    import numpy

    is_array, kind, *shape, data = items
    dtype = numpy.dtype(str(kind))
    if dtype.kind not in _NUMBERS | {"U"}:
        raise Malformed("an array of no numbers")
    array = numpy.frombuffer(bytearray.fromhex(data), dtype).reshape(list(map(_index, shape)))
    return array if is_array else array[()]


_LEAVES: dict[str, Callable[[list[Any]], Any]] = {
    "str": lambda items: bytes.fromhex(items[0]).decode("utf-32-le", "surrogatepass"),
    "bytes": lambda items: bytes.fromhex(items[0]),
    "buffer": lambda items: bytearray.fromhex(items[0]),
    "int": lambda items: _integer(items[0]),
    "float": lambda items: float(items[0]),
    "complex": lambda items: complex(*map(float, items)),
    "opaque": lambda items: Opaque(str(items[0])),
    "range": lambda items: range(*map(int, items)),
    "type": lambda items: _TYPES[items[0]],
    "Decimal": _decimal,
    "Fraction": _fraction,
    "numpy": _numpy,
    **{name: _date(name) for name in _DATES},
}
