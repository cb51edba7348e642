"""Which parts of other files come before a document."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import pytest
from stream_fakes import OTHER, SHOP, USES, RepositoryFiles, make_document, shop_files

from codecascade.corpus import neighbours
from codecascade.corpus.documents import Document
from codecascade.corpus.neighbours import Neighbours
from codecascade.corpus.similar_parts import PartIndex


def test_the_most_similar_part_of_the_repository_comes_last() -> None:
    elsewhere = make_document(USES.replace("total", "sum"), "far")._replace(repository="elsewhere")
    script = make_document(SHOP, "script")._replace(language="javascript")
    found = Neighbours([shop_files(elsewhere, script)])
    document = make_document(USES, "uses")
    assert [part.path for part in found.of(document, "total = price(")] == ["shop.py"]
    both = found.of(document, "price what return colour")
    assert [part.path for part in both] == ["other.py", "shop.py"] and both[-1].text == SHOP
    assert not found.of(document._replace(repository="unknown"), "price")


def test_repositories_are_read_once_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    second = [
        make_document(text, name)._replace(repository="second") for name, text in (("a", SHOP), ("b", OTHER))
    ]
    table = shop_files(*second)
    found = Neighbours([table])
    assert table.read == 0, "nothing before it is asked"

    def ask(document: Document) -> Sequence[object]:
        return found.of(document, "price what return")

    for _ in range(3):
        assert ask(make_document(USES, "uses")) and ask(second[1])
    assert table.read == 5
    monkeypatch.setattr(neighbours, "_KEPT", 3)
    ask(second[1])
    assert ask(make_document(USES, "uses")) and table.read == 8, "it made room for the other"


def test_what_has_no_parts_is_read_once_too() -> None:
    table = RepositoryFiles([make_document("x" * 600_000, name) for name in ("a", "b")])
    found = Neighbours([table])
    assert not any(found.of(make_document("x", "c"), "x") for _ in range(3)) and table.read == 2


def test_of_a_large_repository_some_parts_are_kept() -> None:
    files = {f"{name}.py": "".join(f"word_{name}_{line} = 1\n" for line in range(1000)) for name in "abcd"}
    index = PartIndex(files, 100)
    assert 75 <= len(index) <= 100 and len(PartIndex(files)) == 400
    assert len({part.path for part in index.similar(frozenset({"word_a_0"}), "b.py", 10)}) <= 3
    assert not len(PartIndex({"data.py": "x = '" + "a" * 5000 + "'\n"})), "lines of data"


def test_several_tables_and_copies_for_other_processes() -> None:
    here, there = (
        RepositoryFiles([make_document(USES, "uses")]),
        RepositoryFiles([make_document(SHOP, "shop")]),
    )
    found = Neighbours([here, there])
    for one in (found, pickle.loads(pickle.dumps(found))):
        assert [part.path for part in one.of(here[0], "price")] == ["shop.py"]
