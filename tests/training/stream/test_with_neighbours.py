"""Parts of other files before a document that is infilled."""

from __future__ import annotations

from stream_fakes import OTHER, SHOP, RepositoryFiles, make_document, make_stream, shop_files, tiny_tokenizer

from codecascade.tokens.repository import SNIPPET
from codecascade.training.stream.examples import TrainingExample
from codecascade.training.stream.settings import InfillingSettings
from codecascade.training.stream.stream_sources import ExampleSequence, StreamSource


def infilled(
    table: RepositoryFiles, context: int = 200, number: int = 0, **settings: object
) -> TrainingExample:
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


def test_they_stand_before_the_document_which_is_as_it_was() -> None:
    tokenizer = tiny_tokenizer()
    for epoch in range(12):
        alone, shown = (
            infilled(shop_files(), number=epoch),
            infilled(shop_files(), number=epoch, neighbour_share=0.5),
        )
        assert shown.infilled and shown.indivisible and len(shown) <= 200
        more, begin = len(shown) - len(alone), len(tokenizer.bos())
        assert [*shown.ids[:begin], *shown.ids[begin + more :]] == alone.ids.tolist()
        assert shown.weights[begin + more :].tolist() == alone.weights[begin:].tolist()
        assert more <= 100 and (shown.weights[begin : begin + more] == 1).all()
        if more:
            text = tokenizer.decode_continuation(shown.ids[begin : begin + more].tolist())
            assert text in (SNIPPET + SHOP, SNIPPET + OTHER, SNIPPET + OTHER + SNIPPET + SHOP)
    light = infilled(shop_files(), neighbour_share=0.5, rest_weight=0.5)
    assert set(light.weights.tolist()) == {0.5, 1.0}


def test_some_of_them_are_shown_and_only_what_fits() -> None:
    def shown(context: int, share: float) -> list[int]:
        table, found = shop_files(), []
        for epoch in range(30):
            alone = infilled(table, context, epoch)
            found.append(len(infilled(table, context, epoch, neighbour_share=share)) - len(alone))
        return found

    alone = len(infilled(shop_files(), 200))
    assert max(shown(200, 0.5)) > 20 and max(shown(200, 0.5)) <= 100
    assert max(shown(200, 0.05)) == 0, "no part is that short"
    assert max(shown(alone + 4, 0.5)) == 0, "the document comes first"


def test_windows_leave_room_for_them() -> None:
    long = "".join(f"value_{number} = price({number})\n" for number in range(100))
    table = RepositoryFiles([make_document(long, "uses"), make_document(SHOP, "shop")])
    lengths, shown = [], 0
    for epoch in range(20):
        example = infilled(table, 160, epoch, neighbour_share=0.3, too_long="window")
        assert example.infilled and len(example) <= 160
        lengths.append(len(example))
        ids = [token for token in example.ids.tolist() if token not in tiny_tokenizer().special_ids]
        shown += SNIPPET + SHOP in tiny_tokenizer().decode(ids)
    assert min(lengths) > 80 and shown > 15, "a gap in the first line has nothing before it"


def test_the_streams_identity_knows_whose_neighbours_they_are() -> None:
    table = shop_files()
    moved = RepositoryFiles([document._replace(repository="elsewhere") for document in table])
    assert table.fingerprint == moved.fingerprint
    for share, same in ((0.0, True), (0.3, False)):
        settings = InfillingSettings(neighbour_share=share)
        streams = [make_stream(StreamSource("s", 1, each), infilling=settings) for each in (table, moved)]
        assert (streams[0].fingerprint() == streams[1].fingerprint()) == same


def test_what_was_imported_before_a_window_is_shown() -> None:
    tokenizer = tiny_tokenizer()
    lines = "".join(f"value_{number} = colour({number})\n" for number in range(100))
    table = RepositoryFiles(
        [
            make_document("from shop import price\n" + lines, "uses"),
            make_document(SHOP + "colour = 1\n", "shop"),
        ]
        + [make_document(f"colour = value_{n}\n", f"other{n}") for n in range(3)]
    )

    def shown(choice: str) -> int:
        found = 0
        for epoch in range(20):
            example = infilled(table, 160, epoch, neighbour_share=0.4, too_long="window", neighbours=choice)
            ids = [token for token in example.ids.tolist() if token not in tokenizer.special_ids]
            found += SNIPPET + SHOP in tokenizer.decode(ids)
        return found

    assert shown("similar") < 10 and shown("imported") == 20
