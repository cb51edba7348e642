"""Which names a Python file uses of other files: through packages, aliases and modules, and never by mistake."""

from __future__ import annotations

import ast

import pytest

from codecascade.evaluation.benchmarks.repository import python_imports
from codecascade.evaluation.benchmarks.repository.python_imports import PythonRepository
from codecascade.evaluation.benchmarks.repository.uses import LONGEST_PART

CORE = '''"""Core."""

LIMIT = 3
FIRST, SECOND = 1, 2


class Engine:
    """Starts."""

    def start(self, key: str) -> int:
        """Start it."""
        return len(key)


def build(size: int) -> Engine:
    return Engine()
'''
FILES = {
    "src/shop/__init__.py": "from .core import Engine as Motor\nfrom .core import *\n",
    "src/shop/core.py": CORE,
    "src/shop/parts/__init__.py": "",
    "src/shop/parts/door.py": "def opened(wide):\n    return wide\n",
    "tests/helpers.py": "def made():\n    return 1\n",
}


def found(text: str, path: str = "src/shop/main.py", **files: str) -> list[tuple[str, str, str]]:
    """``(middle, name, file)`` of each use."""
    all_files = {**FILES, **files, path: text}
    uses = PythonRepository(all_files).uses(path).uses
    return [(text[use.start : use.end], use.definition.name, use.definition.path) for use in uses]


CORE_PY = "src/shop/core.py"
DOOR = "src/shop/parts/door.py"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("from shop.core import build\nx = build(3)\n", [("build(3)", "build", CORE_PY)]),
        ("from .core import build as make\nx = make(3)  \n", [("make(3)", "build", CORE_PY)]),
        # Through a package that passes the name on, renamed or with a star.
        ("from shop import Motor\nx = Motor()\n", [("Motor()", "Engine", CORE_PY)]),
        ("from shop import LIMIT\nx = 1 + LIMIT\n", [("LIMIT", "LIMIT", CORE_PY)]),
        # Of a module, the name behind the point.
        ("import shop.core\nx = shop.core.build(3)\n", [("build(3)", "build", CORE_PY)]),
        (
            "import shop.core as c\nx = c.build(c.LIMIT)\n",
            [("build(c.LIMIT)", "build", CORE_PY), ("LIMIT)", "LIMIT", CORE_PY)],
        ),
        ("from shop.parts import door\ndoor.opened(True)\n", [("opened(True)", "opened", DOOR)]),
        ("from .parts.door import opened\nif opened(1): pass\n", [("opened(1): pass", "opened", DOOR)]),
        # The first use alone, and behind the import.
        ("from .core import SECOND\nSECOND\nSECOND\n", [("SECOND", "SECOND", CORE_PY)]),
        (
            "from .core import build\nbuild('#fff', \"it's #1\")\n",
            [("build('#fff', \"it's #1\")", "build", CORE_PY)],
        ),
        ("from .core import build\n\ndef f(x):\n    é = 'é'; build(x)\n", [("build(x)", "build", CORE_PY)]),
    ],
)
def test_the_first_use_of_what_another_file_defines(text: str, wanted: list[tuple[str, str, str]]) -> None:
    assert found(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "import os\nos.getcwd()\n",
        "from json import loads\nloads('1')\n",
        "from shop.core import missing\nmissing()\n",
        "from shop.core import build\n",
        # The name may mean something else there.
        "from shop.core import build\ndef f(build):\n    return build(3)\n",
        "from shop.core import build\nbuild = 3\nprint(build)\n",
        # A comment can't be guessed.
        "from shop.core import build\nbuild(3)  # three\n",
        "from shop.core import build\nbuild('a')  # don't say 'b'\n",
        "from ....core import build\nbuild(3)\n",
        "def broken(:\n",
        "from .main import build\nbuild(3)\n",
    ],
)
def test_nothing_is_found_where_no_other_file_is_used(text: str) -> None:
    assert found(text) == []


