"""Sources: what becomes a candidate, of which repository, and what is only counted."""

from __future__ import annotations

import gzip
import json
import os
import sys
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from source_trees import MakeTree

from codecascade.corpus import folders, rows
from codecascade.corpus.candidates import Candidate
from codecascade.corpus.dropped import Dropped, by_step
from codecascade.corpus.encoding import UnreadableError
from codecascade.corpus.licenses import is_permissive
from codecascade.corpus.reading import Contents
from codecascade.corpus.sources import find
from codecascade.errors import UserError


def found(source: Path | str, dropped: Dropped | None = None) -> dict[str, Candidate]:
    return {f"{c.repository}:{c.path}": c for c in find(str(source), dropped or Dropped())}


def text(candidate: Candidate, limit: int = 1_000_000) -> str:
    return Contents().text(candidate, limit)


def reasons(dropped: Dropped) -> dict[str, int]:
    return by_step(dropped.table()).get("find", {})


def test_repository_is_the_nearest_marked_folder_else_the_first_level(tree: MakeTree) -> None:
    root = tree(
        {
            "one/.git/config": "[core]",
            "one/src/a.py": "a = 1",
            "one/vendored/package.json": "{}",
            "one/vendored/lib/b.js": "b",
            "two/deep/c.rs": "fn c() {}",
            "two/deep/pyproject.toml": "[project]",
            "two/d.py": "d = 1",
            "loose.py": "e = 1",
        }
    )
    assert set(found(root)) == {
        "code/one:src/a.py",
        "code/one/vendored:lib/b.js",
        "code/two/deep:c.rs",
        "code/two/deep:pyproject.toml",
        "code/two:d.py",
        "code:loose.py",
    }


def test_a_source_that_is_a_repository_is_one(tree: MakeTree) -> None:
    root = tree({".git/HEAD": "ref", "a/x.py": "x = 1", "b/y.py": "y = 2"})
    assert set(found(root)) == {"code:a/x.py", "code:b/y.py"}


def test_a_worktree_has_a_file_for_git(tree: MakeTree) -> None:
    assert set(found(tree({"a/b/.git": "gitdir: elsewhere", "a/b/x.py": "x"}))) == {"code/a/b:x.py"}


def test_what_is_not_the_users_source_is_left_out(tree: MakeTree, tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("secret = 1")
    root = tree(
        {
            "a/x.py": "x = 1",
            "a/.env": "KEY=1",
            "a/.hidden/y.py": "y",
            "a/node_modules/m/z.js": "z",
            "a/__pycache__/x.pyc": b"\0",
            "a/environment/pyvenv.cfg": "home",
            "a/environment/lib/w.py": "w",
            "a/data.csv": "1,2",
            "a/LICENSE.txt": "Permission is hereby granted, free of charge",
        }
    )
    (root / "a/link.py").symlink_to(tmp_path / "outside.py")
    (root / "a/up").symlink_to(tmp_path)
    (root / "a/loop").symlink_to(root / "a")
    os.mkfifo(root / "a/pipe.py")
    os.mkfifo(root / "a/pipe")
    dropped = Dropped()
    candidates = found(root, dropped)
    assert set(candidates) == {"code/a:x.py"}
    assert candidates["code/a:x.py"].license == "MIT"
    assert reasons(dropped) == {"link": 3, "not a file": 2, "not a known language": 2}


def test_licence_of_a_repository_and_of_the_users_own(tree: MakeTree) -> None:
    root = tree(
        {
            "gpl/COPYING": "GNU GENERAL PUBLIC LICENSE Version 3",
            "gpl/src/a.py": "a",
            "own/b.py": "b",
            "odd/LICENSE": "All rights reserved.",
            "odd/c.py": "c",
        }
    )
    licenses = {name: candidate.license for name, candidate in found(root).items()}
    assert licenses == {
        "code/gpl:src/a.py": "GPL-3.0-only",
        "code/own:b.py": "own",
        "code/odd:c.py": "unknown",
    }
    assert [is_permissive(name) for name in ("own", "GPL-3.0-only", "unknown")] == [True, False, False]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("größe = 1".encode(), "größe = 1"),
        ("\ufeffx = 1".encode(), "x = 1"),
        ("# -*- coding: latin-1 -*-\nx = 'ß'".encode("latin-1"), "# -*- coding: latin-1 -*-\nx = 'ß'"),
        ("x = 'ß' # größer".encode("latin-1"), "x = 'ß' # größer"),
        ("# Привет, это комментарий\nx = 1".encode("cp1251"), "# Привет, это комментарий\nx = 1"),
        ("# これはコメントです。\nx = 1".encode("shift_jis"), "# これはコメントです。\nx = 1"),
        ("x = 'é'".encode("utf-16"), "x = 'é'"),
        (b"# coding: no-such-codec\n" + bytes(range(128, 256)) * 4, "unknown encoding"),
        (b"x = 1\0", "binary"),
        (bytes(range(1, 32)) * 10, "binary"),
        (b"\xff\xfex\0\0\0", "binary"),
    ],
)
def test_encodings(tree: MakeTree, content: bytes, expected: str) -> None:
    candidate = found(tree({"a/x.py": content}))["code/a:x.py"]
    try:
        assert text(candidate) == expected
    except UnreadableError as error:
        assert str(error) == expected


