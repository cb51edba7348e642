"""The stream: packing, mixture, weights, and that it is a function of the seed."""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_fakes import (
    ExampleTable,
    make_document,
    make_rows,
    make_stream,
    named,
    random_dialogues,
    random_documents,
    tiny_tokenizer,
)

from codecascade.ground.errors import UserError
from codecascade.tokens.infilling import drop_infilling_tokens
from codecascade.training.stream.examples import TrainingExample
from codecascade.training.stream.packing import LOOK_AHEAD, LogicalStream, Segment
from codecascade.training.stream.settings import InfillingSettings
from codecascade.training.stream.stream import Batch
from codecascade.training.stream.stream_sources import StreamSource

lengths = st.lists(st.integers(0, 150), min_size=1, max_size=12)
infillings = st.none() | st.builds(
    InfillingSettings,
    rate=st.sampled_from([0.0, 0.5, 0.9, 1.0]),
    whole_line_share=st.sampled_from([0.0, 0.5]),
    editor_share=st.sampled_from([0.0, 0.5]),
    too_long=st.sampled_from(["plain", "window"]),
)


def same(one: Batch, other: Batch) -> bool:
    return (
        torch.equal(one.tokens, other.tokens)
        and torch.equal(one.weights, other.weights)
        and torch.equal(one.document_ids, other.document_ids)
        and one.documents == other.documents
        and one.counts == other.counts
    )


def sources_of(draw: st.DrawFn) -> list[StreamSource]:
    tables = [random_documents(draw(lengths), seed, f"s{seed}-") for seed in range(draw(st.integers(1, 2)))]
    sources = [StreamSource(f"s{n}", draw(st.sampled_from([1, 3])), table) for n, table in enumerate(tables)]
    if draw(st.booleans()):
        talks = random_dialogues(draw(st.lists(st.integers(0, 20), min_size=1, max_size=5)))
        sources.append(StreamSource("dialogues", 2, talks, "dialogues"))
    return sources


@st.composite
def streams(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "sources": sources_of(draw),
        "rows": draw(st.integers(1, 5)),
        "sequence_length": draw(st.integers(48, 90)),
        "seed": draw(st.integers(0, 3)),
        "infilling": draw(infillings),
        "document_masks": draw(st.booleans()),
    }


# ---------------------------------------------------------------- a function of the seed


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(streams(), st.data())
def test_any_ranks_and_any_resumption_give_the_same_batches(
    case: dict[str, Any], data: st.DataObject
) -> None:
    sources, rows = case.pop("sources"), case["rows"]
    steps = data.draw(st.integers(1, 8), label="steps")
    reference = make_stream(*sources, **case)
    expected = [reference.batch(range(rows)) for _ in range(steps)]

    state: dict[str, Any] = {}
    ranks = [(make_stream(*sources, **case), range(rows))]
    for step in range(steps):
        if data.draw(st.booleans(), label="stop, and start again on other ranks"):
            state = {}
            for stream, own in ranks:
                state |= stream.state_dict(own)
            state = json.loads(json.dumps(state))
            bounds = sorted(data.draw(st.sets(st.integers(1, rows)), label="bounds") | {0, rows})
            ranks = [(make_stream(*sources, **case), range(start, end)) for start, end in pairwise(bounds)]
            for stream, _ in ranks:
                stream.load_state_dict(state)
        assert same(Batch.join([stream.batch(own) for stream, own in ranks]), expected[step])
    at_the_end: dict[str, Any] = {}
    for stream, own in ranks:
        at_the_end |= stream.state_dict(own)
    assert at_the_end == reference.state_dict(range(rows))
    assert all(len(json.dumps(row)) < 1000 for row in at_the_end.values())


def test_the_state_is_small_however_far_and_long() -> None:
    stream = make_stream(
        random_documents([5000, 40_000, *[100] * 300]), infilling=InfillingSettings(rate=0.95)
    )
    for _ in range(200):
        stream.batch(range(1))
    state = stream.state_dict(range(1))["0"]
    state["drawn"][0] += 10**12
    state["waiting"] = [[0, 10**12 + number] for number in range(LOOK_AHEAD)]
    assert len(json.dumps(state)) < 1000


# ---------------------------------------------------------------- packing


