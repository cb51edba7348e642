"""Sources: what becomes a candidate, of which repository, and what is only counted."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import pytest
from source_trees import MakeTree

from codecascade.corpus.output.dropped import Dropped, by_step
from codecascade.corpus.reading.containers import CandidateContents
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.licenses import is_permissive
from codecascade.corpus.sources import folders
from codecascade.corpus.sources.candidates import Candidate
from codecascade.corpus.sources.find import find_candidates
from codecascade.ground.errors import UserError


def found(source: Path | str, dropped: Dropped | None = None) -> dict[str, Candidate]:
    return {f"{c.repository}:{c.path}": c for c in find_candidates(str(source), dropped or Dropped())}


def text(candidate: Candidate, limit: int = 1_000_000) -> str:
    return CandidateContents().text(candidate, limit)


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


def test_what_may_not_be_read_is_counted() -> None:
    # pytest's folders are shut to everybody else.
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        root.chmod(0o755)
        for path in ("a/open.py", "a/shut.py", "shut/c.py"):
            (root / path).parent.mkdir(exist_ok=True)
            (root / path).write_text("x = 1")
        (root / "a/shut.py").chmod(0)
        (root / "shut").chmod(0)
        dropped = Dropped()
        before = os.geteuid()
        # To root nothing is shut.
        os.seteuid(before or 65534)
        try:
            candidates = found(root, dropped)
            with pytest.raises(UnreadableError, match="unreadable"):
                text(candidates[f"{root.name}/a:shut.py"])
        finally:
            os.seteuid(before)
            (root / "shut").chmod(0o700)
        assert set(candidates) == {f"{root.name}/a:open.py", f"{root.name}/a:shut.py"}
        assert reasons(dropped) == {"unreadable folder": 1}


def test_scripts_are_known_by_their_first_line(tree: MakeTree) -> None:
    candidates = found(
        tree({"a/run": "#!/usr/bin/env python3\nx = 1", "a/notes": "hello", "a/Makefile": "all:"})
    )
    assert {name: c.language for name, c in candidates.items()} == {
        "code/a:run": "python",
        "code/a:Makefile": "makefile",
    }


def test_what_is_no_source_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    for name, reason in {"nowhere": "no such source", "a.txt": "neither a folder nor an archive"}.items():
        with pytest.raises(UserError, match=reason):
            list(find_candidates(str(tmp_path / name), Dropped()))


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


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet", "code.zip", "code.tar.gz"])
@pytest.mark.parametrize("kind", ["pipe", "device"])
def test_pipes_and_devices_are_refused_before_anything_waits_at_them(
    tmp_path: Path, name: str, kind: str
) -> None:
    if kind == "pipe":
        os.mkfifo(tmp_path / name)
    else:
        (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(UserError, match="is a pipe or a device"):
        list(find_candidates(str(tmp_path / name), Dropped()))


def test_a_pipe_in_a_folder_of_tables_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    with pytest.raises(UserError, match=r"there is no \.jsonl"):
        list(find_candidates(f"file://{tmp_path}", Dropped()))
    (tmp_path / "rows.jsonl").write_text('{"text": "a = 1"}')
    assert len(list(find_candidates(f"file://{tmp_path}", Dropped()))) == 1