def test_a_file_that_vanishes_is_unreadable(tree: MakeTree) -> None:
    root = tree({"a/x.py": "x = 1"})
    candidate = found(root)["code/a:x.py"]
    (root / "a/x.py").unlink()
    with pytest.raises(UnreadableError, match="unreadable"):
        text(candidate)
    (root / "b.txt").write_text("x")
    (root / "a/x.py").symlink_to(root / "b.txt")
    with pytest.raises(UnreadableError, match="unreadable"):
        text(candidate)
    (root / "a/x.py").unlink()
    (root / "a/x.py").write_text("x = 1 # and it grew")
    with pytest.raises(UnreadableError, match="larger"):
        text(candidate, limit=5)


def test_scripts_are_known_by_their_first_line(tree: MakeTree) -> None:
    candidates = found(
        tree({"a/run": "#!/usr/bin/env python3\nx = 1", "a/notes": "hello", "a/Makefile": "all:"})
    )
    assert {name: c.language for name, c in candidates.items()} == {
        "code/a:run": "python",
        "code/a:Makefile": "makefile",
    }


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
    first, rust, prose, talk, once, surrogate = find(str(path), dropped)
    assert (first.repository, first.path, first.language, first.kind) == (
        "me/a",
        "abs/a.py",
        "python",
        "code",
    )
    assert (rust.language, rust.license, rust.path) == ("rust", "MIT AND GPL-2.0-only", "rows.jsonl:2")
    assert (prose.kind, prose.repository, prose.license) == ("natural_language", "rows.jsonl:3", "unknown")
    assert talk.kind == "natural_language_code" and once.path == "once.py"
    assert [text(c) for c in (first, rust, prose, talk)] == [
        "a = 1",
        "fn main() {}",
        "Once upon a time.",
        "talk",
    ]
    with pytest.raises(UnreadableError, match="not UTF-8"):
        text(surrogate)
    assert reasons(dropped) == {"row without text": 4, "duplicated id": 1}


