"""Which files of its repository a text imports: found line by line, in time in proportion to its length."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from work import grows_linearly

from codecascade.corpus.imports import RepositoryPaths

PYTHON = RepositoryPaths(
    [
        "setup.py",
        "src/shop/__init__.py",
        "src/shop/core.py",
        "src/shop/prices/__init__.py",
        "src/shop/prices/table.py",
        "src/shop/types.py",
        "tools/run.py",
        "tools/helpers.py",
    ]
)
SCRIPTS = RepositoryPaths(["src/app.ts", "src/view.tsx", "src/lib/index.js", "src/lib/area.ts", "old.cjs"])


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        (
            "src/shop/core.py",
            "from .prices import table\n",
            ["src/shop/prices/__init__.py", "src/shop/prices/table.py"],
        ),
        (
            "src/shop/core.py",
            "from . import types, absent as here\n",
            ["src/shop/__init__.py", "src/shop/types.py"],
        ),
        (
            "src/shop/prices/table.py",
            "from ..core import (  # all\n  one,\n  two,\n)\n",
            ["src/shop/core.py"],
        ),
        ("src/shop/prices/table.py", "from ....core import one\n", []),
        ("tools/run.py", "import shop.core as core, helpers\n", ["src/shop/core.py", "tools/helpers.py"]),
        ("tools/run.py", "    import shop.prices\n", ["src/shop/prices/__init__.py"]),
        ("tools/run.py", "from shop.core import *\n", ["src/shop/core.py"]),
        ("src/shop/core.py", "import types\n", []),
        ("src/shop/core.py", "from .core import one\nfrom os import path\n# from .types import x\n", []),
        # Where a gap begins, and what is no import.
        ("src/shop/core.py", "def f(:\n from .types import (one,\n", ["src/shop/types.py"]),
        ("src/shop/core.py", "from .types import ", ["src/shop/types.py"]),
        ("src/shop/core.py", "from .types imp", []),
        (
            "src/shop/core.py",
            "from a..types import x\nimport .types\nfrom . import\n",
            ["src/shop/__init__.py"],
        ),
    ],
)
def test_python(path: str, text: str, found: list[str]) -> None:
    assert sorted(PYTHON.imported(text, path, "python")) == found


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        (
            "src/app.ts",
            "import { View } from './view';\nimport './lib'\n",
            ["src/lib/index.js", "src/view.tsx"],
        ),
        (
            "src/lib/area.ts",
            "const app = require( \"../app.js\" )\nexport * from '../../old.cjs'\n",
            ["old.cjs", "src/app.ts"],
        ),
        (
            "src/app.ts",
            "import React from 'react';\nconst a = 'from ./view'\nimport x from '../../../gone'\n",
            [],
        ),
        (
            "src/app.ts",
            "const lazy = await import('./lib/area')\nimport self from './app'\n",
            ["src/lib/area.ts"],
        ),
    ],
)
def test_scripts(path: str, text: str, found: list[str]) -> None:
    for language in ("typescript", "javascript"):
        assert sorted(SCRIPTS.imported(text, path, language)) == found


def test_an_index_of_the_folder_or_the_one_above() -> None:
    paths = RepositoryPaths(["index.js", "lib/index.ts", "lib/a.ts"])
    for source, found in (
        (".", "lib/index.ts"),
        ("..", "index.js"),
        ("./", "lib/index.ts"),
        ("../", "index.js"),
    ):
        assert paths.imported(f"import x from '{source}'", "lib/a.ts", "typescript") == {found}


def test_look_ups_have_a_bound() -> None:
    paths = RepositoryPaths([f"p{n}/tests/__init__.py" for n in range(300)] + ["last.py", "first.py"])
    names = "".join(f"import first, m{n}\nfrom tests import n{n}\n" for n in range(400))
    assert paths.imported(f"{names}import last\n", "a.py", "python") == {"first.py", "p0/tests/__init__.py"}
    assert paths.imported("import first\n" * 2000 + "import last\n", "a.py", "python") == {
        "first.py",
        "last.py",
    }


def test_other_languages_are_not_read() -> None:
    assert not PYTHON.imported("from .types import x\nimport './view'\n", "src/shop/core.py", "ruby")


@given(
    st.lists(
        st.sampled_from(["shop", "core", "prices", "table", "helpers", "setup", "types"]),
        min_size=1,
        max_size=3,
    )
)
def test_what_parses_is_read_as_the_syntax_tree_says(parts: list[str]) -> None:
    text = f"if x:\n    import {'.'.join(parts)} as other\n"
    [name] = [each.names[0].name for each in ast.walk(ast.parse(text)) if isinstance(each, ast.Import)]
    expected = PYTHON.python_module("tools/run.py", name.split("."), 0)
    assert PYTHON.imported(text, "tools/run.py", "python") == ({expected} if expected else set())


@pytest.mark.parametrize(
    "piece",
    [
        "from ",
        "from .",
        ".",
        " ",
        "import ",
        "import a,",
        "from a import (",
        "from . import (a\n",
        "import('./",
        "(",
        "'",
    ],
)
def test_no_text_takes_quadratic_time(piece: str) -> None:
    for language, paths, path in (("python", PYTHON, "tools/run.py"), ("typescript", SCRIPTS, "src/app.ts")):
        assert grows_linearly(
            lambda text: paths.imported(text, path, language),  # noqa: B023
            lambda size: (piece * size)[:size],
            size=100_000,
        )
