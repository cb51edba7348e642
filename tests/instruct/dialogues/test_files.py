"""Files of dialogues: JSON lines, arrays and Parquet, packed or not; damaged, hostile and odd ones."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codecascade.corpus.sources.tables import limits
from codecascade.ground.errors import UserError
from codecascade.instruct.dialogues import json_arrays, row, rows
from codecascade.instruct.dialogues.places import files_of_source, is_there
from codecascade.instruct.dialogues.reading import read_source
from codecascade.instruct.dialogues.rows import read_rows
from codecascade.instruct.dialogues.settings import DialogueSource

USER, ANSWER = {"role": "user", "content": "Hello\r\n?"}, {"role": "assistant", "content": "Hellö."}
GOOD = {"messages": [USER, ANSWER]}
LINE = json.dumps(GOOD, ensure_ascii=False)


def read(path: Path, **changes: Any) -> Any:
    return read_source(DialogueSource(source=str(path), **changes))


def test_every_kind_of_file_gives_the_same(tmp_path: Path) -> None:
    lines = f"{LINE}\n\n{LINE}\n".encode()
    array = json.dumps([GOOD, GOOD], indent=2).encode()
    bom = b"\xef\xbb\xbf"
    files = {
        "a.jsonl": lines,
        "crlf.jsonl": lines.replace(b"\n", b"\r\n"),
        "no_end.jsonl": lines.rstrip(),
        "bom.jsonl": bom + lines,
        "bom_alone_in_a_line.jsonl": bom + b"\n" + lines,
        "array.json": array,
        "compact.json": json.dumps([GOOD, GOOD]).encode(),
        "bom.json": bom + b"\n " + array,
        "array_named.jsonl": array,
        "lines_named.json": lines,
        "a.jsonl.gz": gzip.compress(lines),
        "b.json.gz": gzip.compress(array),
        "c.jsonl.bz2": bz2.compress(lines),
        "d.jsonl.xz": lzma.compress(lines),
        "no_ending": lines,
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    pq.write_table(pa.Table.from_pylist([GOOD, GOOD]), tmp_path / "a.parquet")
    fingerprints = {name: read(tmp_path / name).table.fingerprint for name in [*files, "a.parquet"]}
    assert len(set(fingerprints.values())) == 1, fingerprints
    assert read(tmp_path / "a.jsonl").table[0].messages[0].content == "Hello\r\n?"


def parquet(path: Path, **columns: Any) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def test_parquet_with_odd_column_types(tmp_path: Path) -> None:
    text = pa.array(["a"], pa.large_string())
    good = parquet(
        tmp_path / "a.parquet",
        prompt=text.cast(pa.string()).dictionary_encode(),
        completion=text,
        embedding=pa.array([[1.5]], pa.list_(pa.float32())),
        when=pa.array([0], pa.timestamp("ns")),
        count=pa.array([None], pa.null()),
    )
    assert len(read(good).table) == 1
    columns = pa.array([[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]])
    assert len(read(parquet(tmp_path / "b.parquet", messages=columns)).table) == 1
    as_bytes = parquet(tmp_path / "c.parquet", prompt=pa.array([b"a"]), completion=pa.array([b"b"]))
    assert read(as_bytes).table[0].messages[0].content == "a"
    no_text = parquet(tmp_path / "d.parquet", prompt=pa.array([b"\xff"]), completion=pa.array([b"b"]))
    with pytest.raises(UserError, match=r"d\.parquet, row 1: prompt: must be text, and is bytes"):
        read(no_text)
    numbers = parquet(tmp_path / "e.parquet", prompt=pa.array([1, 2]), completion=pa.array(["a", "b"]))
    with pytest.raises(UserError, match=r"e\.parquet, row 1: prompt: must be a string, not int"):
        read(numbers)
    nothing = parquet(tmp_path / "f.parquet", prompt=pa.array(["x", None]), completion=pa.array(["a", "b"]))
    with pytest.raises(UserError, match=r"f\.parquet, row 2: prompt: must be a string, not nothing"):
        read(nothing)
    twice = pa.table([pa.array(["a"]), pa.array(["b"])], names=["prompt", "prompt"])
    pq.write_table(twice, tmp_path / "g.parquet")
    with pytest.raises(UserError, match="has two columns called 'prompt'"):
        read(tmp_path / "g.parquet")
    maps = pa.array([[("role", "user")]], pa.map_(pa.string(), pa.string()))
    with pytest.raises(UserError, match=r"row 1: messages\[0\]: must be an object"):
        read(parquet(tmp_path / "h.parquet", messages=maps))


def test_a_parquet_file_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    text = pa.array(["x" * 1_000_000]).dictionary_encode()
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), text.dictionary)
    pq.write_table(pa.table({"prompt": column, "completion": column}), tmp_path / "bomb.parquet")
    assert (tmp_path / "bomb.parquet").stat().st_size < 1_000_000
    # a page of references is small; what is asked of memory at a time stays small too
    assert len(next(read_rows(str(tmp_path / "bomb.parquet"))).value["prompt"]) == 1_000_000


def test_a_packed_file_that_expands_to_far_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "FREE_BYTES", 10_000)
    monkeypatch.setattr(limits, "MOST_MEMBERS", 1000)
    for name, content in (("spaces", b" " * 3_000_000), ("lines", b"\n" * 9_000)):
        (tmp_path / f"{name}.jsonl.gz").write_bytes(gzip.compress(content))
        with pytest.raises(UserError, match="expands to far more than its size"):
            read(tmp_path / f"{name}.jsonl.gz")


BROKEN = {
    "duplicate keys": (b'{"messages": [], "messages": []}', r"has the key 'messages' twice"),
    "inner duplicate keys": (
        b'{"messages": [{"role": "user", "role": "assistant", "content": "x"}]}',
        "has the key 'role' twice",
    ),
    "no UTF-8": (b'{"messages": "\xff"}', "is not UTF-8 text"),
    "no JSON": (b'{"messages": [}', "is not valid JSON"),
    "too deep": (b"[" * 100_000, "is nested too deeply"),
    "rather deep": (b'{"messages": ' + b"[" * 80 + b"]" * 80 + b"}", "is nested too deeply"),
    "digits": (b'{"n": ' + b"1" * 5000 + b"}", "a number has thousands of digits"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_line_is_named_or_skipped(tmp_path: Path, name: str) -> None:
    data, why = BROKEN[name]
    path = tmp_path / "a.jsonl"
    path.write_bytes(f"{LINE}\n".encode() + data + f"\n{LINE}\n".encode())
    with pytest.raises(UserError, match=rf"a\.jsonl:2: .*{why}"):
        read(path)
    found = read(path, unusable="skip")
    assert len(found.table) == 2 and found.skipped.total() == 1
    # as the first line it says more than that no format is known
    path.write_bytes(data + b"\n")
    with pytest.raises(
        UserError, match=f"{path}.*{why}" if data[:1] != b"[" else "is nested too deeply|JSON"
    ):
        read(path)


def test_a_line_that_is_too_long_is_passed_over_without_being_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "LONGEST_ROW", 1000)
    path = tmp_path / "long.jsonl"
    long = json.dumps({"prompt": "x" * 3_000_000, "completion": "y"})
    path.write_text(f"{LINE}\n{long}\n{LINE}\n")
    with pytest.raises(UserError, match=r"long\.jsonl:2: is a line of 3 MB, and a dialogue has at most 1 kB"):
        read(path)
    found = list(read_rows(str(path)))
    assert [each.number for each in found] == [1, 2, 3] and found[2].value == GOOD
    assert read(path, unusable="skip").skipped.total() == 1


ARRAYS = {
    "[1, 2": r"a\.json:1: is not valid JSON \(',' is missing before the end of the file\)",
    "[1 2]": r"a\.json:1: is not valid JSON \(',' is missing before '2'\)",
    "[\n1,\n]": r"a\.json:3: is not valid JSON",
    "[{}] {}": r"a\.json:1: has more text after the array",
    '[{"a": 1},\n\n{"b": }]': r"a\.json:3: is not valid JSON",
    "[" * 100_000: "nested too deeply",
    "[tru": "is not valid JSON",
}


@pytest.mark.parametrize("text", ARRAYS, ids=range(len(ARRAYS)))
def test_a_broken_array_names_the_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(UserError, match=ARRAYS[text]):
        list(read_rows(str(path)))


def test_a_fault_in_one_element_of_an_array_does_not_end_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(f'[{LINE},\n{{"messages": 1, "messages": 2}},\n5, {LINE}]')
    found = list(read_rows(str(path)))
    assert [each.number for each in found] == [1, 2, 3, 3]
    assert [each.error is None for each in found] == [True, False, True, True]
    with pytest.raises(UserError, match=r"a\.json:2: has the key 'messages' twice"):
        read(path)
    assert len(read(path, unusable="skip").table) == 2


def test_an_empty_array_and_an_empty_file(tmp_path: Path) -> None:
    for content in ("[]", "[ \n ]", "", "\n \n"):
        (tmp_path / "a.json").write_text(content)
        with pytest.raises(UserError, match="holds no dialogues"):
            read(tmp_path / "a.json")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(
        st.recursive(
            st.one_of(
                st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=9)
            ),
            lambda inner: st.one_of(
                st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=6,
    ),
    chunk=st.integers(1, 40),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
)
def test_arrays_are_read_alike_in_pieces_of_any_size(
    tmp_path: Path, values: list[Any], chunk: int, indent: int | None, ascii_only: bool
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(values, indent=indent, ensure_ascii=ascii_only), encoding="utf-8")
    before, json_arrays._CHUNK = json_arrays._CHUNK, chunk
    try:
        assert [each.value for each in read_rows(str(path))] == values
    finally:
        json_arrays._CHUNK = before


def test_a_value_without_an_end_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_arrays, "LONGEST_ROW", 10_000)
    monkeypatch.setattr(json_arrays, "_CHUNK", 1000)
    (tmp_path / "a.json").write_text('["' + "x" * 100_000)
    with pytest.raises(UserError, match="no value of at most 10 kB begins here"):
        list(read_rows(str(tmp_path / "a.json")))


def test_one_object_over_several_lines_and_other_encodings(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps(GOOD, indent=2))
    with pytest.raises(UserError, match=r"a\.json: is one JSON object over several lines"):
        read(tmp_path / "a.json")
    for encoding in ("utf-16", "utf-32", "utf-16-le"):
        (tmp_path / "b.jsonl").write_bytes(LINE.encode(encoding))
        with pytest.raises(UserError, match=r"b\.jsonl: is text in UTF-16 or UTF-32"):
            read(tmp_path / "b.jsonl")


def test_damaged_and_odd_files(tmp_path: Path) -> None:
    packed = gzip.compress(f"{LINE}\n".encode() * 1000)
    (tmp_path / "cut.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    (tmp_path / "bad.parquet").write_bytes(b"PAR1" + b"\0" * 100)
    (tmp_path / "pointer.jsonl").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (tmp_path / "binary.jsonl").write_bytes(bytes(range(256)) * 10)
    for name, why in (
        ("cut.jsonl.gz", "is damaged"),
        ("bad.parquet", "is damaged"),
        ("pointer.jsonl", "Git LFS pointer"),
        ("binary.jsonl", "UTF-16|not UTF-8"),
        ("absent.jsonl", "no such file"),
    ):
        with pytest.raises(UserError, match=why):
            read(tmp_path / name)
    import os

    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="is a pipe"):
        read(tmp_path / "pipe")


def test_folders_and_patterns(tmp_path: Path) -> None:
    for name in ("b/2.jsonl", "b/1.json", "a.parquet", "readme.md", "dataset_infos.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    found = [Path(file).name for file in files_of_source(DialogueSource(source=str(tmp_path)))]
    assert found == ["a.parquet", "1.json", "2.jsonl"]
    found = [Path(file).name for file in files_of_source(DialogueSource(source=f"{tmp_path}/*/*.jsonl"))]
    assert found == ["2.jsonl"]
    assert not is_there(DialogueSource(source=f"{tmp_path}/*.txt"))
    assert not is_there(DialogueSource(source=str(tmp_path / "absent")))
    assert is_there(DialogueSource(source="mined")) and is_there(DialogueSource(source="hub:a/b"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no file that ends in"):
        files_of_source(DialogueSource(source=str(tmp_path / "empty")))


def test_the_longest_row_is_longer_than_any_context() -> None:
    assert row.LONGEST_ROW >= 16 << 20