def test_parquet_in_several_row_groups(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    texts = [f"value = {n} # ß" for n in range(10)] + [None]
    table = pa.table({"content": texts, "max_stars_repo_name": ["r"] * 11, "lang": ["Python"] * 11})
    pq.write_table(table, path, row_group_size=3)
    dropped = Dropped()
    candidates = list(find(str(path), dropped))
    contents = Contents()
    assert [contents.text(c, 1000) for c in candidates] == texts[:10]
    assert [contents.text(candidates[n], 1000) for n in (9, 0, 5)] == [texts[9], texts[0], texts[5]]
    assert all(c.repository == "r" and c.language == "python" for c in candidates)
    assert candidates[0].size == len(texts[0].encode())  # type: ignore[union-attr]
    assert reasons(dropped) == {"row without text": 1}


def test_bad_sources_are_refused_with_a_reason(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 no")
    pq.write_table(pa.table({"title": ["x"]}), tmp_path / "titles.parquet")
    pq.write_table(pa.table({"text": [1]}), tmp_path / "numbers.parquet")
    for name, reason in {
        "nowhere": "no such source",
        "a.txt": "neither a folder nor an archive",
        "cut.parquet": "not a Parquet file",
        "titles.parquet": "no column of text",
        "numbers.parquet": "no column of text",
    }.items():
        with pytest.raises(UserError, match=reason):
            list(find(str(tmp_path / name), Dropped()))


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
        candidates = list(find("memory://data", Dropped()))
        assert [text(c) for c in candidates] == ["one = 1", "two = 2"] and candidates[1].license == "MIT"
        assert [text(c) for c in find("memory://data/*.jsonl", Dropped())] == ["one = 1"]
        with pytest.raises(UserError, match=r"no .jsonl or .parquet file there"):
            list(find("memory://data/*.csv", Dropped()))
    finally:
        memory.rm("/data", recursive=True)
    with pytest.raises(UserError, match="can't be reached"):
        list(find("nosuch://place", Dropped()))


def test_compressed_json_lines(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "rows.jsonl.gz", "wt") as file:
        file.writelines(json.dumps({"text": f"x = {n}", "path": "x.py"}) + "\n" for n in range(20))
    candidates = list(find(str(tmp_path / "rows.jsonl.gz"), Dropped()))
    contents = Contents()
    assert [contents.text(candidates[n], 100) for n in (3, 19, 0)] == ["x = 3", "x = 19", "x = 0"]


def test_an_absurdly_long_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "LONGEST_LINE", 1000)
    lines = [json.dumps({"text": "y" * 5000}), json.dumps({"text": "short", "path": "s.py"})]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    dropped = Dropped()
    (short,) = find(str(tmp_path / "rows.jsonl"), dropped)
    assert text(short) == "short" and reasons(dropped) == {"row longer than 200 MB": 1}
    with pytest.raises(UnreadableError, match="larger"):
        text(short, limit=3)


def test_a_parquet_file_damaged_behind_its_footer(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": [os.urandom(500).hex() for _ in range(200)]}), path, row_group_size=50)
    candidates = list(find(str(path), Dropped()))
    data = bytearray(path.read_bytes())
    data[3000:60_000] = bytes(57_000)
    path.write_bytes(bytes(data))
    contents, bad = Contents(), 0
    for candidate in candidates:
        try:
            contents.text(candidate, 10_000)
        except UnreadableError:
            bad += 1
    assert 0 < bad < 200


def test_folders_without_end(tree: MakeTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folders, "DEEPEST", 5)
    dropped = Dropped()
    assert set(found(tree({"a/b/x.py": "x", "/".join("abcdefghi") + "/y.py": "y"}), dropped)) == {
        "code/a:b/x.py"
    }
    assert reasons(dropped) == {"folders too deep": 1}


def test_names_that_are_not_unicode(tree: MakeTree) -> None:
    root = tree({"a/x.py": "x"})
    with open(os.fsencode(root / "a") + b"/\xff.py", "wb") as file:
        file.write(b"y")
    dropped = Dropped()
    assert set(found(root, dropped)) == {"code/a:x.py"} and reasons(dropped) == {"name is not UTF-8": 1}


def test_the_standard_library_by_module() -> None:
    candidates = found("stdlib")
    assert candidates["stdlib/json:json/decoder.py"].license == "PSF-2.0"
    assert text(candidates["stdlib/argparse:argparse.py"]).startswith("# Author")
    assert not [name for name in candidates if name.startswith(("stdlib/test:", "stdlib/site-packages:"))]


def test_installed_packages_by_distribution() -> None:
    candidates = found("installed")
    module = candidates["installed/pydantic:pydantic/main.py"]
    assert module.license == "MIT" and module.language == "python"
    readmes = [
        c for name, c in candidates.items() if name.startswith("installed/pydantic:") and "METADATA" in name
    ]
    assert len(readmes) == 1 and readmes[0].kind == "natural_language_code"
    description = text(readmes[0])
    assert "Pydantic" in description and "Metadata-Version" not in description
    prefix = str(Path(sys.prefix).resolve())
    assert not any(prefix in name or c.path.startswith(("/", "..")) for name, c in candidates.items())
