"""What single texts are: their language, notebooks, filters, secrets."""

from __future__ import annotations

import base64
import json
import re

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.corpus.documents import batch_of, document
from codecascade.corpus.reading.content import language_of_text
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.licenses import license_of_header, license_of_text, normalised
from codecascade.corpus.reading.notebooks import read_notebook
from codecascade.corpus.settings import CorpusSettings, LanguageFilter
from codecascade.corpus.steps.filters import reasons, shape_of
from codecascade.corpus.steps.redaction.redaction import redact, redacted

CODE = "def add(first, second):\n    return first + second\n"


@pytest.mark.parametrize(
    ("extension", "guess", "text", "language"),
    [
        (".h", "c", "#ifndef A_H\nint f(void);\n#endif", "c"),
        (".h", "c", "#pragma once\nnamespace a {\nclass B;\n}", "c++"),
        (".h", "c", "#import <Foundation/Foundation.h>\n@interface A : NSObject\n@end", "objective-c"),
        (".m", "objective-c", "function y = f(x)\n  y = x * 2;\nend", "matlab"),
        (".m", "objective-c", '#import "A.h"\n@implementation A\n@end', "objective-c"),
        (".pl", "perl", "use strict;\nmy $x = 1;", "perl"),
        (".pl", "perl", "parent(tom, bob).\ngrand(X, Y) :- parent(X, Z).", "prolog"),
        (".v", "verilog", "module a(input b);\nendmodule", "verilog"),
        (".v", "verilog", "Theorem t : forall n, n = n.\nProof. trivial. Qed.", "coq"),
        (".ts", "typescript", "<?xml version='1.0'?><!DOCTYPE TS>", ""),
        (".ts", "typescript", "export const a: number = 1", "typescript"),
        (".mod", "modula-2", "module example.com/a\n\ngo 1.20\n", ""),
        ("", "", "#!/usr/bin/env -S node --flag\n1", "javascript"),
        ("", "", "#!/opt/thing\n", ""),
        ("", "", "# -*- mode: python -*-\nx = 1", "python"),
        ("", "", "// vim: set ft=cpp :\nint x;", "c++"),
        ("", "", "plain words", ""),
        (".py", "python", "# vim: ft=ruby", "python"),
    ],
)
def test_language_of_text(extension: str, guess: str, text: str, language: str) -> None:
    assert language_of_text(text, extension, guess) == language


# ---- notebooks --------------------------------------------------------------------------------------------


def test_a_notebook_is_a_script_and_prose() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "Some words."]},
        {"cell_type": "code", "source": "%matplotlib inline\nx = 1", "outputs": [{"data": "A" * 5000}]},
        {"cell_type": "code", "source": ["!ls\n", "y = x"]},
        {"cell_type": "raw", "source": "left out"},
        {"cell_type": "code", "source": "   "},
    ]
    book = read_notebook(
        json.dumps({"cells": cells, "metadata": {"kernelspec": {"language": "python"}}, "nbformat": 4})
    )
    assert book.language == "python" and book.prose == "# Title\nSome words.\n"
    assert book.script == (
        "# %% [markdown]\n# # Title\n# Some words.\n\n# %%\n# %matplotlib inline\nx = 1\n\n# %%\n# !ls\ny = x\n"
    )
    compile(book.script, "script", "exec")


def test_old_and_foreign_notebooks() -> None:
    old = {"worksheets": [{"cells": [{"cell_type": "code", "input": ["1 + 1"]}]}], "nbformat": 3}
    assert read_notebook(json.dumps(old)).script == "# %%\n1 + 1\n"
    r = {
        "cells": [{"cell_type": "markdown", "source": "only words"}],
        "metadata": {"language_info": {"name": "R"}},
    }
    assert read_notebook(json.dumps(r)) == ("", "only words\n", "r")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"cells": 5}', '{"cells": [null]}', "[" * 100_000])
def test_what_is_no_notebook(text: str) -> None:
    with pytest.raises(UnreadableError, match="not a notebook"):
        read_notebook(text)


# ---- filters ----------------------------------------------------------------------------------------------