def drawn_rows(rows: LogicalStream, count: int) -> tuple[list[list[Segment]], Counter[str]]:
    total: Counter[str] = Counter()
    found = []
    for _ in range(count):
        segments, counts = rows.next_row()
        found.append(segments)
        total.update(counts)
    return found, total


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), infillings, st.integers(48, 90))
def test_nothing_whole_is_cut_and_nothing_cut_is_lost(
    data: st.DataObject, infilling: InfillingSettings | None, context: int
) -> None:
    rows = make_rows(*data.draw(st.composite(sources_of)()), context=context, infilling=infilling)
    found, counts = drawn_rows(rows, 25)
    open_ends: dict[int, tuple[Segment, Any]] = {}
    for segments in found:
        size = sum(segment.end - segment.start for segment in segments)
        assert size <= context
        for segment in segments:
            assert segment.end > segment.start
            if segment.example.indivisible:
                assert (segment.start, segment.end) == (0, len(segment.example))
            elif (
                segment.start
            ):  # goes on where the last segment of the same item ended, with one token of it again
                before = open_ends.pop(id(segment.example))
                assert segment.start == before[0].end - 1 and segment.end > before[0].end
            if segment.end < len(segment.example):
                open_ends[id(segment.example)] = (segment, segment.example)
    assert len(open_ends) <= len(rows.state_dict()["offsets"]), "at most one open document a source"
    begun = [segment for segments in found for segment in segments if segment.start == 0]
    assert counts["documents"] == len(begun)
    assert counts["infilled"] == sum(segment.example.infilled for segment in begun)
    assert counts["fitting"] == sum(len(segment.example) <= context for segment in begun)
    assert (
        counts["padding"] + sum(counts[name] for name in counts if name.startswith("tokens/")) == 25 * context
    )


def test_the_order_of_waiting_and_cut_documents_by_hand() -> None:
    """Rows of 20 tokens; documents that are to stay whole have capital names."""
    rows = make_rows(random_documents([1] * 8), context=20)
    sizes = {"A": 12, "B": 10, "C": 7, "d": 30, "E": 15, "F": 3, "g": 4, "H": 2}
    items = [
        TrainingExample(np.zeros(size, np.int32), np.ones(size, np.float32), name, indivisible=name.isupper())
        for name, size in sizes.items()
    ]
    rows._sequences[0].example = lambda number: items[number % 8]  # type: ignore[method-assign]
    found, _ = drawn_rows(rows, 4)
    assert [[(p.example.id, p.start, p.end) for p in segments] for segments in found] == [
        [("A", 0, 12), ("C", 0, 7)],  # B waits; one token alone stays empty
        [("B", 0, 10), ("d", 0, 10)],
        [("d", 9, 29)],
        [("d", 28, 30), ("E", 0, 15), ("F", 0, 3)],
    ]


def test_without_infilling_rows_are_full_and_in_order() -> None:
    rows = make_rows(random_documents([30, 5, 500, 0, 70]), infilling=None)
    found, counts = drawn_rows(rows, 100)
    assert counts["padding"] <= 100 * 0.1 and rows.state_dict()["waiting"] == []
    assert all(sum(p.end - p.start for p in segments) >= 64 for segments in found)
    names = [segment.example.id for segments in found for segment in segments if segment.start == 0]
    epochs = [sorted(names[start : start + 5]) for start in range(0, len(names) - 5, 5)]
    assert len(epochs) > 5 and all(epoch == ["d0", "d1", "d2", "d3", "d4"] for epoch in epochs)


def test_the_paper_s_rate_leaves_next_to_no_padding_and_fills_what_fits() -> None:
    table = random_documents([20 + 7 * n % 90 for n in range(200)] + [400] * 5)
    _, counts = drawn_rows(make_rows(table, context=129), 400)
    assert counts["infilled"] / counts["fitting"] == pytest.approx(0.9, abs=0.03)
    assert counts["padding"] / (400 * 129) < 0.005
    assert counts["fitting"] < counts["documents"]


def test_at_a_rate_of_one_the_ends_of_rows_stay_empty_and_nothing_is_left_unfilled() -> None:
    table = random_documents([20 + 7 * n % 60 for n in range(200)])
    found, counts = drawn_rows(make_rows(table, context=129, infilling=InfillingSettings(rate=1)), 300)
    assert counts["infilled"] == counts["documents"] and counts["cut"] == 0
    assert 0 < counts["padding"] / (300 * 129) < 0.07
    # the last documents that were drawn are there, or wait: nobody is forgotten
    numbers = Counter(segment.example.id for segments in found for segment in segments)
    assert max(numbers.values()) - min(numbers.values()) <= 2 and len(numbers) == 200


def test_no_document_waits_for_ever() -> None:
    """A document of nearly a row among short ones, which always fit better."""
    rows = make_rows(random_documents([110] + [12] * 30), context=129, infilling=InfillingSettings(rate=1))
    found, _ = drawn_rows(rows, 150)
    at = [
        number
        for number, segments in enumerate(found)
        if any(segment.example.id == "d0" for segment in segments)
    ]
    epoch = 150 / len(at)
    assert len(at) > 10 and max(np.diff(at)) < 2 * epoch + 2


# ---------------------------------------------------------------- mixture


def share_of(found: list[list[Segment]], name: str) -> float:
    sizes: Counter[str] = Counter()
    for segments in found:
        for segment in segments:
            sizes[segment.source] += segment.end - segment.start
    return sizes[name] / sizes.total()


