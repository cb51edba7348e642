"""The language of a file, by its name and first line."""

from __future__ import annotations

from codecascade.corpus.reading.languages import language_by_name, language_by_shebang


def test_languages_by_name_and_first_line() -> None:
    names = {
        "a.PY": "python",
        "x.hpp": "c++",
        "CMakeLists.txt": "cmake",
        "README": "text",
        "docs/a.rst": "restructuredtext",
        "thesis.cls": "tex",
        "lib/db.inc": "assembly",
        "rules.mk": "makefile",
    }
    assert {name: language_by_name(name) for name in names} == names
    for name in ("requirements.txt", "LICENSE.md", "COPYING.txt", "data.json", "x.pyi", "noname"):
        assert language_by_name(name) is None
    assert language_by_shebang("#!/usr/bin/env -S node --flag") == "javascript"
    assert language_by_shebang("#!/opt/thing") is None
    assert language_by_shebang("no") is None