def reason(
    text: str, language: str = "python", path: str = "a.py", kind: str = "code", **settings: object
) -> str | None:
    batch = batch_of([document(text, path=path, repository="r", language=language, license="MIT", kind=kind)])
    (found,) = reasons(batch, CorpusSettings.model_validate(settings))
    return found


TEXTS = st.lists(st.text(st.sampled_from("ab1 \n_é漢😀("), max_size=40), min_size=1, max_size=8)


@given(TEXTS)
def test_shapes_are_those_of_pythons_strings(texts: list[str]) -> None:
    shape = shape_of(pa.array(texts, pa.string()))
    for row, text in enumerate(texts):
        lines = text.split("\n")
        assert shape.longest_line[row] == max(map(len, lines))
        assert shape.mean_line[row] == pytest.approx(len(text) / len(lines) if len(text) else 0)
        beyond = sum(ord(c) > 127 for c in text)
        assert shape.alphabetic[row] * max(len(text), 1) == pytest.approx(
            sum(c.isascii() and c.isalpha() for c in text) + beyond
        )
        assert shape.alphanumeric[row] * max(len(text), 1) == pytest.approx(
            sum(c.isascii() and c.isalnum() for c in text) + beyond
        )


@given(TEXTS, st.integers(0, 7), st.integers(0, 8))
def test_shapes_of_a_slice(texts: list[str], start: int, length: int) -> None:
    whole, part = (
        shape_of(pa.array(texts, pa.string())),
        shape_of(pa.array(texts, pa.string()).slice(start, length)),
    )
    for one, other in zip(whole, part, strict=True):
        assert one[start : start + length].tolist() == other.tolist()


def test_thresholds_and_where_they_differ() -> None:
    long_line = "x = " + "word " * 300 + "\n"
    assert reason(long_line) == "a line is too long"
    assert reason(long_line, longest_line=10_000, mean_line=10_000) is None
    assert reason(long_line, filters={"python": {"longest_line": 10_000, "mean_line": 10_000}}) is None
    assert reason(long_line, language="tex") is None, "a paragraph is a line"
    assert reason(("word " * 30 + "\n") * 9) == "lines are too long on average"
    assert reason("[]{}();\n" * 20) == "too few letters and digits"
    assert reason("0 1 2 3 4 5 6 7 8 9\n" * 20) is None
    assert reason("0 1 2 3 4 5 6 7 8 9\n" * 20, language="matlab") == "too few letters"
    assert (
        reason("0 1 2 3\n" * 20, language="matlab", filters={"matlab": {"mean_line": 9}}) == "too few letters"
    )
    assert reason(CODE, filters={"python": {"keep": False}}) == "language is left out"
    assert reason(" \n\t\n") == "empty"


def test_generated_files_are_told_by_their_first_lines() -> None:
    for line in (
        "# Generated by the protocol buffer compiler.  DO NOT EDIT!",
        "// Code generated by mockgen. DO NOT EDIT.",
        "/* @generated */",
        "// <auto-generated>",
        "# This file was automatically generated by SWIG",
        "# this file is generated from setup.cfg",
    ):
        assert reason(f"{line}\n{CODE}") == "generated (by its first lines)", line
        assert reason(f"{CODE * 3}{line}\n") is None, "only at the beginning"
        assert reason(f"{line}\n{CODE}", drop_generated=False) is None
    for line in (
        "# Values are generated by the caller, see below",
        '"""Reads what generators yield."""',
        "# generates keys",
    ):
        assert reason(f"{line}\n{CODE}") is None, line


def test_minified_and_copied_files_are_told_by_their_names() -> None:
    for path in ("a/jquery-3.1.js", "dist/app.min.js", "x/api_pb2.py", "Form.Designer.cs"):
        assert reason(CODE, path=path) == "generated, minified or copied (by its name)"
    assert reason(CODE, path="admin.js") is None


