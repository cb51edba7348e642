"""What lacks of a toolchain is named, with what to install."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from codecascade.sandbox.languages import table
from codecascade.sandbox.languages.table import toolchains, why_unusable
from codecascade.sandbox.languages.toolchains import typescript


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty ``PATH``."""
    table.toolchain.cache_clear()
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(typescript, "_LIBRARIES", ())
    yield tmp_path / "bin"
    table.toolchain.cache_clear()


def tool(path: Path, name: str, script: str) -> None:
    (path / name).write_text(f"#!/bin/sh\n{script}\n")
    (path / name).chmod(0o755)


def report(language: str) -> table.ToolchainReport:
    return next(report for report in toolchains() if report.language == language)


def package(path: Path, version: str, *, callable_: bool) -> None:
    """A ``typescript`` as npm installs it, with ``tsc`` in ``PATH``."""
    folder = path.parent / "node_modules" / "typescript"
    (folder / "bin").mkdir(parents=True)
    (folder / "lib").mkdir()
    (folder / "package.json").write_text(json.dumps({"version": version}))
    if callable_:
        (folder / "lib" / "typescript.js").write_text("")
    tool(folder / "bin", "tsc", "")
    os.symlink(folder / "bin" / "tsc", path / "tsc")
    tool(path, "node", "echo v20")


def test_typescript_7_is_distinguished_from_no_typescript(path: Path) -> None:
    assert why_unusable("ts") == (
        "TypeScript programs can't be run: the toolchain is missing; "
        "apt install nodejs npm && npm install -g typescript@5"
    )
    package(path, "7.0.2", callable_=False)
    told = why_unusable("ts") or ""
    assert "TypeScript 7.0.2 has no lib/typescript.js" in told and "typescript@5" in told
    assert report("typescript").version is None and "7.0.2" in report("typescript").lacks[0]


def test_typescript_5_is_used(path: Path) -> None:
    package(path, "5.9.3", callable_=True)
    assert why_unusable("ts") is None
    assert (report("typescript").version, report("typescript").lacks) == ("TypeScript 5.9.3, node v20", ())


def test_bc_is_named_where_bash_lacks_it(path: Path) -> None:
    tool(path, "bash", "echo bash 5")
    assert (report("bash").version, report("bash").lacks) == ("bash 5", ("bc (apt install bc)",))
    tool(path, "bc", "")
    assert report("bash").lacks == ()


@pytest.mark.parametrize(
    ("language", "name", "gist"),
    [("perl", "perl", "libtest-deep-perl"), ("lua", "lua", "lua-unit"), ("rust", "rustc", "apt install gcc")],
)
def test_a_part_that_lacks_is_named(path: Path, language: str, name: str, gist: str) -> None:
    assert report(language).lacks == ()
    tool(path, name, 'case "$*" in *Test::Deep*|*luaunit*) exit 1;; esac; echo 5')
    assert report(language).version is None and gist in report(language).lacks[0]
    assert gist in (why_unusable(language) or "")


@pytest.mark.skipif(shutil.which("perl") is None, reason="needs perl")
def test_perl_tells_its_module_s_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Test").mkdir()
    (tmp_path / "Test" / "Deep.pm").write_text("package Test::Deep; our $VERSION = '1.5'; 1;")
    monkeypatch.setenv("PERL5LIB", str(tmp_path))
    table.toolchain.cache_clear()
    try:
        assert (report("perl").version or "").endswith(", Test::Deep 1.5")
    finally:
        table.toolchain.cache_clear()
