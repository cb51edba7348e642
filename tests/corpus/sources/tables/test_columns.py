"""The columns of Parquet files that hold text, of every Arrow type, and those that don't."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from found_candidates import reasons, text

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.containers import CandidateContents
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.sources.find import find_candidates
from codecascade.ground.errors import UserError

TEXTS = ["a = 1 # ß", None, "", "b = 2", None, "a = 1 # ß"]


OTHERS = ["c", "d = 3", "e", None, None, "f"]


READ = ["a = 1 # ß", "d = 3", "", "b = 2", "a = 1 # ß"]


STRINGS = [pa.string(), pa.large_string(), pa.string_view()]


BYTES = [pa.binary(), pa.large_binary(), pa.binary_view()]


CATEGORIES = [pa.dictionary(pa.int8(), type_) for type_ in (pa.string(), pa.large_string(), pa.binary())]


@pytest.mark.parametrize("type_", [*STRINGS, *BYTES, *CATEGORIES], ids=str)
@pytest.mark.parametrize("group", [2, 1000])
def test_text_of_every_arrow_type(tmp_path: Path, type_: pa.DataType, group: int) -> None:
    def column(values: list[str | None]) -> pa.Array:
        plain = type_.value_type if pa.types.is_dictionary(type_) else type_
        binary = pa.types.is_binary(plain) or pa.types.is_large_binary(plain) or plain == pa.binary_view()
        array = pa.array(values, pa.string()).cast(pa.binary()) if binary else pa.array(values, pa.string())
        return array.dictionary_encode().cast(type_) if pa.types.is_dictionary(type_) else array.cast(type_)

    path = tmp_path / "rows.parquet"
    table = pa.table({"text": column(TEXTS), "content": column(OTHERS), "language": column(["Python"] * 6)})
    pq.write_table(table, path, row_group_size=group)
    dropped = Dropped()
    candidates = list(find_candidates(str(path), dropped))
    contents = CandidateContents()
    assert [contents.text(c, 1000) for c in candidates] == READ
    assert [contents.text(candidates[n], 1000) for n in (4, 0, 3)] == [READ[n] for n in (4, 0, 3)]
    assert [c.size for c in candidates] == [len(text.encode()) for text in READ]
    assert {c.language for c in candidates} == {"python"}
    assert reasons(dropped) == {"row without text": 1}


def test_a_long_category_in_many_rows_is_not_copied(tmp_path: Path) -> None:
    long = "x" * 10_000_000
    table = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), [long])})
    pq.write_table(table, tmp_path / "rows.parquet")
    before = pa.total_allocated_bytes()
    candidates = list(find_candidates(str(tmp_path / "rows.parquet"), Dropped()))
    assert {c.size for c in candidates} == {len(long)}
    assert pa.total_allocated_bytes() - before < 100_000_000
    with pytest.raises(UnreadableError, match="larger"):
        text(candidates[500])


def test_the_bytes_of_a_column_are_read_as_a_files(tmp_path: Path) -> None:
    values = ["café".encode("utf-16"), "\ufeffnaïve".encode(), b"bin\0ary"]
    pq.write_table(pa.table({"text": values}), tmp_path / "rows.parquet")
    latin, marked, binary = find_candidates(str(tmp_path / "rows.parquet"), Dropped())
    assert (text(latin), text(marked)) == ("café", "naïve")
    with pytest.raises(UnreadableError, match="binary"):
        text(binary)


def test_a_column_of_text_that_is_none_is_named_with_its_type(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": [["a"]], "other": ["x"]}), tmp_path / "lists.parquet")
    with pytest.raises(UserError, match=r"text is of type list<"):
        list(find_candidates(str(tmp_path / "lists.parquet"), Dropped()))
    pq.write_table(pa.table({"title": ["x"]}), tmp_path / "titles.parquet")
    with pytest.raises(UserError, match=r"its columns: title"):
        list(find_candidates(str(tmp_path / "titles.parquet"), Dropped()))


def test_columns_that_can_hold_no_label_cost_no_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    offsets = pa.array([0, 6, 10], pa.int32()).buffers()[1]
    not_utf_8 = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"caf\xe9.pb.py")])
    dates = pa.array([2**31 - 1, -(2**31)], pa.date32())
    pq.write_table(
        pa.table({"text": ["a = 1", "b = 1"], "path": not_utf_8, "repository": dates, "revision": [1, 2]}),
        path,
    )
    dropped = Dropped()
    found = [(c.path, c.repository, c.revision, text(c)) for c in find_candidates(str(path), dropped)]
    assert found == [
        ("caf\ufffd.p", "rows.parquet:1", "1", "a = 1"),
        ("b.py", "rows.parquet:2", "2", "b = 1"),
    ]
    assert reasons(dropped) == {}


def test_two_columns_of_one_name_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], names=["text", "text"]), path)
    with pytest.raises(UserError, match="has 2 columns called text"):
        list(find_candidates(str(path), Dropped()))


def test_json_lines_and_parquet_go_by_the_same_rule(tmp_path: Path) -> None:
    lines = [{"text": t, "content": c} for t, c in zip(TEXTS, OTHERS, strict=True)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    pq.write_table(pa.Table.from_pylist(lines), tmp_path / "rows.parquet")
    for name in ("rows.jsonl", "rows.parquet"):
        assert [text(c) for c in find_candidates(str(tmp_path / name), Dropped())] == READ
    (tmp_path / "numbers.jsonl").write_text('{"text": 5, "content": "c"}')
    pq.write_table(pa.table({"text": [5], "content": ["c"]}), tmp_path / "numbers.parquet")
    for name in ("numbers.jsonl", "numbers.parquet"):
        assert [text(c) for c in find_candidates(str(tmp_path / name), Dropped())] == ["c"]


def test_labels_that_are_lists_or_objects_say_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    labels = [
        {"language": ["Rust"]},
        {"language": {"name": "Rust"}},
        {"language": ["Rust", "C"]},
        {"path": [], "repo": 7},
    ]
    path.write_text("\n".join(json.dumps({"text": f"a = {n}", **label}) for n, label in enumerate(labels)))
    found = list(find_candidates(str(path), Dropped()))
    assert [candidate.language for candidate in found] == ["rust", "text", "text", "text"]
    assert (found[3].path, found[3].repository) == ("rows.jsonl:4", "7")


@pytest.mark.parametrize(
    ("row", "language", "kind"),
    [
        ({"language": "en"}, "text", "natural_language"),
        ({"language": "pt-BR"}, "text", "natural_language"),
        ({"language": "eng_Latn"}, "text", "natural_language"),
        ({"language": "en", "path": "a.py"}, "python", "code"),
        ({"language": "Python 3"}, "python", "code"),
        ({"language": "C-Sharp"}, "c#", "code"),
        ({"lang": "cpp"}, "c++", "code"),
        ({"language": "Brainfuck"}, "brainfuck", "code"),
        ({"language": "Markdown"}, "markdown", "natural_language_code"),
    ],
)
def test_a_language_is_one_of_programs_or_one_that_people_speak(
    tmp_path: Path, row: dict[str, str], language: str, kind: str
) -> None:
    (tmp_path / "rows.jsonl").write_text(json.dumps({"text": "Some text.", **row}))
    (candidate,) = find_candidates(str(tmp_path / "rows.jsonl"), Dropped())
    assert (candidate.language, candidate.kind) == (language, kind)
