"""Parts of other files before a document that is infilled."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from stream_fakes import make_document, tiny_tokenizer

from codecascade.corpus.documents import Document
from codecascade.tokens.repository import SNIPPET
from codecascade.training.stream import neighbours
from codecascade.training.stream.examples import TrainingExample
from codecascade.training.stream.neighbours import Neighbours
from codecascade.training.stream.settings import InfillingSettings
from codecascade.training.stream.stream_sources import ExampleSequence, StreamSource

USES = "total = price(apples) + price(pears)\nprint(total)\n"
SHOP = "def price(what):\n    return 2\n"
OTHER = "colour = 'red'\nshape = 'round'\n"


class Files(list[Document]):
    """Documents in memory that know their repositories; counts what is read."""

    read = 0

    @property
    def fingerprint(self) -> str:
        return repr(list(self))

    def __getitem__(self, index: int) -> Document:  # type: ignore[override]
        self.read += 1
        return super().__getitem__(index)

    def values(self, column: str) -> list[str]:
        return [getattr(document, column) for document in self]


def files(*of_others: Document) -> Files:
    shop = [make_document(text, name) for name, text in (("uses", USES), ("shop", SHOP), ("other", OTHER))]
    return Files([*shop, *of_others])


def infilled(table: Files, context: int = 200, number: int = 0, **settings: object) -> TrainingExample:
    wanted = InfillingSettings.model_validate({"rate": 1.0, "spm_share": 0.0, **settings})
    sequence = ExampleSequence(
        StreamSource("code", 1, table), tiny_tokenizer(), context=context, seed=0, infilling=wanted
    )
    for position in range(len(table)):
        example = sequence.example(number * len(table) + position)
        assert example is not None
        if example.id == "uses":
            return example
    raise AssertionError


def test_the_most_similar_part_of_the_repository_comes_last() -> None:
    elsewhere = make_document(USES.replace("total", "sum"), "far")._replace(repository="elsewhere")
    script = make_document(SHOP, "script")._replace(language="javascript")
    neighbours = Neighbours(files(elsewhere, script))
    document = make_document(USES, "uses")
    assert [part.path for part in neighbours.of(document, "total = price(")] == ["shop.py"]
    both = neighbours.of(document, "price what return colour")
    assert [part.path for part in both] == ["other.py", "shop.py"] and both[-1].text == SHOP
    assert not neighbours.of(document._replace(repository="unknown"), "price")


def test_they_stand_before_the_document_which_is_as_it_was() -> None:
    tokenizer = tiny_tokenizer()
    for epoch in range(12):
        alone, shown = infilled(files(), number=epoch), infilled(files(), number=epoch, neighbour_share=0.5)
        assert shown.infilled and shown.indivisible and len(shown) <= 200
        more, begin = len(shown) - len(alone), len(tokenizer.bos())
        assert [*shown.ids[:begin], *shown.ids[begin + more :]] == alone.ids.tolist()
        assert shown.weights[begin + more :].tolist() == alone.weights[begin:].tolist()
        assert more <= 100 and (shown.weights[begin : begin + more] == 1).all()
        if more:
            text = tokenizer.decode_continuation(shown.ids[begin : begin + more].tolist())
            assert text in (SNIPPET + SHOP, SNIPPET + OTHER, SNIPPET + OTHER + SNIPPET + SHOP)
    light = infilled(files(), neighbour_share=0.5, rest_weight=0.5)
    assert set(light.weights.tolist()) == {0.5, 1.0}


def test_some_of_them_are_shown_and_only_what_fits() -> None:
    def shown(context: int, share: float) -> list[int]:
        table, found = files(), []
        for epoch in range(30):
            alone = infilled(table, context, epoch)
            found.append(len(infilled(table, context, epoch, neighbour_share=share)) - len(alone))
        return found

    alone = len(infilled(files(), 200))
    assert max(shown(200, 0.5)) > 20 and max(shown(200, 0.5)) <= 100
    assert max(shown(200, 0.05)) == 0, "no part is that short"
    assert max(shown(alone + 4, 0.5)) == 0, "the document comes first"


def test_windows_leave_room_for_them() -> None:
    long = "".join(f"value_{number} = price({number})\n" for number in range(100))
    table = Files([make_document(long, "uses"), make_document(SHOP, "shop")])
    lengths, shown = [], 0
    for epoch in range(20):
        example = infilled(table, 160, epoch, neighbour_share=0.3, too_long="window")
        assert example.infilled and len(example) <= 160
        lengths.append(len(example))
        ids = [token for token in example.ids.tolist() if token not in tiny_tokenizer().special_ids]
        shown += SNIPPET + SHOP in tiny_tokenizer().decode(ids)
    assert min(lengths) > 80 and shown > 15, "a gap in the first line has nothing before it"


def test_repositories_are_read_once_while_there_is_room(monkeypatch: pytest.MonkeyPatch) -> None:
    second = [
        make_document(text, name)._replace(repository="second") for name, text in (("a", SHOP), ("b", OTHER))
    ]
    table = files(*second)
    found = Neighbours(table)
    assert table.read == 0, "nothing before it is asked"

    def ask(document: Document) -> Sequence[object]:
        return found.of(document, "price what return")

    for _ in range(3):
        assert ask(make_document(USES, "uses")) and ask(second[1])
    assert table.read == 5
    monkeypatch.setattr(neighbours, "_KEPT", 3)
    ask(second[1])
    assert ask(make_document(USES, "uses")) and table.read == 8, "it made room for the other"
