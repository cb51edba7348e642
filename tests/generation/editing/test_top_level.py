"""At the top level no line is indented less than the cursor's, so a completion ends for other reasons."""

from __future__ import annotations

import pytest
from editor_cases import at_cursor, complete

from codecascade.generation.editing.imports import Imports, imported

RUNS = [
    ("python", "import ¦\n\n\ndef f():\n    g()\n", "os", "import sys"),
    ("python", "import ¦", "os", "import sys"),
    ("python", "HOME = ¦\n\nprint(HOME)\n", "os.getcwd()", "ROOT = HOME"),
    ("javascript", "const fs = ¦\n\nfunction f() {}\n", 'require("fs");', 'const path = require("path");'),
    ("typescript", "import ¦\n\nexport function f() {}\n", '{ a } from "b";', 'import { c } from "d";'),
    ("go", "import ¦\n\nfunc main() {\n}\n", '"fmt"', 'import "os"'),
    ("rust", "use ¦\n\nfn main() {\n}\n", "std::fs;", "use std::io;"),
    ("java", "import ¦\n\nclass A {\n}\n", "java.util.List;", "import java.util.Map;"),
    ("c", "#include ¦\n\nint main(void) {\n}\n", "<stdio.h>", "#include <stdlib.h>"),
    ("c", "static int n = ¦\n\nint main(void) {\n}\n", "1;", "static int m = 2;"),
    ("csharp", "using ¦\n\nclass A\n{\n}\n", "System;", "using System.IO;"),
    ("ruby", "require ¦\n\ndef f\nend\n", '"json"', 'require "yaml"'),
    ("bash", "DIR=¦\n\nmake\n", "build", "OUT=dist"),
    ("sql", "SELECT a\nFROM ¦\n\nSELECT 1;\n", "b\nWHERE c;", "SELECT d;"),
    ("toml", "name = ¦\n\n[tool]\n", '"a"', 'version = "1"'),
    ("yaml", "name: ¦\n", "web", "image: nginx"),
    ("dockerfile", "FROM ¦\n", "python:3.12", "RUN make"),
    (None, "import ¦\n\n\ndef f():\n    g()\n", "os", "import sys"),
]


@pytest.mark.parametrize(("language", "text", "middle", "more"), RUNS)
def test_a_statement_that_the_cursor_is_in_ends_with_its_line(
    language: str | None, text: str, middle: str, more: str
) -> None:
    stops = at_cursor(text, language=language)
    for typed in (f"{middle}\n{more}\n{more} and\n", f"{middle}\n\n\n{more}\n"):
        assert complete(stops, typed)[0] == complete(stops, typed, sizes=(1,))[0] == middle


@pytest.mark.parametrize(
    ("language", "text", "typed"),
    [
        ("python", "if ¦\n", "x:\n    f()\nelse:\n    g()"),
        ("python", "@¦\n", "cache\ndef f():\n    pass"),
        ("python", "x = ¦\n", "(1 +\n2)"),
        ("python", "x = [1, ¦]\n", "2,\n3"),
        ("python", "x = ¦\n", '"""a\nb\n"""'),
        ("python", "x = a ¦\n", "+ \\\nb"),
        ("python", "# ¦\n", "Doubles it.\ndef f(x):\n    return 2 * x"),
        ("javascript", "get(a)¦\n", "\n.then(f)\n.catch(g);"),
        ("c", "static ¦\n", "int\nmain(void)\n{\n    return 0;\n}"),
        ("c", "#if ¦\n", "A\nint n = 1;\n#endif"),
        ("c", "#define A ¦\n", "f( \\\n1)"),
        ("cpp", "template ¦\n", "<typename T>\nT f(T x) {\n    return x;\n}"),
        ("csharp", "class ¦\n", "A\n{\n    int n;\n}"),
        ("rust", "fn f<T>(x: T)¦\n", " -> T\nwhere T: Clone\n{\n    x\n}"),
        ("rust", "#[¦\n", "test]\nfn f() {\n}"),
        ("sql", "SELECT ¦\n", "a\nFROM b\nWHERE c;"),
        ("bash", "for f in ¦\n", "*; do\n    g\ndone"),
        ("yaml", "items:¦\n", "\n- a\n- b"),
        ("makefile", "all: ¦\n", "main\n\tcc main.c"),
        ("markdown", "Some ¦\n", "words.\nMore words."),
        ("python", "import a¦\n", "\nimport b\nimport c"),
    ],
)
def test_one_that_goes_on_does_not(language: str, text: str, typed: str) -> None:
    stops = at_cursor(text, language=language)
    assert complete(stops, typed)[0] == complete(stops, typed, sizes=(1,))[0] == typed.rstrip("\n")