def test_shares_are_of_tokens_whatever_the_lengths() -> None:
    sources = [
        StreamSource("long", 2, random_documents([900] * 9)),
        StreamSource("short", 5, random_documents([10] * 50, 1)),
        StreamSource("dialogues", 3, random_dialogues([12] * 9), "dialogues"),
    ]
    found, _ = drawn_rows(make_rows(*sources), 600)
    for source in sources:
        assert share_of(found, source.name) == pytest.approx(source.share / 10, abs=0.015)
    # and on the way: never far from it
    for end in (100, 200, 300):
        assert share_of(found[:end], "long") == pytest.approx(0.2, abs=0.03)


def test_short_runs_hold_the_shares_too() -> None:
    """Few rows of each of many logical streams: a small source must not come first in all of them."""
    sources = [
        StreamSource("code", 95, random_documents([60] * 50)),
        StreamSource("prose", 5, random_documents([300] * 40, 1)),
    ]
    stream = make_stream(*sources, rows=20, infilling=None)
    counts: Counter[str] = Counter()
    for _ in range(4):
        counts.update(stream.batch(range(20)).counts)
    assert counts["tokens/prose"] / (20 * 4 * 65) < 0.1


# ---------------------------------------------------------------- batches


@pytest.mark.parametrize("document_masks", [False, True])
@pytest.mark.parametrize("rate", [0.5, 1.0])
def test_a_batch_is_its_pieces(document_masks: bool, rate: float) -> None:
    sources = named(
        random_documents([10, 40, 200, 30] if rate < 1 else [15, 30]),
        StreamSource("talk", 1, random_dialogues([9, 3]), "dialogues"),
    )
    infilling = InfillingSettings(rate=rate, middle_weight=3, rest_weight=0.25)
    longest_padding = 0
    stream = make_stream(*sources, infilling=infilling, document_masks=document_masks)
    expected = make_rows(*sources, infilling=infilling)
    for _ in range(40):
        batch = stream.batch(range(1))
        segments, counts = expected.next_row()
        assert batch.tokens.dtype == torch.int64 and batch.tokens.shape == (1, 65)
        assert batch.weights.dtype == torch.float32 and batch.weights.shape == (1, 64)
        assert batch.document_ids.dtype == torch.int32 and batch.document_ids.shape == (1, 64)
        assert batch.documents == [[segment.example.id for segment in segments]] and batch.counts == dict(
            counts
        )
        tokens, weights, owners = [], [], []
        for number, segment in enumerate(segments):
            for place in range(segment.start, segment.end):
                first = place == segment.start
                hidden = first and (document_masks or segment.start > 0)
                tokens.append(int(segment.example.ids[place]))
                weights.append(0.0 if hidden else float(segment.example.weights[place]))
                owners.append(number)
        padding = 65 - len(tokens)
        longest_padding = max(longest_padding, padding)
        assert batch.tokens[0].tolist() == tokens + [tiny_tokenizer().pad_id] * padding
        assert batch.weights[0].tolist() == (weights + [0.0] * padding)[1:]
        assert batch.document_ids[0].tolist() == (owners + [len(segments)] * padding)[:-1]
    assert (longest_padding > 1) == (rate == 1)


def test_masked_documents_are_predicted_from_themselves_alone() -> None:
    stream = make_stream(random_documents([10, 20, 30]), rows=3, document_masks=True)
    batch = stream.batch(range(3))
    crossing = batch.document_ids[:, 1:] != batch.document_ids[:, :-1]
    assert crossing.any() and (batch.weights[:, :-1][crossing] == 0).all()
    plain = make_stream(random_documents([10, 20, 30]), rows=3).batch(range(3))
    assert torch.equal(plain.tokens, batch.tokens) and (plain.weights[:, :-1][crossing] == 1).any()


# ---------------------------------------------------------------- bad input


def test_user_errors() -> None:
    documents = random_documents([10])
    with pytest.raises(UserError, match="different names"):
        make_stream(StreamSource("a", 1, documents), StreamSource("a", 1, documents))
    with pytest.raises(UserError, match="got none"):
        make_stream()
    bare = drop_infilling_tokens(tiny_tokenizer())
    with pytest.raises(UserError, match="no infilling tokens"):
        make_stream(documents, tokenizer=bare)
    make_stream(documents, tokenizer=bare, infilling=InfillingSettings(rate=0)).batch(range(1))
    for source in (
        StreamSource("a", 1, documents, min_characters=11),
        StreamSource("a", 1, ExampleTable([make_document("x = 1\n", "m")]), granularity="function"),
        StreamSource("a", 1, random_dialogues([500]), "dialogues"),
    ):
        with pytest.raises(UserError, match="'a' gives nothing to train on"):
            make_stream(source).batch(range(1))


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_a_source_of_which_little_is_usable_goes_on(rows: int) -> None:
    """A row's stream sees some of the examples of an epoch only, and none of the usable ones for many epochs."""
    source = StreamSource("a", 1, random_documents([100, *[9] * 79]), min_characters=50)
    for seed in range(4):
        stream = make_stream(source, rows=rows, seed=seed)
        for _ in range(3):
            batch = stream.batch(range(rows))
            assert {name for row in batch.documents for name in row} == {"d0"}
