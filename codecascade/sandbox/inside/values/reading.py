"""Reads the bytes of a program's answers (:mod:`codecascade.sandbox.inside.values.form`).

Whatever the bytes are, the result is a value of the supported types, or :class:`Malformed`.
"""

from __future__ import annotations

from _json import make_scanner

from codecascade.sandbox.inside.values.form import (
    ATOMS,
    DATES,
    FLAT_DTYPES,
    IMMUTABLE,
    MUTABLE,
    TEXTUAL,
    TYPES,
    VIEWS,
    replace_content,
)

# See candidate.py.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_CONSTANTS = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}


class Malformed(ValueError):
    """Bytes that no encoder wrote."""


class Opaque:
    """An object that is true, and equal to nothing else."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name} of the program>"


class _Context:
    """The options that the JSON scanner reads."""

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
    """The value in ``data``; ``arguments`` that the program changed get their new content.

    Args:
        iterator: makes an iterator from the number that :func:`encode`'s ``keep`` returned.

    Raises:
        Malformed: the bytes are invalid in any way.
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
    if not nodes and type(root) in ATOMS:
        return root
    values: list[Any] = [_EMPTY[node[0]]() if node[0] in _EMPTY else _NOT_YET for node in nodes]

    def items_of(node: Any) -> list[Any]:
        items: list[Any] = node[1]
        if len(node) > 2:
            for index in node[2]:
                if (value := values[_index(items[index])]) is _NOT_YET:
                    raise Malformed("a node before what it holds")
                items[index] = value
        elif not ATOMS.issuperset(map(type, items)):
            raise Malformed("an item that is no atom")
        return items

    for index in order:
        kind, items = nodes[_index(index)][0], items_of(nodes[index])
        if kind in IMMUTABLE:
            values[index] = IMMUTABLE[kind](items)
        elif kind == "argument":
            values[index] = arguments[_index(items[0])]
        elif kind == "iterator" and iterator is not None:
            values[index] = iterator(_index(items[0]))
        elif kind in VIEWS:
            values[index] = _view(kind, items)
        else:
            values[index] = _LEAVES[kind](items)
    for node, value in zip(nodes, values, strict=True):
        if node[0] in _EMPTY:
            replace_content(value, items_of(node))
    new = [(arguments[_index(number)], list(values[_index(index)])) for number, index in changed]
    for argument, items in new:
        replace_content(argument, items)
    if not is_node and type(root) not in ATOMS:
        raise Malformed("a root that is no atom")
    return values[_index(root)] if is_node else root


_NOT_YET = object()


def _counter() -> Any:
    from collections import Counter

    return Counter()


_EMPTY: dict[str, Callable[[], Any]] = {**MUTABLE, "Counter": _counter}


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

        # Numbers only: datetime takes a text for a pickled state, which it doesn't check.
        fields, zone = items[: _DATE_FIELDS[name]], items[_DATE_FIELDS[name] :]
        made = getattr(datetime, name)
        if not zone:
            return made(*map(int, fields))
        fold, kind, *rest = zone
        if kind not in ("ZoneInfo", "timezone"):
            raise Malformed("no time zone")
        tzinfo = _timezone(rest) if kind == "timezone" else _textual(["zoneinfo", kind, *rest])
        return made(*map(int, fields), tzinfo=tzinfo, fold=int(fold))

    return make


_DATE_FIELDS = {"date": 3, "datetime": 7, "time": 4, "timedelta": 3}


def _timezone(items: list[Any]) -> Any:
    from datetime import timedelta, timezone

    days, seconds, microseconds, name = items
    offset = timedelta(int(days), int(seconds), int(microseconds))
    if name is None or (name == "UTC" and not offset):
        return timezone(offset)
    return timezone(offset, str(name))


def _textual(items: list[Any]) -> Any:
    module, name, text = items
    if name not in TEXTUAL.get(module, ()):
        raise Malformed("a type that no text makes")
    return getattr(__import__(module), name)(str(text))


def _array(items: list[Any]) -> Any:
    from array import array

    kind, data = items
    return array(str(kind), bytes.fromhex(data))


def _numpy(items: list[Any]) -> Any:
    import numpy

    is_array, kind, *shape, data = items
    dtype = numpy.dtype(str(kind))
    if dtype.kind not in FLAT_DTYPES:
        raise Malformed("an array of no numbers")
    array = numpy.frombuffer(bytearray.fromhex(data), dtype).reshape(list(map(_index, shape)))
    return array if is_array else array[()]


def _objects(items: list[Any]) -> Any:
    import numpy

    dimensions = _index(items[0])
    shape, elements = items[1 : 1 + dimensions], items[1 + dimensions :]
    array = numpy.empty(len(elements), object)
    for index, element in enumerate(elements):
        array[index] = element
    return array.reshape(list(map(_index, shape)))


_LEAVES: dict[str, Callable[[list[Any]], Any]] = {
    "str": lambda items: bytes.fromhex(items[0]).decode("utf-32-le", "surrogatepass"),
    "bytes": lambda items: bytes.fromhex(items[0]),
    "buffer": lambda items: bytearray.fromhex(items[0]),
    "int": lambda items: _integer(items[0]),
    "float": lambda items: float(items[0]),
    "complex": lambda items: complex(*map(float, items)),
    "opaque": lambda items: Opaque(str(items[0])),
    "range": lambda items: range(*map(int, items)),
    "type": lambda items: TYPES[items[0]],
    "array": _array,
    "Decimal": _decimal,
    "Fraction": _fraction,
    "numpy": _numpy,
    "objects": _objects,
    "textual": _textual,
    "timezone": _timezone,
    **{name: _date(name) for name in DATES},
}