def test_a_script_imports_from_its_own_folder() -> None:
    text = "from helpers import made\nmade()\n"
    assert found(text, "tests/test_it.py") == [("made()", "made", "tests/helpers.py")]


@pytest.mark.parametrize(
    ("files", "text", "path", "wanted"),
    [
        # In a package the module of the standard library is meant.
        ({"p/__init__.py": "", "p/types.py": "def f(): ...\n"}, "from types import f\nf()\n", "p/m.py", None),
        ({"p/types.py": "def f(): ...\n"}, "from types import f\nf()\n", "p/m.py", "p/types.py"),
        # A package comes before a module of its name.
        (
            {"p/__init__.py": "def f(): ...\n", "p.py": "def f(): ...\n"},
            "from p import f\nf()\n",
            "m.py",
            "p/__init__.py",
        ),
        # The folder's name is no module here.
        ({"p.py": "def f(): ...\n"}, "from . import f\nf()\n", "p/m.py", None),
    ],
)
def test_names_are_taken_from_the_file_that_python_would_import(
    files: dict[str, str], text: str, path: str, wanted: str | None
) -> None:
    uses = PythonRepository({**files, path: text}).uses(path).uses
    assert [use.definition.path for use in uses] == ([] if wanted is None else [wanted])


def test_packages_that_pass_a_name_around_in_a_circle_end() -> None:
    files = {"a.py": "from b import x\n", "b.py": "from a import x\n"}
    assert found("from a import x\nx()\n", "c.py", **files) == []


def test_chains_of_attributes_are_looked_at_as_far_as_imports_go(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of a chain's thousand attributes is a chain of its own: all of them together are half a million names."""
    looked_at = 0

    def counted(node: ast.expr, longest: int) -> str | None:
        nonlocal looked_at
        looked_at += longest
        return dotted(node, longest)

    dotted = python_imports._dotted
    monkeypatch.setattr(python_imports, "_dotted", counted)
    text = "import shop.core as c\nx = y" + ".z" * 1000 + "\nc.build(3)\n"
    assert [name for _, name, _ in found(text)] == ["build"]
    assert 1000 <= looked_at < 2000


def test_line_ends_of_other_systems() -> None:
    text = "from .core import build\r\nx = build(3)\r\ny = 1\r\n"
    assert found(text) == [("build(3)", "build", CORE_PY)]


def test_a_long_class_is_shown_by_its_signatures_and_long_functions_by_their_beginning() -> None:
    methods = "".join(
        f"\n    def method_{number}(\n        self, x: int\n    ) -> int:\n" + "        x += 1\n" * 9
        for number in range(5)
    )
    long = "def long():\n" + "    x = 1\n" * 90
    files = {"big.py": f"@final\nclass Big(Base):\n    size = 3\n{methods}    last = 4\n\n{long}"}
    text = "from big import Big, long\nBig()\nlong()\n"
    shown = {part.name: part.text for part in PythonRepository({**files, "c.py": text}).uses("c.py").imported}
    assert shown["Big"].startswith(
        "@final\nclass Big(Base):\n    size = 3\n    def method_0(\n        self, x: int\n"
    )
    assert "x += 1" not in shown["Big"] and "method_4" in shown["Big"] and shown["Big"].endswith("last = 4\n")
    assert shown["long"].count("\n") == LONGEST_PART and shown["long"].startswith("def long():\n    x = 1\n")


def test_all_imported_definitions_are_shown_used_or_not() -> None:
    files = PythonRepository(
        {**FILES, "m.py": "from shop import Motor, build\nimport shop.parts.door as d\nd.opened(1)\n"}
    )
    uses = files.uses("m.py")
    by_name = {("Engine", CORE_PY), ("build", CORE_PY)}
    assert {(part.name, part.path) for part in uses.definitions()} == by_name | {("opened", DOOR)}
    # Of a module's name only its use tells what it is.
    assert {(part.name, part.path) for part in uses.definitions(uses.uses[0])} == by_name
