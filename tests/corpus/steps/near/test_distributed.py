"""Near-deduplication in parts that know nothing of each other, as a cluster has it: the result is the local one."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.corpus.steps.near import REMOVED, remove_near_duplicates
from codecascade.corpus.steps.near.distributed import (
    band_rows,
    connected,
    in_components,
    linked,
    remove_in_partition,
)


def shuffled(tables: list[pa.Table], key: str, parts: int) -> list[pa.Table]:
    """What a hash shuffle does: rows of equal keys come together, in no order."""
    whole = pa.concat_tables(tables)
    part = np.asarray(whole[key]).astype(np.uint64) % np.uint64(parts)
    return [whole.filter(pa.array(part == number)) for number in range(parts)]


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40))
def test_components_are_what_a_walk_finds(pairs: list[tuple[int, int]]) -> None:
    neighbours: dict[int, set[int]] = {}
    for one, other in pairs:
        neighbours.setdefault(one, set()).add(other)
        neighbours.setdefault(other, set()).add(one)
    expected = {}
    for start in sorted(neighbours):
        waiting = [start]
        while waiting:
            number = waiting.pop()
            if number not in expected:
                expected[number] = start
                waiting += neighbours[number]
    numbers, components = connected(np.array(pairs, np.int64).reshape(-1, 2).T)
    assert dict(zip(numbers.tolist(), components.tolist(), strict=True)) == expected
    assert numbers.tolist() == sorted(expected)


def test_a_long_path_is_one_component() -> None:
    path = np.random.default_rng(0).permutation(20_000)
    numbers, components = connected(np.stack([path[1:], path[:-1]]))
    assert len(numbers) == 20_000
    assert not components.any()


@pytest.mark.parametrize("parts", [1, 7])
def test_parts_give_the_local_result(parts: int) -> None:
    draw = random.Random(parts)
    texts = ["", "{}", "a b", "a b"]
    for family in range(30):
        words = [f"w{draw.randrange(10**6)}" for _ in range(draw.randint(3, 150))]
        for _ in range(draw.choice([1, 1, 2, 9])):
            changed = [word if draw.random() > 0.03 else f"x{family}" for word in words]
            texts.append(" ".join(changed))
    texts += [texts[-1]] * 3
    ranks = [draw.randrange(20) for _ in texts]
    local = remove_near_duplicates([pa.array(texts)], pa.array(ranks))
    assert local.num_rows > 20

    whole = pa.table({"number": range(len(texts)), "rank": ranks, "text": texts})
    order = draw.sample(range(len(texts)), len(texts))
    blocks = [whole.take(order[start : start + 11]) for start in range(0, len(order), 11)]
    forest = [linked(part) for part in shuffled([band_rows(block) for block in blocks], "key", parts)]
    links = pa.concat_tables(forest)
    numbers, components = connected(np.stack([np.asarray(links["number"]), np.asarray(links["other"])]))
    table = pa.table({"number": numbers, "component": components})
    members = shuffled([in_components(block, table) for block in blocks], "component", parts)
    assert sum(map(len, members)) < len(texts)
    removed = pa.concat_tables([REMOVED.empty_table(), *map(removed_of_default, members)])
    assert removed.sort_by("removed").equals(local)


def removed_of_default(part: pa.Table) -> pa.Table:
    return remove_in_partition(part, 0.7)


def test_nothing_near_is_no_component() -> None:
    batch = pa.table({"number": [3, 4], "rank": [0, 0], "text": ["a b c d e f", "g h i j k l"]})
    nothing = pa.table({"number": pa.array([], pa.int64()), "component": pa.array([], pa.int64())})
    assert linked(band_rows(batch)).num_rows == 0
    assert in_components(batch, nothing).num_rows == 0
    assert remove_in_partition(in_components(batch, nothing), 0.7).equals(REMOVED.empty_table())
