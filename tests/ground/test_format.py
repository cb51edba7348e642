"""Figures for people keep their value, to three digits or to the smaller of two units."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.ground.format import listed, show_bytes, show_count, show_seconds

SECONDS = {
    "s": 1, "min": 60, "h": 3600, "day": 86_400, "days": 86_400, "year": 31_536_000, "years": 31_536_000,
}  # fmt: skip


def test_figures_for_people() -> None:
    assert [show_bytes(n) for n in (1, 10, 28.84e9)] == ["1 byte", "10 bytes", "28.8 GB"]
    assert [show_count(n) for n in (77, 6.7e9, 5e11)] == ["77", "6.7B", "500B"]
    assert [show_seconds(s) for s in (45, 720, 12_600, 20 * 86_400, 1e9)] == [
        "45 s",
        "12 min",
        "3 h 30 min",
        "20 days",
        "31 years 259 days",
    ]


@given(st.floats(0.1, 9.9e14))
def test_three_digits_are_kept(value: float) -> None:
    text = show_count(value)
    digits, factor = text.rstrip("kMBT"), {"k": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}.get(text[-1], 1)
    assert float(digits) * factor == pytest.approx(value, rel=0.00501)
    assert float(digits) < 1000
    assert len(digits.replace(".", "").lstrip("0")) <= 3


@pytest.mark.parametrize("value", [999.4, 999.6, 999_499, 999_500, 999_999.9, 0])
def test_a_figure_that_rounds_up_takes_the_next_letter(value: float) -> None:
    assert "e" not in show_count(value)
    assert not show_count(value).startswith("1000")


@given(st.integers(0, 10**10))
def test_times_are_rounded_to_the_smaller_unit_and_never_hold_a_whole_larger_one(seconds: int) -> None:
    words = show_seconds(seconds).replace(",", "").split()
    parts = [(int(count), SECONDS[unit]) for count, unit in zip(words[::2], words[1::2], strict=True)]
    assert 1 <= len(parts) <= 2
    smallest = {1: 1, 60: 1, 3600: 60, 86_400: 3600, 31_536_000: 86_400}[parts[0][1]]
    assert abs(sum(count * size for count, size in parts) - seconds) <= 0.5 * smallest
    if len(parts) == 2:
        assert 0 < parts[1][0] * parts[1][1] <= parts[0][1]


def test_times_round_up_to_the_larger_unit() -> None:
    assert [show_seconds(s) for s in (59.6, 3599.7, 86_399)] == ["1 min", "1 h", "1 day"]


@given(st.lists(st.sampled_from("abc"), min_size=1), st.integers(1, 5))
def test_of_many_names_the_first_are_listed(names: list[str], most: int) -> None:
    text = listed(names, most)
    shown, _, more = text.partition(" and ")
    assert shown.split(", ") == names[:most]
    assert more == (f"{len(names) - most} more" if len(names) > most else "")


def test_a_name_that_a_file_gives_is_no_line_of_a_list() -> None:
    assert listed(["a\nerror: b", "\x1b[31m"]) == "a\\nerror: b, \\x1b[31m"
