"""Two sets of settings differ in what :mod:`codecascade.ground.diff` says, and in nothing else."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from codecascade.ground.diff import changed_values, nested_diff

LEAVES = st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
SETTINGS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


def without_nones(value: Any) -> Any:
    """A missing key counts as None."""
    if isinstance(value, dict):
        return {key: without_nones(item) for key, item in value.items() if item is not None}
    return [without_nones(item) for item in value] if isinstance(value, list) else value


@given(SETTINGS, SETTINGS)
def test_a_difference_is_seen_from_both_sides(first: dict[str, Any], second: dict[str, Any]) -> None:
    there, back = list(nested_diff(first, second)), list(nested_diff(second, first))
    assert {key for key, _, _ in there} == {key for key, _, _ in back}
    if not there:
        assert without_nones(first) == without_nones(second)
    if without_nones(first) == without_nones(second):
        assert all(not (old and new) for _, old, new in there), "at most an empty mapping for a missing one"


@given(SETTINGS)
def test_what_json_makes_of_settings_is_the_same(settings: dict[str, Any]) -> None:
    assert not list(nested_diff(settings, json.loads(json.dumps(settings))))
    assert not list(changed_values(settings, settings))


def test_leaves_are_named_by_their_whole_key() -> None:
    assert list(changed_values({"a": {"b": 1}}, {"a": 2})) == ['a {"b": 1}, now 2']
    assert list(changed_values({"rows": (1, 2)}, {"rows": [1, 2]})) == []
    assert list(changed_values({"rows": (1, 2)}, {"rows": [1, 3]})) == ["rows [1, 2], now [1, 3]"]
    mixture = [{"source": "corpus", "share": 0.5}, {"source": "dialogues", "share": 0.5}]
    other = [mixture[0], {**mixture[1], "share": 0.25}]
    assert list(changed_values({"stage": {"mixture": mixture}}, {"stage": {"mixture": other}})) == [
        "stage.mixture[1].share 0.5, now 0.25"
    ]


def test_free_keys_may_differ_at_any_depth() -> None:
    before, now = {"a": 1, "in": {"a": 1, "b": 2}}, {"a": 2, "in": {"a": 3, "b": 4}}
    assert list(changed_values(before, now, free=("a",))) == ["in.b 2, now 4"]


def test_long_values_are_not_shown() -> None:
    assert list(changed_values({"text": "x" * 100}, {"text": "y"})) == ["text"]
