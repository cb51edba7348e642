"""The form in which values cross to the tests: the same value at the other end, and nothing else ever."""

from __future__ import annotations

import contextlib
import json
import math
import sys
from array import array
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from fractions import Fraction
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecascade.sandbox.inside.values import form as values
from codecascade.sandbox.inside.values import reading as values_in
from codecascade.sandbox.inside.values.reading import Malformed, decode
from codecascade.sandbox.inside.values.writing import encode

TEXTS = st.text(st.characters(exclude_categories=()), max_size=5)
INTEGERS = st.integers() | st.integers(-(10**5000), 10**5000)
ATOMS = (
    st.none() | st.booleans() | INTEGERS | st.floats() | TEXTS | st.binary(max_size=5) | st.complex_numbers()
)
HASHED = st.recursive(
    ATOMS.filter(lambda value: value == value),
    lambda inner: st.lists(inner, max_size=4).map(tuple) | st.frozensets(inner, max_size=4),
    max_leaves=5,
)
VALUES = st.recursive(
    HASHED | st.builds(range, *[st.integers(-9, 9)] * 2) | ATOMS,
    lambda inner: (
        st.lists(inner, max_size=5)
        | st.lists(inner, max_size=5).map(tuple)
        | st.dictionaries(HASHED, inner, max_size=4)
        | st.sets(HASHED, max_size=4)
        | st.lists(inner, max_size=3).map(deque)
    ),
    max_leaves=20,
)


