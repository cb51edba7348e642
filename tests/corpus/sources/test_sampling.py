"""Which candidates are read: languages, licences, budgets."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.corpus.output.dropped import Dropped, by_step
from codecascade.corpus.settings import CorpusSettings, LanguageFilter
from codecascade.corpus.sources.candidates import Candidate, candidate_table, candidates_from_table
from codecascade.corpus.sources.sampling import (
    check_languages,
    choose_candidates,
    license_refused,
    spread,
    water_level,
)
from codecascade.ground.errors import UserError


def candidate(repository: str, path: str, size: int, **changes: object) -> Candidate:
    fields = {"language": "python", "kind": "code", "license": "MIT", "stamp": "", "own": True, **changes}
    places = {"reader": "file", "container": "", "locator": path}
    return Candidate(repository=repository, path=path, size=size, **places, **fields)  # type: ignore[arg-type]


def spread_over(candidates: list[Candidate], budget: int) -> list[Candidate]:
    rows = spread(
        np.arange(len(candidates)),
        [c.repository for c in candidates],
        [c.path for c in candidates],
        np.array([c.size for c in candidates], np.int64),
        budget,
    )
    return [candidates[row] for row in rows]


def chosen_of(
    candidates: list[Candidate], settings: CorpusSettings
) -> tuple[list[Candidate], dict[str, int]]:
    dropped = Dropped()
    chosen = list(candidates_from_table(choose_candidates(candidate_table(candidates), settings, dropped)))
    return chosen, by_step(dropped.table()).get("choose", {})


def size(candidates: Iterable[Candidate]) -> int:
    return sum(c.size for c in candidates)


def repositories(sizes: dict[str, list[int]]) -> list[Candidate]:
    return [candidate(name, f"{n}.py", size) for name, files in sizes.items() for n, size in enumerate(files)]


@given(st.lists(st.integers(0, 1000), min_size=1), st.integers(0, 5000))
def test_water_level_fills_the_budget(sizes: list[int], budget: int) -> None:
    level = water_level(sizes, budget)
    filled = sum(min(size, level) for size in sizes)
    assert filled == pytest.approx(min(budget, sum(sizes)))


def test_no_repository_dominates_a_capped_sample() -> None:
    candidates = repositories({"giant": [100] * 1000, "middle": [100] * 50, "small": [100] * 5})
    chosen = spread_over(candidates, 6_000)
    taken = {name: size(c for c in chosen if c.repository == name) for name in ("giant", "middle", "small")}
    assert taken == {"giant": 2_700, "middle": 2_700, "small": 500}


@given(st.lists(st.lists(st.integers(1, 500), max_size=8), max_size=6), st.integers(1, 3000))
def test_spread_keeps_to_its_budget_and_to_its_choice(files: list[list[int]], budget: int) -> None:
    candidates = repositories({f"r{n}": sizes for n, sizes in enumerate(files)})
    chosen = spread_over(candidates, budget)
    assert size(chosen) <= budget
    assert {id(c) for c in spread_over(list(reversed(candidates)), budget)} == {id(c) for c in chosen}


def test_text_gets_its_share_and_what_code_leaves() -> None:
    settings = CorpusSettings(max_bytes=10_000, natural_language_share=0.2)
    code = repositories({"a": [100] * 500})
    text = [
        candidate("a", f"{n}.md", 100, kind="natural_language_code", language="markdown") for n in range(500)
    ]
    chosen, dropped = chosen_of([*code, *text], settings)
    assert size(c for c in chosen if c.kind != "code") == 2_000
    # A fifth of the rest is for its docstrings.
    assert size(c for c in chosen if c.kind == "code") == 6_400
    assert dropped == {"over max_bytes": 1000 - len(chosen)}
    chosen, _ = chosen_of([*code[:10], *text], settings)
    assert size(c for c in chosen if c.kind != "code") == 9_000


def test_choose_filters_by_licence_language_and_size() -> None:
    candidates = [
        candidate("a", "1.py", 10),
        candidate("a", "2.py", 10, license="GPL-3.0"),
        candidate("a", "3.rs", 10, language="rust"),
        candidate("a", "4.md", 10, language="markdown", kind="natural_language_code"),
        candidate("a", "5.py", 1000),
        candidate("a", "6.h", 10, language="c"),
        candidate("a", "7.ipynb", 1000, language="jupyter notebook"),
    ]
    settings = CorpusSettings(licenses="permissive", languages=("python", "c++"), max_file_bytes=100)
    chosen, dropped = chosen_of(candidates, settings)
    assert [c.path for c in chosen] == ["1.py", "4.md", "6.h", "7.ipynb"], (
        "the text may turn out to be wanted"
    )
    assert dropped == {
        "larger than max_file_bytes": 1,
        "licence GPL-3.0": 1,
        "not one of the languages": 1,
    }


def test_languages_that_are_none_are_refused() -> None:
    listing = candidate_table([candidate("a", "1.x", 10, language="klingon")])
    check_languages(
        CorpusSettings(languages=("python", "klingon", "hack"), filters={"c": LanguageFilter()}), listing
    )
    with pytest.raises(UserError, match=r"corpus_build.languages: .*'pyton'; did you mean 'python'"):
        check_languages(CorpusSettings(languages=("pyton",)), listing)
    with pytest.raises(UserError, match=r"corpus_build.filters: .*'Zzz'; names are in lower case"):
        check_languages(CorpusSettings.model_validate({"filters": {"Zzz": {"keep": False}}}), listing)


@pytest.mark.parametrize(
    ("spdx", "own", "auto", "permissive"),
    [
        ("MIT", False, False, False),
        ("GPL-3.0-only", False, True, True),
        ("GPL-3.0-only", True, False, True),
        ("unknown", False, True, True),
        ("own", True, False, False),
    ],
)
def test_licences_that_are_refused(spdx: str, own: bool, auto: bool, permissive: bool) -> None:
    refused = [license_refused(spdx, own, setting) for setting in ("all", "auto", "permissive")]
    assert refused == [False, auto, permissive]
