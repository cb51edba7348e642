"""What is committed of the page: built files that belong to their source and fetch nothing from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from codecascade.server.playground.page import STATIC

SOURCE = STATIC.parent / "source"
PARTS = ["icon.svg", "index.html", "licences.txt", "playground.css", "playground.js", "theme.js"]


def hash_of(folder: Path) -> str:
    """As build.mjs makes it."""
    digest = hashlib.sha256()
    for name in sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()):
        digest.update(name.encode() + b"\0" + (folder / name).read_bytes() + b"\0")
    return digest.hexdigest()


def test_everything_was_built_from_the_source_that_is_here() -> None:
    assert sorted(path.name for path in STATIC.iterdir()) == PARTS
    wanted = hash_of(SOURCE)
    for name in PARTS:
        if name != "icon.svg":
            found = re.findall(r"sources: sha256 (\w+)", (STATIC / name).read_text(encoding="utf-8")[:2000])
            assert found == [wanted], f"{name} is older than the source: make playground"
    assert (STATIC / "icon.svg").read_bytes() == (SOURCE / "icon.svg").read_bytes()


def test_a_change_of_any_source_is_seen(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.ts").write_text("1")
    first = hash_of(tmp_path)
    (tmp_path / "src" / "a.ts").write_text("2")
    second = hash_of(tmp_path)
    (tmp_path / "src" / "a.ts").rename(tmp_path / "src" / "b.ts")
    assert len({first, second, hash_of(tmp_path)}) == 3


def test_the_lock_file_names_versions_and_hashes_but_no_host() -> None:
    lock = json.loads((SOURCE / "package-lock.json").read_text(encoding="utf-8"))
    packages = {name: about for name, about in lock["packages"].items() if name}
    assert packages
    for name, about in packages.items():
        assert "resolved" not in about, name
        assert about["version"] and about["integrity"].startswith("sha512-"), name


def test_the_licences_of_all_that_the_bundle_needs_are_there() -> None:
    text = (STATIC / "licences.txt").read_text(encoding="utf-8")
    about = json.loads((SOURCE / "package.json").read_text(encoding="utf-8"))
    for name, version in about["dependencies"].items():
        assert f"\n{name} {version} (" in text
    assert text.count("Permission is hereby granted") >= len(about["dependencies"])


@pytest.mark.parametrize("name", ["index.html", "playground.css"])
def test_nothing_is_fetched_from_elsewhere(name: str) -> None:
    text = (STATIC / name).read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["'](https?:)?//|url\(|@import""", text)


def test_no_source_makes_html_of_text() -> None:
    for path in (SOURCE / "src").glob("*.ts"):
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function", path.read_text()
        ), path
