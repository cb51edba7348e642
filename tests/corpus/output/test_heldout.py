"""What is held out."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.corpus.output.heldout import choose_groups, choose_heldout

SIZES = st.dictionaries(
    st.text("abcdef", min_size=1, max_size=3), st.integers(1, 10_000), min_size=1, max_size=12
)


@given(SIZES, st.floats(0.001, 0.3))
def test_held_out_is_some_but_not_all(sizes: dict[str, int], share: float) -> None:
    groups = choose_groups(sizes, share)
    assert groups == choose_groups(dict(reversed(sizes.items())), share)
    assert groups < set(sizes)
    assert bool(groups) == (len(sizes) > 1)


def test_held_out_is_near_its_share_where_it_can_be() -> None:
    sizes = {f"repository{n}": 1000 + 7 * n for n in range(1000)}
    taken = sum(sizes[name] for name in choose_groups(sizes, 0.01))
    assert 0.008 <= taken / sum(sizes.values()) <= 0.0101
    assert choose_groups(sizes, 0) == frozenset()


def test_held_out_is_worth_measuring() -> None:
    """A repository of a few bytes fits into 1 % but says nothing; the next one is taken too."""
    assert choose_groups({"tiny": 50, "a": 1_000_000, "b": 3_000_000, "c": 5_000_000}, 0.01) >= {"a"}


def documents(**repositories: int) -> pa.Table:
    """Ten files of equal size of each repository, of so many bytes together."""
    rows = [
        {"repository": name, "path": f"{name}/{n}.py", "kind": "code", "bytes": size // 10}
        for name, size in repositories.items()
        for n in range(10)
    ]
    return pa.Table.from_pylist(rows)


@pytest.mark.parametrize(
    ("repositories", "by"),
    [
        ({"only": 100_000}, "path"),
        ({"one": 100_000, "two": 100_000}, "path"),
        ({"one": 100_000, "two": 110_000, "three": 120_000}, "path"),
        ({"one": 100_000, "small": 8_000}, "repository"),
        ({f"repository{n}": 10_000 for n in range(6)}, "repository"),
    ],
)
def test_few_repositories_are_split_by_file(repositories: dict[str, int], by: str) -> None:
    table = documents(**repositories)
    split = choose_heldout(table, 0.05)
    assert split.by == by
    heldout = split.is_heldout(table["repository"], table["path"])
    taken = sum(table.filter(pa.array(heldout))["bytes"].to_pylist()) / sum(repositories.values())
    assert 0.02 <= taken <= 0.2


def test_many_repositories_are_split_by_file_where_that_is_asked_for() -> None:
    table = documents(**{f"repository{n}": 10_000 for n in range(6)})
    split = choose_heldout(table, 0.1, "path")
    assert split.by == "path"
    assert len({path.partition("/")[0] for path in split.groups}) > 1, "of several repositories"
    assert split.is_heldout(table["repository"], table["path"]).sum() == len(split.groups) == 6