def same(one: Any, other: Any) -> bool:
    """Equal, of equal types all the way down, in the same order; not-a-number equals itself."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return one.hex() == other.hex()
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, (list, tuple, deque)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return same(list(one), list(other)) and same(list(one.values()), list(other.values()))
    if isinstance(one, (set, frozenset)):
        return one == other and sorted(map(str, map(type, one))) == sorted(map(str, map(type, other)))
    return bool(one == other)


@given(VALUES)
@settings(deadline=None)
def test_what_crosses_is_the_same(value: Any) -> None:
    assert same(decode(encode(value)), value)


@given(st.lists(VALUES, max_size=3))
@settings(deadline=None)
def test_changed_arguments_are_changed_in_place(new: list[Any]) -> None:
    mine: list[Any] = [1, [2], {"a": 3}]
    _, inner, named = mine
    ours, _ = values.mutable_arguments((mine,), {})
    theirs = decode(encode(mine))
    copies, _ = values.mutable_arguments((theirs,), {})
    before = [values.contents(each) for each in copies]
    theirs[1][:] = new
    theirs[2]["b"] = theirs
    result = decode(encode([theirs, new], copies, before), ours)
    assert result[0] is mine and mine[0] == 1 and mine[1] is inner and mine[2] is named
    assert same(inner, new) and list(named) == ["a", "b"] and named["b"] is mine
    assert same(result[1], new)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (defaultdict(int, {"a": 2}), {"a": 2}),
        (namedtuple("P", "x y")(1, 2), (1, 2)),
        (IntEnum("E", "A").A, 1),  # type: ignore[attr-defined]
        (numpy.float64(1.5), 1.5),
        (numpy.str_("x"), "x"),
        (bytearray(b"x"), bytearray(b"x")),
        (int, int),
        (type(None), type(None)),
        ([True, 1, 1.0], [True, 1, 1.0]),
    ],
)
def test_subclasses_cross_as_their_base(value: Any, plain: Any) -> None:
    assert same(decode(encode(value)), plain)
    assert same(decode(encode([value])), [plain])


@pytest.mark.parametrize(
    "value",
    [
        Decimal("1.50"),
        Fraction(10**5000, 3),
        date(2020, 1, 2),
        datetime(2020, 1, 2, 3, 4, 5, 6),
        timedelta(days=-1, seconds=2),
        {1: 2}.keys(),
        {1: 2}.items(),
        Counter("aab"),
        OrderedDict([(2, 1), (1, 2)]),
        array("d", [1.5, -2]),
        numpy.int32(-3),
        numpy.bool_(True),
    ],
)
def test_types_of_libraries(value: Any) -> None:
    found = decode(encode((value,)))[0]
    assert type(found) is type(value) and found == value


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float32", "complex128", "bool", "<U3"])
def test_arrays(dtype: str) -> None:
    array = numpy.array([[0, 1, 1], [1, 0, 1]]).astype(dtype)[:, ::2]
    found = decode(encode({"x": array}))["x"]
    assert found.dtype == array.dtype and found.shape == (2, 2) and (found == array).all()
    found[0, 0] = found[0, 1]


@pytest.mark.parametrize("kind", [OrderedDict, Counter])
def test_dictionaries_keep_the_equality_of_their_kind(kind: Any) -> None:
    one, other = kind({1: 1, 2: 0}), kind({2: 0, 1: 1})
    crossed = decode(encode(one))
    assert (crossed == other) == (one == other) and (crossed == kind({1: 1})) == (one == kind({1: 1}))


def test_views_of_other_dictionaries_cross() -> None:
    ordered = OrderedDict([(2, "b"), (1, "a")])
    assert decode(encode(ordered.keys())) == {1, 2} and list(decode(encode(ordered.items()))) == [
        (2, "b"),
        (1, "a"),
    ]


def changed_there(mine: Any, change: Any, theirs: Any) -> None:
    """Have ``change`` made to a copy and brought back."""
    ours, _ = values.mutable_arguments((mine,), {})
    copies, _ = values.mutable_arguments((theirs,), {})
    before = [values.contents(each) for each in copies]
    change(theirs)
    decode(encode(None, copies, before), ours)


def test_the_order_of_an_ordered_dictionary_is_part_of_a_change() -> None:
    mine = OrderedDict([(1, [1]), (2, [2])])
    mine.move_to_end(1)
    inner = mine[1]

    def change(theirs: Any) -> None:
        theirs.move_to_end(2)
        theirs[1].append(3)

    changed_there(mine, change, OrderedDict([(2, [2]), (1, [1])]))
    assert list(mine.items()) == [(1, [1, 3]), (2, [2])] and mine[1] is inner


@pytest.mark.parametrize(
    "make", [lambda: array("i", [1, 2]), lambda: numpy.array([[1, 2]]), lambda: numpy.array(["a", "b"])]
)
def test_arrays_are_changed_in_place(make: Any) -> None:
    mine = make()

    def change(theirs: Any) -> None:
        theirs[0] = theirs[-1]

    expected = make()
    change(expected)
    changed_there(mine, change, make())
    assert mine.tolist() == expected.tolist()
    with pytest.raises(Malformed):
        decode(b'[null,[["bytes",["00"]],["list",[0],[0]]],[0],[[0,1]]]', [mine])
    assert mine.tolist() == expected.tolist()


@pytest.mark.parametrize("make", [lambda inner: [inner], lambda inner: {"a": (inner,)}])
def test_values_may_be_nested_deeply(make: Any) -> None:
    value: Any = None
    for _ in range(20_000):
        value = make(value)
    limit = sys.getrecursionlimit()
    found = decode(encode(value))
    assert sys.getrecursionlimit() == limit
    depth = 0
    while found:
        found = found[0] if isinstance(found, (list, tuple)) else found["a"]
        depth += not isinstance(found, tuple)
    assert depth == 20_000


def test_shared_and_recursive_containers_keep_their_shape() -> None:
    inner: list[Any] = []
    inner.append((inner, {"x": inner}))
    found = decode(encode([inner, inner]))
    assert found[0] is found[1] and found[0][0][0] is found[0] and found[0][0][1]["x"] is found[0]


def test_what_is_no_plain_value_is_refused() -> None:
    class Equal:
        def __eq__(self, other: object) -> bool:
            return True

    for value in (Equal(), [Equal()], {1: Equal()}, numpy.array([Equal()])):
        with pytest.raises(TypeError, match=r"of type (Equal|ndarray) can't be handed"):
            encode(value)
    with pytest.raises(TypeError, match="more than 32 MB"):
        encode("x" * (33 << 20))


MESSAGES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 9)
    | st.floats()
    | st.sampled_from([*values_in._LEAVES, *values.MUTABLE]),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=30,
)


@given(st.binary(max_size=200) | MESSAGES.map(lambda table: json.dumps(table).encode()))
@settings(deadline=None, max_examples=150)
def test_hostile_bytes_are_malformed_or_a_plain_value(data: bytes) -> None:
    argument: list[Any] = [1]
    try:
        value = decode(data, [argument])
    except Malformed:
        return
    encode(value, [argument], [[1]])


@given(VALUES, st.data())
@settings(deadline=None, max_examples=150)
def test_a_changed_message_is_malformed_or_a_plain_value(value: Any, data: st.DataObject) -> None:
    message = bytearray(encode([value, [value]]))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(message) - 1))
        message[place : place + data.draw(st.integers(0, 2))] = data.draw(
            st.sampled_from([b"", b"0", b"1", b"9", b"[", b"]", b",", b"-", b'"', b"null", b"\xff", b"1e999"])
        )
    with contextlib.suppress(Malformed):
        decode(bytes(message))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[" * 100_000,
        b"[" + b"1" * 5000 + b",[],[],[]]",
        b'[0,[["list",[0],[0]]],[],[],true] ',
        b'[0,[["tuple",[0],[0]]],[0],[],true]',
        b'[0,[["list",[{"a":1}]]],[],[],true]',
        b'[0,[["list",[[1]]]],[],[],true]',
        b'[0,[["list",[1]]],[],[],true]x',
        b'[0,[["set",[0],[0]]],[],[],true]',
        b'[0,[["eval",["1"]]],[0],[],true]',
        b'[0,[["type",["Exception"]]],[0],[],true]',
        b'[0,[["argument",[3]]],[0],[],true]',
        b'[0,[["argument",[-1]]],[0],[],true]',
        b'[0,[["range",[0,9,0]]],[0],[],true]',
        b'[0,[["iterator",[0]]],[0],[],true]',
        b'[0,[["numpy",[true,"O",1,"0000000000000000"]]],[0],[],true]',
        b'[0,[["numpy",[true,"<i8",99999999,""]]],[0],[],true]',
        b'[0,[["date",["\\u0007\\u00e4\\u0001\\u00c8"]]],[0],[],true]',
        b'[0,[["array",["O","00"]]],[0],[],true]',
        b"[{},[],[],[]]",
        b"\xed\xa0\x80",
    ],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        decode(data, [[]])


def test_many_mentions_of_one_node_take_no_room() -> None:
    value: list[Any] = []
    for _ in range(200):
        value = [value, value]
    found = decode(encode(value))
    assert found[0] is found[1]


def test_not_a_number() -> None:
    assert math.isnan(decode(encode(math.nan))) and decode(encode([-math.inf])) == [-math.inf]
