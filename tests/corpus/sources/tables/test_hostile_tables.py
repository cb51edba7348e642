"""Tables that claim or expand to more than they are: bounded memory and time, and said in the account."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from codecascade.corpus.output.dropped import Dropped, by_step
from codecascade.corpus.reading.containers import CandidateContents
from codecascade.corpus.sources.archives.members import BombError
from codecascade.corpus.sources.find import find_candidates
from codecascade.corpus.sources.tables import limits as table_limits
from codecascade.corpus.sources.tables import parquet_pages, rows
from codecascade.corpus.sources.tables.parquet_pages import check_group

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: pa.compress(data, "zstd", asbytes=True),
}
BOMB = {"table expands beyond reason": 1}


def found(path: Path) -> tuple[int, dict[str, int]]:
    dropped = Dropped()
    return sum(1 for _ in find_candidates(str(path), dropped)), by_step(dropped.table()).get("find", {})


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_limits, "FREE_BYTES", 300_000)
    monkeypatch.setattr(table_limits, "MOST_EXPANSION", 5)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("ending", COMPRESS)
@pytest.mark.parametrize("content", [b"\n", b"x", b" "], ids=["empty lines", "one endless line", "spaces"])
def test_a_compressed_table_of_nothing(
    tmp_path: Path, ending: str, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LONGEST_LINE", 100_000)
    path = tmp_path / f"t.jsonl.{ending}"
    path.write_bytes(COMPRESS[ending](b'{"text": "x = 1"}\n' + content * 5_000_000))
    began = time.process_time()
    tracemalloc.start()
    try:
        count, dropped = found(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 1 and dropped["table expands beyond reason"] == 1
    assert peak < 12_000_000 and time.process_time() - began < 10


def test_an_honest_table_is_read_whole(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": f"x = {number}\n" * 50}) + "\n" for number in range(5000))
    (tmp_path / "t.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    assert found(tmp_path / "t.jsonl.gz") == (5000, {})


def test_rows_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_limits, "MOST_MEMBERS", 100)
    path = tmp_path / "t.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"text": "x"}\n' * 5000))
    assert found(path) == (100, BOMB)
    pq.write_table(pa.table({"text": ["x"] * 5000}), tmp_path / "t.parquet")
    assert found(tmp_path / "t.parquet") == (100, BOMB)


def test_rows_without_text_fill_the_account_up_to_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_limits, "MOST_WITHOUT_TEXT", 100)
    (tmp_path / "t.jsonl").write_bytes(b"{}\n" * 5000)
    assert found(tmp_path / "t.jsonl") == (0, {"row without text": 100, **BOMB})
    pq.write_table(pa.table({"text": pa.nulls(5000, pa.string())}), tmp_path / "t.parquet")
    assert found(tmp_path / "t.parquet") == (0, {"row without text": 100, **BOMB})


def test_a_row_of_millions_of_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_limits, "_SHORT", 1000)
    monkeypatch.setattr(table_limits, "MOST_VALUES", 500)
    (tmp_path / "t.jsonl").write_text(
        json.dumps({"text": "x", "n": [[]] * 600}) + "\n" + json.dumps({"text": "y = [1, 2]"}) + "\n"
    )
    assert found(tmp_path / "t.jsonl") == (1, {"row with too many values": 1})


def test_labels_of_any_length_are_cut(tmp_path: Path) -> None:
    row = dict.fromkeys(("repository", "path", "language", "license", "revision"), "é" * 1000000)
    (tmp_path / "t.jsonl").write_text(json.dumps({"text": "x", **row}) + "\n")
    [candidate] = find_candidates(str(tmp_path / "t.jsonl"), Dropped())
    assert max(len(str(value)) for value in candidate) <= 4096


# ---- Parquet


def table(path: Path, text: list[str | None], **changed: Any) -> Path:
    pq.write_table(pa.table({"text": text}), path, **changed)
    return path


def with_page_size(path: Path, size: int) -> None:
    """Make the first data page claim another size."""
    data = bytearray(path.read_bytes())
    place = pq.read_metadata(path).row_group(0).column(0).data_page_offset
    header, _ = parquet_pages._header(io.BytesIO(bytes(data)), place)
    before = b"\x15" + varint(header[1]) + b"\x15" + varint(header[2])
    assert data[place : place + len(before)] == before
    after = b"\x15" + varint(header[1]) + b"\x15" + varint(size)
    # the file's end tells where everything is, so that nothing may move
    assert len(after) == len(before)
    data[place : place + len(before)] = after
    path.write_bytes(bytes(data))


def varint(number: int) -> bytes:
    number, data = number << 1, b""
    while number > 127:
        data, number = data + bytes([number & 127 | 128]), number >> 7
    return data + bytes([number])


def test_a_page_that_claims_gigabytes_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_limits, "FREE_BYTES", 500_000)
    monkeypatch.setattr(table_limits, "MOST_EXPANSION", 2)
    text = ["".join(chr(33 + (n * k) % 90) for k in range(200)) for n in range(200)]
    path = table(tmp_path / "t.parquet", list(text), use_dictionary=False, compression="zstd")
    assert found(path) == (200, {})
    with_page_size(path, 1_000_000)
    assert found(path) == (0, BOMB)
    monkeypatch.setattr(parquet_pages, "LARGEST_PAGE", 900_000)
    monkeypatch.setattr(table_limits, "FREE_BYTES", 10**12)
    assert found(path) == (0, BOMB)


def test_a_column_that_expands_beyond_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_limits, "FREE_BYTES", 1_000_000)
    path = table(tmp_path / "t.parquet", ["x" * 1_000_000] * 50, use_dictionary=False, compression="zstd")
    assert path.stat().st_size < 50_000 and found(path) == (0, BOMB)


@pytest.mark.parametrize(
    "form",
    [{"use_dictionary": True}, {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}}],
)
def test_one_long_value_in_many_rows_is_read_a_few_at_a_time(
    tmp_path: Path, form: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """100 kB of dictionary and some bytes of references make a gigabyte of text."""
    monkeypatch.setattr(parquet_pages, "AT_ONCE", 2_000_000)
    path = table(tmp_path / "t.parquet", ["x" * 100_000] * 3000, **form)
    before, most = pa.total_allocated_bytes(), 0
    dropped, contents = Dropped(), CandidateContents()
    sizes = []
    candidates = []
    for candidate in find_candidates(str(path), dropped):
        most = max(most, pa.total_allocated_bytes() - before)
        sizes.append(candidate.size)
        candidates.append(candidate)
    assert sizes == [100_000] * 3000 and len(dropped.table()) == 0
    for candidate in candidates[:200]:
        assert len(contents.text(candidate, 10**6)) == 100_000
        most = max(most, pa.total_allocated_bytes() - before)
    contents.close()
    assert most < 20_000_000


def test_a_row_of_a_list_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_pages, "_MOST_VALUES", 1000)
    many = pa.table({"text": ["x"], "licenses": [["MIT"] * 5000]})
    pq.write_table(many, tmp_path / "t.parquet")
    assert found(tmp_path / "t.parquet") == (0, BOMB)
    # what is not read may be anything
    pq.write_table(pa.table({"text": ["x"], "other": [["MIT"] * 5000]}), tmp_path / "u.parquet")
    assert found(tmp_path / "u.parquet") == (1, {})


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_pages_are_counted_as_they_are(
    tmp_path: Path, version: str, compression: str, dictionary: bool
) -> None:
    columns = {
        "text": [f"x = {number}\n" * (number % 50) for number in range(3000)],
        "licenses": [["MIT"] * (number % 3) for number in range(3000)],
        "number": list(range(3000)),
        "maybe": [None if number % 2 else "x" for number in range(3000)],
    }
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table(columns), path, data_page_version=version, compression=compression,
                   use_dictionary=dictionary, data_page_size=5000, row_group_size=1100,
                   write_page_checksum=True, write_page_index=True)  # fmt: skip
    metadata = pq.read_metadata(path)
    with open(path, "rb") as file:
        for group in range(metadata.num_row_groups):
            assert 1 <= check_group(file, metadata, group, list(columns), 10**9) <= 1000
            about = metadata.row_group(group)
            for number in range(about.num_columns):
                column = about.column(number)
                pages = parquet_pages._pages(file, column)
                assert pages.values == column.num_values
                assert (
                    0
                    <= column.total_uncompressed_size - pages.unpacked
                    < 0.5 * column.total_uncompressed_size
                )
            with pytest.raises(BombError):
                check_group(file, metadata, group, list(columns), 100)


def test_a_header_of_any_bytes_is_none_or_one() -> None:
    for seed in range(3000):
        data = (seed * 2654435761 % 2**64).to_bytes(8, "little") * 4
        try:
            fields, size = parquet_pages._header(io.BytesIO(data), 0)
        except ValueError:
            continue
        assert isinstance(fields, dict) and 0 < size <= len(data)
    with pytest.raises(ValueError, match="nested"):
        parquet_pages._header(io.BytesIO(b"\x1c" * 100), 0)