def test_encoded_data() -> None:
    data = base64.b64encode(bytes(range(256)) * 8).decode()
    wrapped = "\n".join(data[at : at + 76] for at in range(0, len(data), 76))
    assert reason(f"data = '''\n{wrapped}\n'''\n" + CODE) == "encoded data"
    numbers = "x = bytes([" + ",\n".join(f"0x{n % 256:02x}" for n in range(50)) + "])\n"
    assert reason(numbers) == "encoded data" and reason(numbers + CODE * 10) is None
    assert reason(numbers, encoded_share=1.0) is None
    assert reason(f"# {'=' * 900}\n" + CODE * 20) is None, "a ruler"


def test_syntax_is_checked_on_demand() -> None:
    broken = "def f(:\n    return 1 +\n"
    assert reason(broken) is None
    assert reason(broken, check_syntax=True) == "not valid Python"
    assert reason("print 'old'\n" * 5, check_syntax=True) == "not valid Python"
    assert reason(CODE, check_syntax=True) is None and reason(broken, language="c", check_syntax=True) is None


def test_pages_and_lists() -> None:
    page = "<html><script>" + "var x = 1;\n" * 50 + "</script><body><p>"
    assert reason(page + "no</p></body></html>", language="html") == "little visible text"
    words = "A page with something to read on it, line by line.\n" * 12
    assert reason(f"<html><body><p>{words}</p></body></html>", language="html") is None
    assert reason("one\ntwo\n", language="text", kind="natural_language_code") == "text without a paragraph"


@pytest.mark.parametrize("bad", [{"longest_line": 0}, {"encoded_share": 2}, {"unknown": 1}])
def test_wrong_thresholds_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        (LanguageFilter if "unknown" in bad else CorpusSettings).model_validate(bad)


# ---- licences ---------------------------------------------------------------------------------------------


def test_licences_of_texts_and_headers() -> None:
    assert normalised("apache-2.0 or mit") == "Apache-2.0 OR MIT"
    assert normalised("GPL v3+") == "GPL-3.0-only" and normalised("whatever you like") == "unknown"
    assert license_of_text("The Unlicense: released into the public domain") == "Unlicense"
    notice = "under the terms of the GNU {}General\n * Public License as published by"
    assert license_of_header("/* This is free software, " + notice.format("") + "*/") == "GPL-3.0-only"
    assert (
        license_of_header("/* This is free software, " + notice.format("Lesser ") + "*/") == "LGPL-3.0-only"
    )
    assert license_of_header("/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */") == (
        "GPL-2.0-only WITH Linux-syscall-note OR MIT"
    )
    assert license_of_header("# works beside the GNU General Public License") is None
    assert license_of_header(CODE) is None


# ---- secrets ----------------------------------------------------------------------------------------------

A1 = "aB3dE5fG7hI9"  # put together here, so that no scanner takes this file for a leak
SECRETS = {
    "AK" + "IA" + "Q7R2T9W4Z6X8V1B3": "<KEY>",
    "gh" + "p_" + (A1 * 3): "<KEY>",
    "xox" + "b-902817364512-" + "q7r2t9w4z6": "<KEY>",
    "sk" + "_live_" + A1 * 2: "<KEY>",
    "ey" + "JhbGciOiJIUzI1NiJ9." + A1 * 2 + "." + A1 * 3: "<KEY>",
    f'password = "{A1}xK2mN4pQ6rS8"': 'password = "<KEY>"',
    f"'secret_key': '{A1}xK2mN4pQ6rS8tU0'": "'secret_key': '<KEY>'",
    "postgres://admin:h7Gt5Rw2@db.corp.io/x": "postgres://admin:<PASSWORD>@db.corp.io/x",
    "jane.doe+news@mail.corp.io": "<EMAIL>",
    "93.184.216.34": "<IP_ADDRESS>",
    "http://93.184.216.34/x": "http://<IP_ADDRESS>/x",
    '"a\\n' + "gh" + "p_" + (A1 * 3) + '"': '"a\\n<KEY>"',
    "-----BEGIN RSA PRIVATE"
    + " KEY-----\n"
    + ("MIIEow" * 10 + "\n") * 5
    + "-----END RSA PRIVATE"
    + " KEY-----": "<KEY>",
}


