"""Rows of tables: JSON lines and Parquet, whole, compressed, cut and at a distance."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
from collections.abc import Callable
from pathlib import Path

import fsspec
import huggingface_hub.constants
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from found_candidates import reasons, text
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem
from hub import hub
from source_trees import Build, module

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.containers import CandidateContents
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.sources.find import find_candidates
from codecascade.corpus.sources.tables import rows
from codecascade.ground.errors import RunFailed, UserError


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    rows = [
        {"text": "a = 1", "path": "/abs/a.py", "repository": "me/a", "license": "MIT"},
        {"content": "fn main() {}", "language": "Rust", "licenses": ["MIT", "GPL-2.0"]},
        {"text": "Once upon a time."},
        {"text": "talk", "kind": "natural_language_code", "language": "markdown"},
        {"text": 5},
        {"title": "none"},
        {"text": "a = 1", "id": "same", "path": "once.py"},
        {"text": "a = 2", "id": "same", "path": "twice.py"},
        {"text": "bad \ud800 text", "path": "s.py"},
    ]
    path.write_text("\n".join([*map(json.dumps, rows), "{broken", '["list"]', ""]))
    dropped = Dropped()
    first, rust, prose, talk, once, twice, surrogate = find_candidates(str(path), dropped)
    assert (first.repository, first.path, first.language, first.kind) == (
        "me/a",
        "abs/a.py",
        "python",
        "code",
    )
    assert (rust.language, rust.license, rust.path) == ("rust", "MIT AND GPL-2.0-only", "rows.jsonl:2")
    assert (prose.kind, prose.repository, prose.license) == ("natural_language", "rows.jsonl:3", "unknown")
    assert talk.kind == "natural_language_code" and (once.path, twice.path) == ("once.py", "twice.py")
    assert [text(c) for c in (first, rust, prose, talk)] == [
        "a = 1",
        "fn main() {}",
        "Once upon a time.",
        "talk",
    ]
    with pytest.raises(UnreadableError, match="not UTF-8"):
        text(surrogate)
    assert reasons(dropped) == {"row without text": 3, "row is not JSON": 1}


def test_parquet_in_several_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    texts = [f"value = {n} # ß" for n in range(10)] + [None]
    table = pa.table({"content": texts, "max_stars_repo_name": ["r"] * 11, "lang": ["Python"] * 11})
    pq.write_table(table, path, row_group_size=3)
    dropped = Dropped()
    candidates = list(find_candidates(str(path), dropped))
    contents = CandidateContents()
    assert [contents.text(c, 1000) for c in candidates] == texts[:10]
    assert [contents.text(candidates[n], 1000) for n in (9, 0, 5)] == [texts[9], texts[0], texts[5]]
    assert all(c.repository == "r" and c.language == "python" for c in candidates)
    assert candidates[0].size == len(texts[0].encode())  # type: ignore[union-attr]
    assert reasons(dropped) == {"row without text": 1}


def test_tables_elsewhere(tmp_path: Path) -> None:
    """Through fsspec: here its memory and its files stand for a hub or an object store."""
    memory = fsspec.filesystem("memory")
    with memory.open("/data/a.jsonl", "wb") as file:
        file.write(b'{"text": "one = 1", "path": "a.py"}\n')
    with memory.open("/data/deep/b.parquet", "wb") as file:
        pq.write_table(pa.table({"content": ["two = 2"], "path": ["b.py"], "license": ["mit"]}), file)
    with memory.open("/data/readme.txt", "wb") as file:
        file.write(b"nothing")
    try:
        candidates = list(find_candidates("memory://data", Dropped()))
        assert [text(c) for c in candidates] == ["one = 1", "two = 2"] and candidates[1].license == "MIT"
        assert [text(c) for c in find_candidates("memory://data/*.jsonl", Dropped())] == ["one = 1"]
        with pytest.raises(UserError, match=r"no .jsonl or .parquet file there"):
            list(find_candidates("memory://data/*.csv", Dropped()))
    finally:
        memory.rm("/data", recursive=True)
    with pytest.raises(UserError, match="can't be reached"):
        list(find_candidates("nosuch://place", Dropped()))


def zstd(data: bytes) -> bytes:
    return bytes(pa.compress(data, "zstd", asbytes=True))


def pzstd(data: bytes) -> bytes:
    """As the program of this name writes it: in frames, each behind one to be skipped that holds its size."""
    # Not halves: where a file is cut between two frames, nothing shows that another one is missing.
    third = len(data) // 3
    frames = [zstd(data[:third]), zstd(data[third:])]
    return b"".join(b"\x50\x2a\x4d\x18\x04\0\0\0" + len(each).to_bytes(4, "little") + each for each in frames)


@pytest.mark.parametrize(
    ("ending", "compress"),
    [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress), ("zst", zstd), ("zst", pzstd)],
)
def test_compressed_json_lines(tmp_path: Path, ending: str, compress: Callable[[bytes], bytes]) -> None:
    lines = [json.dumps({"text": os.urandom(200).hex(), "path": "x.py"}) for _ in range(200)]
    whole = compress("\n".join(lines).encode())
    path = tmp_path / f"rows.jsonl.{ending}"
    path.write_bytes(whole)
    candidates = list(find_candidates(str(path), Dropped()))
    texts = [json.loads(line)["text"] for line in lines]
    contents = CandidateContents()
    assert [contents.text(candidates[n], 1000) for n in (3, 199, 0)] == [texts[3], texts[199], texts[0]]

    path.write_bytes(whole[: len(whole) // 2])
    assert len(candidates) == 200
    outcomes = []
    # Cut behind our back.
    for candidate in candidates:
        try:
            outcomes.append(contents.text(candidate, 1000))
        except UnreadableError:
            break
    assert outcomes == texts[: len(outcomes)] and len(outcomes) < 200
    dropped = Dropped()
    rest = list(find_candidates(str(path), dropped))
    assert [text(candidate) for candidate in rest] == texts[: len(rest)] and len(rest) < 200
    (reason,) = reasons(dropped)
    assert reason.startswith("damaged table")


def test_a_damaged_table_does_not_end_a_build(build: Build, tmp_path: Path) -> None:
    lines = [
        json.dumps({"text": module(f"m{n}"), "path": "x.py", "repository": f"r{n % 3}"}) for n in range(9)
    ]
    whole = gzip.compress("\n".join(lines).encode())
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[:-30])
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 no")
    (tmp_path / "good.jsonl").write_text("\n".join(lines))
    names = ("cut.jsonl.gz", "cut.parquet", "good.jsonl")
    manifest, _ = build(*(tmp_path / name for name in names))
    assert manifest.total().documents == 9
    assert sum(n for reason, n in manifest.dropped["find"].items() if reason.startswith("damaged table")) == 2
    with pytest.raises(UserError, match=r"nothing here can become a document \(1 x damaged table"):
        build(tmp_path / "cut.parquet")


def test_parquet_without_a_column_of_text_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"title": ["x"]}), tmp_path / "titles.parquet")
    pq.write_table(pa.table({"text": [1]}), tmp_path / "numbers.parquet")
    for name in ("titles.parquet", "numbers.parquet"):
        with pytest.raises(UserError, match="no column of text"):
            list(find_candidates(str(tmp_path / name), Dropped()))


class Faltering(MemoryFileSystem):  # type: ignore[misc]
    """A store whose network fails when it is told to."""

    protocol = "faltering"
    fails = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.removeprefix("faltering://")))

    def _open(self, path: str, mode: str = "rb", **options: object) -> MemoryFile:
        file = super()._open(path, mode, **options)
        read = file.read

        def faltering(size: int = -1) -> bytes:
            if Faltering.fails:
                # As odd an error as any.
                raise LookupError("no route to the store")
            return bytes(read(size))

        if mode == "rb":
            file.read = faltering
        return file


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.parquet"])
def test_a_network_that_fails_ends_a_build_and_drops_nothing(name: str) -> None:
    fsspec.register_implementation("faltering", Faltering, clobber=True)
    data = json.dumps({"text": "one = 1", "path": "a.py"}).encode()
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": ["one = 1"], "path": ["a.py"]}), sink)
    content = {"a.jsonl": data, "a.jsonl.gz": gzip.compress(data), "a.parquet": sink.getvalue().to_pybytes()}
    store = fsspec.filesystem("faltering")
    store.pipe(f"/shop/{name}", content[name])
    try:
        (candidate,) = find_candidates(f"faltering://shop/{name}", Dropped())
        assert text(candidate) == "one = 1"
        Faltering.fails = True
        with pytest.raises(
            RunFailed, match=r"can't be reached any more \(no route to the store\); run again"
        ):
            text(candidate)
        with pytest.raises(RunFailed, match="no route"):
            list(find_candidates(f"faltering://shop/{name}", Dropped()))
        store.rm("/shop", recursive=True)
        with pytest.raises(UserError, match="can't be reached"):
            text(candidate)
    finally:
        Faltering.fails = False


def test_a_hubs_data_set(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through ``huggingface_hub``, as ``hf://`` goes; the hub is a small server here."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"content": [module(f"m{n}") for n in range(5)], "lang": ["Python"] * 5}), sink)
    files = {
        "data/a.parquet": sink.getvalue().to_pybytes(),
        "data/b.jsonl": json.dumps({"text": module("b"), "path": "b.py"}).encode(),
        "README.md": b"a data set",
    }
    with hub(files) as address:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setitem(fsspec.config.conf, "hf", {"endpoint": address})
        assert len(list(find_candidates("hf://datasets/owner/name/data/*.parquet", Dropped()))) == 5
        _, corpus = build("hf://datasets/owner/name")
        texts = {d.text for split in ("train", "heldout") for d in corpus.documents(split)}  # type: ignore[arg-type]
        assert texts == {module(name) for name in ("m0", "m1", "m2", "m3", "m4", "b")}
        for name, reason in {
            "owner/name/data/none.jsonl": "there is no",
            "owner/other": "can't be reached",
        }.items():
            with pytest.raises(UserError, match=reason):
                list(find_candidates(f"hf://datasets/{name}", Dropped()))


def test_folders_that_are_called_like_tables(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").mkdir()
    (tmp_path / "y.jsonl").write_text('{"text": "a = 1"}')
    assert len(list(find_candidates(f"file://{tmp_path}/*.jsonl", Dropped()))) == 1


def test_an_absurdly_long_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LONGEST_LINE", 1000)
    lines = [json.dumps({"text": "y" * 5000}), json.dumps({"text": "short", "path": "s.py"})]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    dropped = Dropped()
    (short,) = find_candidates(str(tmp_path / "rows.jsonl"), dropped)
    assert text(short) == "short" and reasons(dropped) == {"row longer than 0.001 MB": 1}
    with pytest.raises(UnreadableError, match="larger"):
        text(short, limit=3)


def test_a_parquet_file_damaged_behind_its_footer(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": [os.urandom(500).hex() for _ in range(200)]}), path, row_group_size=50)
    candidates = list(find_candidates(str(path), Dropped()))
    data = bytearray(path.read_bytes())
    data[3000:60_000] = bytes(57_000)
    path.write_bytes(bytes(data))
    contents, bad = CandidateContents(), 0
    for candidate in candidates:
        try:
            contents.text(candidate, 10_000)
        except UnreadableError:
            bad += 1
    assert 0 < bad < 200


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_rows_with_one_id_are_documents_of_their_own(build: Build, tmp_path: Path, kind: str) -> None:
    """As the answers to one problem have. The corpus is the same, byte for byte, whatever the ids say."""
    texts = [module(f"m{n}") for n in range(8)]
    contents = []
    for ids in ([0] * 4 + [1] * 4, range(8), [None] * 8, ["x"] * 8):
        rows = [{"id": row, "text": text, "path": "x.py"} for row, text in zip(ids, texts, strict=True)]
        for name, part in (("a", rows[:4]), ("b", rows[4:])):
            if kind == "jsonl":
                (tmp_path / f"{name}.{kind}").write_text("\n".join(map(json.dumps, part)))
            else:
                pq.write_table(pa.Table.from_pylist(part), tmp_path / f"{name}.{kind}")
        manifest, corpus = build(tmp_path / f"a.{kind}", tmp_path / f"b.{kind}")
        assert manifest.total().documents == 8 and not manifest.dropped
        contents.append([[d.text for d in corpus.documents(split)] for split in ("train", "heldout")])
    assert sorted(text for split in contents[0] for text in split) == sorted(texts)
    assert all(content == contents[0] for content in contents)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_a_byte_order_mark_before_json_lines(tmp_path: Path, ending: str) -> None:
    lines = "\n".join(json.dumps({"text": f"\ufeffa = {n}", "path": "a.py"}) for n in range(3))
    data = lines.encode("utf-8-sig")
    (tmp_path / f"rows.jsonl{ending}").write_bytes(gzip.compress(data) if ending else data)
    dropped = Dropped()
    candidates = list(find_candidates(str(tmp_path / f"rows.jsonl{ending}"), dropped))
    assert [text(c) for c in candidates] == ["a = 0", "a = 1", "a = 2"] and not reasons(dropped)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
def test_json_lines_in_another_unicode_encoding_are_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes('{"text": "a = 1"}\n{"text": "b = 1"}\n'.encode(encoding))
    with pytest.raises(UserError, match=r"UTF-16 or UTF-32.*iconv"):
        list(find_candidates(str(path), Dropped()))


def test_pointers_in_rows_are_no_texts(tmp_path: Path) -> None:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4f' * 32}\nsize 12\n"
    (tmp_path / "rows.jsonl").write_text(json.dumps({"content": pointer, "path": "a.py"}))
    (candidate,) = find_candidates(str(tmp_path / "rows.jsonl"), Dropped())
    with pytest.raises(UnreadableError, match="Git LFS pointer"):
        text(candidate)


def test_json_lines_are_left_out_for_what_is_wrong_with_them(tmp_path: Path) -> None:
    """And for nothing that is not: a number of any length, a byte order mark in the middle."""
    path = tmp_path / "rows.jsonl"
    lines = [
        '{"text": "a = 1", "stars": %s}' % ("9" * 6000),
        '\ufeff{"text": "b = 1"}',
        "[" * 100_000,
        "{'text': 'c'}",
    ]
    path.write_bytes("\n".join(lines).encode() + b'\n{"text": "caf\xe9"}\n')
    dropped = Dropped()
    assert [text(candidate) for candidate in find_candidates(str(path), dropped)] == ["a = 1", "b = 1"]
    assert reasons(dropped) == {"row is not JSON": 2, "row is not UTF-8": 1}


@pytest.mark.parametrize("end", [b"garbage", b"\x1f\x8b\x08" + bytes(40)])
def test_rows_before_a_damage_are_had_whole(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "rows.jsonl.gz"
    whole = b"".join(b'{"text": "a = %d"}\n' % number for number in range(20_000))
    path.write_bytes(gzip.compress(whole) + end)
    dropped = Dropped()
    found = list(find_candidates(str(path), dropped))
    contents = CandidateContents()
    assert len(found) == 20_000 and contents.text(found[-1], 100) == "a = 19999"
    assert sum(reasons(dropped).values()) == 1
