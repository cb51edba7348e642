"""One file never ends a build; a full disk and a mistake in this program do."""

from __future__ import annotations

import errno
import json
import lzma
import os
import struct
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from source_trees import Build, MakeTree, module

from codecascade.corpus.reading import read_step as reading_step
from codecascade.corpus.reading.containers import FileReader
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.faults import file_errors
from codecascade.corpus.sources.archives.members import label_path
from codecascade.ground.errors import RunFailed, UserError

GOOD = {f"m{number}.py": module(f"m{number}") for number in range(3)}


def cell(**changed: Any) -> str:
    book = {"cells": [{"cell_type": "code", "source": module("nb"), **changed}], "metadata": {}}
    return json.dumps(book)


# a byte that is no UTF-8 lets the declaration speak
CODECS = ["undefined", "idna", "punycode", "rot13", "zip", "base64", "bz2", "hex", "uu", "quopri", "mbcs", "oem",
          "unicode_escape", "raw_unicode_escape", "utf-7", "utf-16", "utf-32-le", "no-such-thing", "cp65001",
          "../../x", "utf_8_sig", "charmap"]  # fmt: skip
HOSTILE = {
    **{
        f"{name.strip('./')}.py": f"# coding: {name}\n# \xe9 \\ud800 +2AA-\n".encode("latin-1")
        for name in CODECS
    },
    "surrogate.ipynb": cell(source='x = "\\ud800"\n' * 9).replace("\\\\ud800", "\\ud800"),
    "language.ipynb": json.dumps(
        {
            "cells": [{"cell_type": "code", "source": "x = 1\n" * 9}],
            "metadata": {"language_info": {"name": "\ud800" * 300}},
        }
    ),
    "nested.ipynb": "[" * 300_000,
    "number.ipynb": '{"cells": ' + "9" * 6000 + "}",
    "list.ipynb": cell(source=["a", 5]),
    "null.ipynb": cell(source=None),
    "cells.ipynb": '{"cells": {"a": 1}}',
    "nul.py": b"x = 1\0",
    "nested.py": "(" * 100_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_whatever_a_file_holds_the_others_are_built(tree: MakeTree, build: Build, name: str) -> None:
    root = tree({**GOOD, "bad/" + name: HOSTILE[name]})
    manifest, corpus = build(root, check_syntax=True)
    paths = {d.path for split in ("train", "heldout") for d in corpus.documents(split)}  # type: ignore[arg-type]
    assert set(GOOD) <= {os.path.basename(path) for path in paths}
    bad = sum(path.endswith(name) for path in paths)
    left_out = sum(count for reasons in manifest.dropped.values() for count in reasons.values())
    assert bad + left_out >= 1, "it is a document or stands in the account"


def test_rows_with_half_a_character(build: Build, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": module(f"r{n}"), "path": f"p{n}.py"} for n in range(3)]
    rows.append({"text": "x = '\ud800'", "path": "\ud800.py", "repository": "\ud800", "language": "\udfff"})
    rows.append({"text": module("odd"), "path": "//a//../b.py\0", "repository": "r\ud800"})
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    manifest, corpus = build(tmp_path / "t.jsonl")
    assert manifest.total().documents == 4 and manifest.dropped["read"] == {"not UTF-8": 1}
    paths = {d.path for split in ("train", "heldout") for d in corpus.documents(split)}  # type: ignore[arg-type]
    assert "a/b.py" in paths


@pytest.mark.parametrize("value", ["/", "//", "..", "a/../../..", "\\\\", "./.", None, "\0", 5, {"a": "/"}])
def test_a_rows_path_is_a_plain_one(value: Any) -> None:
    assert not set(label_path(value).split("/")) & {".", ".."} and not label_path(value).startswith("/")
    assert "\0" not in label_path(value) and len(label_path("x" * 10**6)) <= 4096


@pytest.mark.parametrize(
    "error",
    [OSError(errno.EIO, "Input/output error"), PermissionError(errno.EACCES, "no"), FileNotFoundError(2, "gone"),
     UnicodeError("x"), UnicodeDecodeError("utf-8", b"x", 0, 1, "x"), LookupError("codec"), RecursionError(),
     MemoryError(), OverflowError(), EOFError(), struct.error("x"), lzma.LZMAError("x"), tarfile.TarError("x"),
     pa.ArrowInvalid("x"), pa.ArrowNotImplementedError("x"), pa.ArrowMemoryError("x"), NotImplementedError(),
     ValueError("x")],
    ids=lambda error: type(error).__name__,
)  # fmt: skip
def test_what_goes_wrong_in_one_file_is_counted(
    tree: MakeTree, build: Build, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    read = FileReader.read

    def failing(self: FileReader, locator: str, limit: int) -> bytes:
        if locator.endswith("bad.py"):
            raise error
        return read(self, locator, limit)

    monkeypatch.setattr(FileReader, "read", failing)
    manifest, _ = build(tree({**GOOD, "bad.py": module("bad")}))
    assert manifest.total().documents == 3
    assert manifest.dropped["read"] == {f"unreadable ({type(error).__name__})": 1}


@pytest.mark.parametrize(
    ("error", "kind", "sentence"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            UserError,
            "the disk is full; make room and run again",
        ),
        (OSError(errno.EDQUOT, "quota"), UserError, "the disk is full"),
        (OSError(errno.EMFILE, "Too many open files"), UserError, "ulimit -n"),
        (TypeError("a mistake"), RunFailed, r"bad\.py: .*mistake in codecascade \(TypeError: a mistake\)"),
        (AttributeError("a mistake"), RunFailed, "mistake in codecascade"),
        (AssertionError(), RunFailed, "mistake in codecascade"),
        (RunFailed("the network is gone"), RunFailed, "^the network is gone$"),
        (UserError("a key is wrong"), UserError, "^a key is wrong$"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_is_no_files_fault_ends_the_build(
    tree: MakeTree,
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[Exception],
    sentence: str,
) -> None:
    def failing(*arguments: Any) -> str:
        raise error

    monkeypatch.setattr(reading_step, "language_by_content", failing)
    with pytest.raises(kind, match=sentence):
        build(tree({"bad.py": module("bad")}))


def test_reasons_of_readers_stay() -> None:
    with pytest.raises(UnreadableError, match=r"^binary$"), file_errors("x"):
        raise UnreadableError("binary")
