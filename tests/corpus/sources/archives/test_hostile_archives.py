"""Archives whose headers lie: no more memory than the limits, no more time than it takes to read them."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
import time
import tracemalloc
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.corpus.output.dropped import Dropped, by_step
from codecascade.corpus.sources.archives import archives
from codecascade.corpus.sources.archives.members import BombError
from codecascade.corpus.sources.archives.tars import ForwardFile, headers, is_pax
from codecascade.corpus.sources.find import find_candidates


def octal(number: int) -> bytes:
    return b"%011o\0" % number


def binary(number: int) -> bytes:
    """GNU's form for sizes that need more digits, or a sign."""
    return (b"\x80" if number >= 0 else b"\xff") + (number % (1 << 88)).to_bytes(11, "big")


def header(name: bytes, size: bytes, kind: bytes = b"0") -> bytes:
    block = bytearray(512)
    block[: len(name)] = name
    block[100:108], block[108:116], block[116:124] = b"0000644\0", b"0000000\0", b"0000000\0"
    block[124 : 124 + len(size)] = size
    block[136:148], block[156:157], block[257:265] = octal(0), kind, b"ustar\x0000"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def blocks(data: bytes) -> bytes:
    return data + bytes(-len(data) % 512)


def extended(data: bytes, kind: bytes = b"x") -> bytes:
    return header(b"p", octal(len(data)), kind) + blocks(data)


def record(key: str, value: str) -> bytes:
    body = f" {key}={value}\n".encode()
    length = len(body) + 1
    while len(str(length)) + len(body) != length:
        length += 1
    return str(length).encode() + body


