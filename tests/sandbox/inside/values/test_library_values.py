"""Values of library types cross to the tests as equal values: dates with time zones, paths, arrays of objects."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy
import pytest

from codecascade.sandbox.inside.values import form
from codecascade.sandbox.inside.values.reading import Malformed, decode
from codecascade.sandbox.inside.values.writing import encode
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox
from codecascade.sandbox.splitting import split_tests

EAST = timezone(timedelta(hours=5, minutes=30))


class Strange(tzinfo):
    """A time zone that a program defines."""

    def utcoffset(self, moment: datetime | None) -> timedelta:
        return timedelta(hours=-3)

    def tzname(self, moment: datetime | None) -> str:
        return "Strange"

    def dst(self, moment: datetime | None) -> timedelta:
        return timedelta(0)


@pytest.mark.parametrize(
    "value",
    [
        datetime(2024, 3, 31, 2, 30, tzinfo=UTC),
        datetime(2024, 3, 31, 2, 30, 0, 7, tzinfo=EAST),
        datetime(2024, 10, 27, 2, 30, tzinfo=ZoneInfo("Europe/Berlin"), fold=1),
        time(1, 2, 3, tzinfo=timezone(timedelta(hours=-1), "home")),
        UTC,
        EAST,
        ZoneInfo("America/New_York"),
        Path("a/b.txt"),
        PurePosixPath("/a"),
        PureWindowsPath("C:\\a"),
        UUID(int=7),
        ip_address("::1"),
        ip_interface("10.0.0.1/8"),
        ip_network("10.0.0.0/8"),
        numpy.datetime64("2024-01-02T03:04:05"),
    ],
)
def test_library_values(value: Any) -> None:
    found = decode(encode([value]))[0]
    assert type(found) is type(value) and found == value and str(found) == str(value)
    if isinstance(value, (datetime, time)):
        assert found.tzinfo == value.tzinfo and found.tzname() == value.tzname() and found.fold == value.fold


def test_a_time_zone_of_a_program_crosses_as_its_offset() -> None:
    value = datetime(2024, 1, 2, tzinfo=Strange())
    found = decode(encode(value))
    assert found == value and found.tzname() == "Strange" and type(found.tzinfo) is timezone


@pytest.mark.parametrize("dtype", ["datetime64[s]", "timedelta64[ms]", "S3"])
def test_flat_arrays(dtype: str) -> None:
    array = numpy.array([[0, 1], [2, 3]]).astype(dtype)
    found = decode(encode(array))
    assert found.dtype == array.dtype and (found == array).all()


def test_arrays_of_objects() -> None:
    shared = [1]
    array = numpy.empty((2, 2), object)
    array[0, 0], array[0, 1], array[1, 0], array[1, 1] = shared, None, (shared, "x"), Path("a")
    found = decode(encode(array))
    assert found.dtype == object and found.shape == (2, 2) and (found == array).all()
    assert found[0, 0] is found[1, 0][0], "one object stays one"


def test_an_array_of_objects_is_changed_in_place() -> None:
    own, theirs = (numpy.array([3, None, [1]], object) for _ in range(2))
    arguments, _ = form.mutable_arguments((theirs,), {})
    before = [form.contents(each) for each in arguments]
    theirs[0], theirs[1] = [7, 8], "new"
    theirs[2].append(2)
    mine, _ = form.mutable_arguments((own,), {})
    assert decode(encode(None, arguments, before), mine) is None
    assert own.tolist() == [[7, 8], "new", [1, 2]]


@pytest.mark.parametrize(
    "leaf",
    [
        '["textual", ["os", "system", "true"]]',
        '["textual", ["pathlib", "Path", "a"]]',
        '["textual", ["zoneinfo", "ZoneInfo", "../../etc/passwd"]]',
        '["datetime", ["2024", 1, 2, 3, 4, 5, 6, 0, "posixpath", "x"]]',
        '["datetime", [2024, 1, 2, 3, 4, 5, 6, 0, "timezone", 9, 0, 0, null]]',
        '["objects", [2, 3, 1]]',
        '["objects", [99]]',
    ],
)
def test_malformed(leaf: str) -> None:
    with pytest.raises(Malformed):
        decode(f"[0, [{leaf}], [0], [], true]".encode())


def test_right_answers_pass_with_their_tests_apart() -> None:
    source = """
from datetime import datetime, timezone, timedelta
from pathlib import Path
import numpy as np
def f(kind):
    if kind == "date": return datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    if kind == "path": return [Path("a") / "b"]
    return np.array([1, "x", None], dtype=object)
"""
    tests = """
from datetime import datetime, timezone
from pathlib import Path
import numpy as np
assert f("date") == datetime(2023, 12, 31, 23, tzinfo=timezone.utc)
assert f("path") == [Path("a/b")] and isinstance(f("path")[0], Path)
assert f("array").tolist() == [1, "x", None]
"""
    apart = split_tests(tests, source, "f")
    assert apart.calls == ("f",)
    with Sandbox("weak", workers=1) as sandbox:
        outcome = sandbox.run(Program(source, tests=tests, calls=apart.calls, given=apart.given))
        wrong = source.replace("hours=1", "hours=2")
        failed = sandbox.run(Program(wrong, tests=tests, calls=apart.calls, given=apart.given))
    assert outcome.passed and outcome.tests_apart, outcome
    assert failed.outcome == "failed"