def test_a_run_of_lines_that_begin_alike_has_a_bound() -> None:
    typed = "".join(f'print("{number}")\n' for number in range(9))
    kept, stopped_by = complete(at_cursor("import a\n¦", language="python"), typed)
    assert kept.count("\n") == 4 and stopped_by == "block"
    # within a block its end bounds it
    inner = typed.replace("\n", "\n    ")
    assert complete(at_cursor("def f():\n    ¦", language="python"), inner)[0].rstrip().count("\n") == 8
    different = "".join(f"x{number} = {number}\n" for number in range(9))
    assert complete(at_cursor("¦", language="python"), different)[0].count("\n") >= 8


def test_imports_that_the_file_does_not_use_end_the_completion() -> None:
    text = "import json\n¦\n\n\ndef load(path):\n    return json.load(open(os.path.join(path)))\n"
    typed = "import os\nimport sys\nimport re\n"
    assert complete(at_cursor(text, language="python"), typed) == ("import os", "block")
    # what the first line imports is taken as it is, and so is all where there is no file yet
    assert (
        complete(at_cursor(text, language="python"), "import re\nimport os\n")[0] == "import re\nimport os\n"
    )
    assert complete(at_cursor("import json\n¦", language="python"), typed)[0].rstrip() == typed.rstrip()


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("import os.path as p, sys", {"os", "p", "sys"}),
        ("from a.b import c as d, e  # f", {"c", "d", "e"}),
        ("from a import *", set()),
        ("import { a, b as c } from 'd';", {"a", "b", "c"}),
        ("import A, { b } from 'd'", {"a", "b"}),
        ("import * as a from 'b'", {"a"}),
        ("import 'a.css';", set()),
        ('import "net/http"', set()),
        ("const { a, b } = require('c');", {"a", "b"}),
        ("use std::collections::{HashMap, HashSet};", {"std", "collections", "hashmap", "hashset"}),
        ("import java.util.List;", {"java", "list"}),
        ("require 'json'", {"json"}),
        ("from __future__ import annotations", set()),
        ("import " + " " * 100_000 + "x", set()),
        ("import  a   from  'b'", {"a"}),
        ("imported = 1", set()),
        ("x = importlib", set()),
        ("import", set()),
        ("from", set()),
    ],
)
def test_what_a_line_imports(line: str, names: set[str]) -> None:
    assert imported(line) == names


def test_names_of_other_imports_are_no_use() -> None:
    imports = Imports("import os, re\n", "\n\nprint(os.name)\n")
    assert imports.are_unused("import re") and not imports.are_unused("import os")
    assert not Imports("import os\n", "\n").are_unused("import re")


@pytest.mark.parametrize(
    ("text", "typed", "left"),
    [
        ("require ¦\n", "require 'json'\n", "'json'"),
        ("import ¦\n", "import os\n", "os"),
        ("import ¦\n", "importlib\n", "importlib"),
        ("    return ¦\n", "return x", "x"),
        ("    return ¦\n", "retu", "retu"),
        ("    x = ¦\n", "x = 1", "x = 1"),
        ("long ¦\n", "long x", "long x"),
        ("    f x\n    ¦\n", "    g x\n    h x", "g x\n    h x"),
        ("    f x\n    ¦\n", "  g x", "  g x"),
        ("    f x\n\n    ¦\n", "    g x", "g x"),
        # there the model may know better where the line belongs
        ("    if x then\n    ¦\n", "    g x", "    g x"),
        ("    f x\n  ¦\n", "  g x", "  g x"),
        ("f x\n    ¦\n", "    g x", "    g x"),
    ],
)
def test_what_stands_before_the_cursor_and_is_typed_again_is_left_out(
    text: str, typed: str, left: str
) -> None:
    stops = at_cursor(text, language="ruby")
    assert complete(stops, typed)[0] == complete(stops, typed, sizes=(1,))[0] == left
