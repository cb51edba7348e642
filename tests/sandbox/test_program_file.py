"""A program's file is read as its language reads it, or a sentence says why not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from codecascade.ground.errors import UserError
from codecascade.sandbox.program_file import read_program
from codecascade.sandbox.sandbox import Sandbox


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfprint('mark')\n",
        b"# -*- coding: latin-1 -*-\nprint('\xe9', len('\xe9'))\n",
        b"#!/usr/bin/python\n# vim: set fileencoding=cp1251 :\nprint(ascii('\xe9'))\n",
        b"# coding: utf-7\nprint('+AOk-')\n",
        b"\xef\xbb\xbf# coding: utf-8\nprint('\xc3\xa9')",
        b"print(1)\r\nif 1:\r\n    print('''a\r\nb'''.encode())\r\n",
        b"print('''a\rb'''.encode())\r",
        b"\n\n# coding: latin-1\nprint('\xc3\xa9')\n",
        b"",
    ],
    ids=["mark", "latin-1", "cp1251", "utf-7", "mark and cookie", "CRLF", "CR", "cookie too late", "empty"],
)
def test_as_python_itself(best: Sandbox, data: bytes, tmp_path: Path) -> None:
    (tmp_path / "[x].py").write_bytes(data)
    outcome = best.run(read_program(tmp_path / "[x].py", "python"))
    by_python = subprocess.run(
        [sys.executable, "-Xutf8", tmp_path / "[x].py"], capture_output=True, check=True
    )
    assert outcome.passed, outcome
    assert outcome.stdout.encode() == by_python.stdout


@pytest.mark.parametrize(
    ("data", "language", "gist"),
    [
        ("print(1)".encode("utf-16"), "python", "UTF-16"),
        (b"\xef\xbb\xbf# coding: latin-1\nprint(1)", "python", "encoding problem"),
        (b"# coding: nope\n", "python", "unknown encoding: nope"),
        (b"# coding: rot13\n", "python", "not a text encoding"),
        (b"print(1)\n\n\nprint('\xe9')", "python", "can't decode byte 0xe9"),
        (b"echo \xe9", "bash", "is not UTF-8 (byte 0xe9 at 5)"),
        (b"x" * (17 << 20), "python", "larger than a program may be"),
    ],
)
def test_what_is_not_read_is_said(data: bytes, language: str, gist: str, tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(data)
    with pytest.raises(UserError) as raised:
        read_program(tmp_path / "program", language)
    assert gist in str(raised.value) and "program" in str(raised.value)


def test_a_null_byte_is_the_program_s_fault(best: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_bytes(b"print(1)\0")
    outcome = best.run(read_program(tmp_path / "program.py", "python"))
    assert outcome.outcome == "failed" and "null bytes" in (outcome.exception or "")


def test_other_languages_texts_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "program.sh").write_bytes(b"\xef\xbb\xbfecho 1\r\n")
    assert read_program(tmp_path / "program.sh", "bash") == "\ufeffecho 1\r\n"