GOOD = header(b"top/good.py", octal(6)) + blocks(b"x = 1\n")
END = bytes(1024)
LIES = {
    "digits alone": extended(b"1" * 250_000),
    "digits in a value": extended(record("comment", "1" * 200_000)),
    "no digits": extended(b"x" * 1000),
    "a record longer than the header": extended(b"9999 path=x\n"),
    "a record of nothing": extended(b"0 a=b\n" * 9),
    "a record of a number without end": extended(b"9" * 30 + b" a=b\n"),
    "a negative record": extended(b"-9 a=b\n"),
    "a negative size by record": extended(record("size", "-1024")),
    "a size by record that is none": extended(record("size", "seven")),
    "a huge size by record": extended(record("size", "9" * 30)),
    "a global header of digits": extended(b"1" * 250_000, b"g"),
    "a negative binary size": header(b"n.py", binary(-512)),
    "a negative octal size": header(b"n.py", b"-0000001000\0"),
    "a binary size beyond the file": header(b"n.py", binary(1 << 60)),
    "an octal size beyond the file": header(b"n.py", octal(8**11 - 1)),
    "a long name of a gigabyte": header(b"././@LongLink", octal(1 << 30), b"L") + b"y" * 4096,
    "a long link of a gigabyte": header(b"././@LongLink", octal(1 << 30), b"K") + b"y" * 4096,
    "a long name without end": header(b"././@LongLink", binary(1 << 62), b"L") + b"y" * 4096,
    "a negative long name": header(b"././@LongLink", binary(-512), b"L"),
    "an extended header of a gigabyte": header(b"p", octal(1 << 30), b"x") + b"y" * 4096,
    "extended headers in a chain": extended(record("a", "b")) * 3000,
    "long names in a chain": (header(b"././@LongLink", octal(9), b"L") + blocks(b"long.py\0\0")) * 3000,
    "a sparse map without end": extended(record("GNU.sparse.major", "1") + record("GNU.sparse.minor", "0"))
    + header(b"s.py", octal(512)) + b"9" * 512,
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_headers_that_lie_make_a_damaged_archive(tmp_path: Path, lie: str, packed: bool) -> None:
    data = GOOD + LIES[lie] + GOOD + END
    path = tmp_path / ("t.tar.gz" if packed else "t.tar")
    path.write_bytes(gzip.compress(data) if packed else data)
    dropped = Dropped()
    began = time.process_time()
    tracemalloc.start()
    try:
        candidates = list(find_candidates(str(path), dropped))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert candidates == []
    [reason] = by_step(dropped.table())["find"]
    assert reason.startswith("damaged archive (")
    assert peak < 20_000_000 and time.process_time() - began < 5


def test_long_declared_headers_are_not_read(tmp_path: Path) -> None:
    """Of a header that says a gigabyte, and has some: a little archive unpacks to it."""
    data = header(b"././@LongLink", octal(90_000_000), b"L") + bytes(90_000_000)
    (tmp_path / "t.tar.gz").write_bytes(gzip.compress(data, 1))
    tracemalloc.start()
    try:
        assert list(find_candidates(str(tmp_path / "t.tar.gz"), Dropped())) == []
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_honest_long_names_and_attributes_are_read(tmp_path: Path, form: int) -> None:
    name = "top/" + "/".join("d" * 90 for _ in range(20)) + "/é.py"
    with tarfile.open(tmp_path / "t.tar", "w", format=form) as archive:
        info = tarfile.TarInfo(name)
        info.size, info.mtime = 5, 1.5  # type: ignore[assignment]
        if form == tarfile.PAX_FORMAT:
            info.pax_headers = {"SCHILY.xattr.user.note": "x" * 60_000, "comment": "a\nb=c"}
        archive.addfile(info, io.BytesIO(b"x = 1"))
    [candidate] = find_candidates(str(tmp_path / "t.tar"), Dropped())
    assert candidate.path == name.removeprefix("top/") and candidate.size == 5


@given(st.dictionaries(st.text("abc.", min_size=1), st.text(max_size=300), max_size=5))
def test_records_as_the_library_writes_them_are_records(values: dict[str, str]) -> None:
    info = tarfile.TarInfo("x")
    data = info.create_pax_global_header(values)
    data = data[512:]
    assert is_pax(data)
    assert not data or not is_pax(b"x" + data)


@given(st.binary(max_size=200))
def test_only_what_has_the_form_of_a_pax_header_is_one(data: bytes) -> None:
    if is_pax(data) and data.strip(b"\0"):
        assert b"=" in data and b"\n" in data


@given(st.binary(max_size=3000), st.lists(st.integers(0, 900), max_size=8))
def test_a_forward_file_reads_as_a_file_does(data: bytes, steps: list[int]) -> None:
    file, other = ForwardFile(io.BytesIO(data), len(data)), io.BytesIO(data)
    for number, step in enumerate(steps):
        if number % 3 == 2:
            assert file.peek(step)[:step] == data[other.tell() : other.tell() + step]
        elif number % 3 == 1 and other.tell() + step <= len(data):
            assert file.seek(other.tell() + step) == other.seek(other.tell() + step)
        else:
            assert file.read(step) == other.read(step)
        assert file.tell() == other.tell()


def test_a_forward_file_gives_no_more_than_it_may() -> None:
    with pytest.raises(BombError):
        ForwardFile(io.BytesIO(bytes(100)), 99).seek(100)
    with pytest.raises(tarfile.ReadError):
        ForwardFile(io.BytesIO(bytes(100)), 1000).seek(101)


def test_the_list_of_members_is_not_kept() -> None:
    many = b"".join(header(b"f%d.py" % number, octal(0)) for number in range(5000)) + END
    tracemalloc.start()
    try:
        assert sum(1 for _ in headers(ForwardFile(io.BytesIO(many), len(many)))) == 5000
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
    finally:
        tracemalloc.stop()


def test_licences_are_kept_up_to_a_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MOST_KEPT", 100_000)
    text = os.urandom(20_000).hex().encode()
    data = (
        b"".join(header(b"top/d%d/LICENSE" % n, octal(len(text))) + blocks(text) for n in range(100))
        + GOOD
        + END
    )
    (tmp_path / "t.tar").write_bytes(data)
    tracemalloc.start()
    try:
        assert [c.path for c in find_candidates(str(tmp_path / "t.tar"), Dropped())] == ["good.py"]
        assert tracemalloc.get_traced_memory()[1] < 1_500_000
    finally:
        tracemalloc.stop()


def test_a_zip_file_with_a_list_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        for number in range(100):
            archive.writestr(f"{number}.py", "")
    monkeypatch.setattr(archives, "_LARGEST_DIRECTORY", 5000)
    dropped = Dropped()
    assert list(find_candidates(str(tmp_path / "z.zip"), dropped)) == []
    assert by_step(dropped.table())["find"] == {"archive expands beyond reason": 1}


def test_an_archive_in_an_archive_is_not_opened(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.py", "\n" * 10_000_000)
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())
    dropped = Dropped()
    assert list(find_candidates(str(tmp_path / "z.zip"), dropped)) == []
    assert by_step(dropped.table())["find"] == {"not a known language": 1}