@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_are_replaced(secret: str) -> None:
    before, after = "# a comment\nvalue = ", "\n" + CODE
    assert redact(before + secret + after)[0] == before + SECRETS[secret] + after


@pytest.mark.parametrize("secret", SECRETS)
def test_every_rule_has_a_hint(secret: str) -> None:
    """A batch is searched by hints first; none of them may hide a secret."""
    texts = [CODE, f"x = {secret}\n", CODE, f"é漢 {secret}"]
    batch = batch_of(
        [document(t, path="a", repository="r", language="python", license="MIT", kind="code") for t in texts]
    )
    outcome = redacted(batch)
    assert outcome.kept["text"].to_pylist() == [redact(text)[0] for text in texts]
    assert sum(outcome.replaced.values()) == 2 and outcome.dropped.num_rows == 0


@pytest.mark.parametrize(
    "text",
    [
        "@decorator\ndef f(self): ...",
        "git@github.com:owner/name.git",
        "someone@example.com",
        "version = '12.34.56.78'",
        "1.2.3.4 and 192.168.0.1 and 127.0.0.1 and 8.8.8.8 and 10.20.30.40",
        "999.1.2.3 or 1.2.3.4.5",
        "password = 'correct horse battery'",
        "token = os.environ['SECRET_TOKEN_OF_THE_SERVICE']",
        "api_key = 'your-api-key-goes-here-please'",
        "sha256 = '" + "0123456789abcdef" * 4 + "'",
        "url = 'http://user:<password>@host/'",
        "AKIAXXXXXXXXXXXXXXXX",
        f"if '-----BEGIN RSA PRIVATE{' KEY-----'}' in data:\n    raise ValueError(data)\n" + CODE * 20,
        f"'-----BEGIN PRIVATE{' KEY-----'}\\n...\\n-----END PRIVATE{' KEY-----'}'",
        "def test_highs_written_model_contains_variable_names(self): ...",
        "ghs_written_model_contains_all_the_variables_names()",
        "AUTHOR='supercop-20221122/crypto_sign/ed25519/Ref'",
        "data = 'BWohBCABIANLIQVBASEBIAUNAtAK" + "IAQ7R2T9W4Z6X8V1B3BCABIANLIQ'",
        "data = '+AK" + "IAQ7R2T9W4Z6X8V1B3BCABIANLIQ'",
        "Chrome/81.0.4044.111 YaBrowser/24.1.2.87 GSA/11.13.5.21.arm",
        "http://user:password@acme.com/ and mongodb://me:YOUR_PASSWORD@host:27017/ and ftp://a:****@b.com/",
    ],
)
def test_what_only_looks_like_a_secret_stays(text: str) -> None:
    assert redact(text) == (text, {})


def test_a_private_key_ends_where_its_lines_do() -> None:
    line = "MIIEow" * 10
    begin, end = "-----BEGIN EC PRIVATE" + " KEY-----", "-----END EC PRIVATE" + " KEY-----"
    for before, between, after in (('"""', "\n", '"""'), ('"', '\\n"\n    "', '"'), ("# ", "\n# ", "")):
        key = between.join([begin, line, line[:-6] + "==", end])
        assert redact(f"{before}{key}{after}\n{CODE}")[0] == f"{before}<KEY>{after}\n{CODE}"
    cut = f'"""{begin}\n{line}\n{line}"""\n{CODE}'
    assert redact(cut)[0] == f'"""<KEY>"""\n{CODE}'
    locked = f"{begin}\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,A0\n\n{line}\n{end}"
    assert redact(locked)[0] == "<KEY>"


@given(st.text(), st.sampled_from(sorted(SECRETS)), st.text())
def test_redaction_leaves_the_rest_alone(before: str, secret: str, after: str) -> None:
    text = f"{before}\n {secret}\n{after}"
    clean, counts = redact(text)
    assert sum(counts.values()) >= 1 and redact(clean)[0] == clean
    pieces = re.split("<EMAIL>|<KEY>|<PASSWORD>|<IP_ADDRESS>", clean)
    assert all(piece in text for piece in pieces)
