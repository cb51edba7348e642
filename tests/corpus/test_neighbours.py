"""Which parts of other files come before a document."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import pytest
from stream_fakes import OTHER, SHOP, USES, RepositoryFiles, make_document, shop_files

from codecascade.corpus import neighbours
from codecascade.corpus.documents import Document
from codecascade.corpus.neighbours import Neighbours
from codecascade.corpus.similar_parts import PartIndex
from codecascade.evaluation.benchmarks.heldout.settings import HeldoutSettings
from codecascade.training.stream.settings import InfillingSettings


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


ENGINE = '"""An engine."""\n\n\nclass Engine:\n    def start(self, key):\n        return key\n'
CAR = "from engine import Engine\n\n\ndef drive(total, price):\n    return Engine().start(total)\n"


def repository(*files: tuple[str, str]) -> RepositoryFiles:
    return RepositoryFiles([make_document(text, name) for name, text in files])


def test_parts_of_imported_files_stand_nearest() -> None:
    table = repository(("engine", ENGINE), ("shop", SHOP), ("car", CAR))
    similar, imported = Neighbours([table]), Neighbours([table], "imported")
    document = make_document(CAR, "car")
    before = CAR[: CAR.index("(total")]
    assert [part.path for part in similar.of(document, f"{before} def price what return")][-1] == "shop.py"
    found = imported.of(document, f"{before} def price what return")
    assert [part.path for part in found] == ["shop.py", "engine.py"]
    assert pickle.loads(pickle.dumps(imported)).of(document, f"{before} def price what return") == found
    # What is imported and has no word in common with these lines is not shown.
    assert not imported.of(document, "from engine\n" + "\n" * 12 + "x")


def test_nothing_is_known_of_the_gap() -> None:
    table = repository(("engine", ENGINE), ("shop", SHOP), ("car", CAR))
    found = Neighbours([table], "imported")
    before = "# the price of a key\nfrom "
    imports = ("engine import Engine", "shop import price", "shop import *\nfrom engine import *")
    shown = [found.of(make_document(f"{before}{each}\nEngine(price)\n", "car"), before) for each in imports]
    assert len(shown[0]) == 2 and shown[0] == shown[1] == shown[2]
    whole = found.of(make_document(CAR, "car"), f"{before}engine import Engine")
    assert whole[-1].path == "engine.py" != shown[0][-1].path


def test_scripts_of_both_languages_import_each_other() -> None:
    area = make_document("export function area(side) { return side }\n", "area.ts")
    use = make_document("import { area } from './area';\nconsole.log(area(3));\n", "use.js")
    files = [
        area._replace(path="area.ts", language="typescript"),
        use._replace(path="use.js", language="javascript"),
    ]
    table = RepositoryFiles(files)
    assert [part.path for part in Neighbours([table], "imported").of(files[1], use.text[:40])] == ["area.ts"]
    assert not Neighbours([table]).of(files[1], use.text[:40])


def test_of_two_files_of_one_path_the_documents_own_imports_count() -> None:
    held_out = repository(("car", CAR), ("engine", ENGINE))
    trained = repository(("car", "from shop import price\n"), ("shop", SHOP))
    found = Neighbours([held_out, trained], "imported").of(held_out[0], CAR[:60] + "price return")
    assert [part.path for part in found] == ["shop.py", "engine.py"]


@pytest.mark.parametrize("kind", [InfillingSettings, HeldoutSettings])
def test_a_choice_of_files_that_are_not_shown_is_refused(kind: Any) -> None:
    with pytest.raises(ValueError, match="neighbour_share is 0"):
        kind(neighbours="imported")
    assert kind(neighbours="imported", neighbour_share=0.3).neighbours == "imported"
