"""Sizes of memory that a user writes."""

from __future__ import annotations

import pytest

from codecascade.ground.errors import UserError
from codecascade.plan.sizes import parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [("80GB", 80 * 10**9), ("80GiB", 80 * 2**30), ("1.5 TB", 15 * 10**11), ("80000000000", 80_000_000_000)],
)
def test_sizes(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "GB", "80XB", "-1GB", "80 G B", "9" * 400 + "GB"])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UserError, match="--memory: must be a size such as 80GB"):
        parse_bytes(text)


@pytest.mark.parametrize("size", ["0", "80", "0GB", "0.5M", "lots", "-5GB"])
def test_a_size_that_is_none(size: str) -> None:
    with pytest.raises(UserError, match=r"--memory: .*80GB"):
        parse_bytes(size)
