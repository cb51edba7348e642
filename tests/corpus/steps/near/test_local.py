"""Near-deduplication, against the same rule with Python's sets and every pair compared."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import near_oracle
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from codecascade.corpus.steps.near import remove_near_duplicates
from codecascade.corpus.steps.near.leaders import MOST_LEADERS
from codecascade.corpus.steps.near.shingles import blocks, shingle_sets
from codecascade.corpus.steps.near.signatures import BINS, signature_bytes, signatures
from codecascade.ground.errors import UserError

Gone = dict[int, tuple[int, float]]
ODD = [
    "",
    " \n",
    "{}[]",
    "a",
    "a b",
    "a b c d",
    "a b c d e",
    "a\0b c d e f",
    "日本語のテキスト",
    "é" * 90,
    "x" * 1000,
]


def gone(table: pa.Table) -> Gone:
    columns = (table[name].to_pylist() for name in ("removed", "kept", "similarity"))
    return {removed: (kept, similarity) for removed, kept, similarity in zip(*columns, strict=True)}


def found(texts: Sequence[str], ranks: Iterable[int] | None = None, **options: object) -> Gone:
    return gone(
        remove_near_duplicates(
            [pa.array(texts, pa.string())],
            None if ranks is None else pa.array(ranks, pa.int64()),
            **options,  # type: ignore[arg-type]
        )
    )


def words(count: int, seed: int = 0) -> list[str]:
    draw = random.Random(seed)
    return [f"w{draw.randrange(10**6)}" for _ in range(count)]


def edited(text: str, share: float, draw: random.Random) -> str:
    """A share of the lines with an identifier renamed, gone, or doubled."""
    lines = []
    for line in text.split("\n"):
        if draw.random() >= share:
            lines.append(line)
            continue
        names = re.findall(r"[A-Za-z_]\w*", line)
        change = draw.randrange(3)
        if change == 0 and names:
            lines.append(line.replace(draw.choice(names), f"renamed_{draw.randrange(10**6)}"))
        elif change == 1:
            lines += [line, line]
    return "\n".join(lines)


def real_files(count: int) -> list[str]:
    """Of the standard library and what is installed beside pytest: code of many hands."""
    folders = [Path(re.__file__).parents[1], Path(pytest.__file__).parents[1] / "_pytest"]
    files = sorted(file for folder in folders for file in folder.glob("*.py"))
    files += sorted(folders[0].glob("*/*.py"))
    texts = [file.read_text(encoding="utf-8", errors="replace") for file in files[: 2 * count]]
    return [text for text in texts if 300 <= len(text) <= 20_000][:count]


@pytest.mark.parametrize("text", ODD)
def test_shingles_are_what_the_documentation_says(text: str) -> None:
    for texts in ([text], ["a b c d e f", text, "z", text], [text] * 3):
        for kind in (pa.string(), pa.large_string()):
            ((data, offsets),) = blocks(pa.array(texts, kind))
            sizes = np.diff(shingle_sets(data, offsets).offsets)
            assert sizes.tolist() == [len(near_oracle.shingles(item)) for item in texts]


@given(st.lists(st.text(st.sampled_from("ab_9 .\n\0éß日𝒳"), max_size=30), max_size=8))
def test_texts_have_equal_hashes_where_they_have_equal_shingles(texts: list[str]) -> None:
    expected = [near_oracle.shingles(text) for text in texts]
    sets = [
        set(hashes[start:end].tolist())
        for data, offsets in blocks(pa.array(texts, pa.string()))
        for hashes, places in [shingle_sets(data, offsets)]
        for start, end in pairwise(places)
    ]
    for one, mine in zip(expected, sets, strict=True):
        for other, theirs in zip(expected, sets, strict=True):
            assert len(one & other) == len(mine & theirs)


def test_a_block_holds_a_text_larger_than_itself_and_slices_are_read_at_their_place() -> None:
    large = " ".join(words(300_000))
    texts = pa.array(["before", "one two three", large, None, "four five six seven eight nine"])
    sizes = [
        size
        for data, offsets in blocks(texts.slice(1))
        for size in np.diff(shingle_sets(data, offsets).offsets).tolist()
    ]
    assert sizes == [1, len(near_oracle.shingles(large)), 0, 2]


@given(
    st.lists(
        st.lists(st.sampled_from("abcdef"), max_size=12).map(" ".join) | st.sampled_from(ODD), max_size=14
    ),
    st.randoms(use_true_random=False),
    st.sampled_from([0.3, 0.5, 0.7, 1.0]),
)
@example([], random.Random(0), 0.7)
def test_exact_mode_is_the_rule(texts: list[str], draw: random.Random, threshold: float) -> None:
    ranks = [draw.randrange(5) for _ in texts]
    expected = near_oracle.near_duplicates(texts, ranks, threshold)
    assert found(texts, ranks, threshold=threshold, mode="exact") == expected


@given(st.data())
def test_whatever_goes_has_a_twin_that_stays(data: st.DataObject) -> None:
    base = words(40)
    texts = [
        " ".join(base[start:end])
        for start, end in data.draw(
            st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=20)
        )
    ]
    ranks = data.draw(st.permutations(range(len(texts))))
    for removed, (kept, similarity) in found(texts, ranks).items():
        assert ranks[kept] < ranks[removed]
        assert kept not in found(texts, ranks)
        measured = near_oracle.jaccard(
            near_oracle.shingles(texts[removed]), near_oracle.shingles(texts[kept])
        )
        assert similarity == measured
        assert similarity >= 0.7


@given(st.permutations(range(12)))
def test_the_order_of_the_texts_changes_nothing(order: list[int]) -> None:
    base = words(60)
    texts = [" ".join([*base[: 60 - 3 * (number % 4)], f"of_{number // 4}"]) for number in range(12)]
    shuffled = found([texts[number] for number in order], order)
    named = {order[removed]: (order[kept], similarity) for removed, (kept, similarity) in shuffled.items()}
    assert named == found(texts, range(12))


def test_real_files_and_planted_copies_as_the_oracle_has_them() -> None:
    draw = random.Random(5)
    texts = real_files(150)
    assert len(texts) == 150
    texts += [
        edited(draw.choice(texts[:150]), share, draw) for share in (0, 0.02, 0.05, 0.08, 0.12, 0.3) * 15
    ]
    ranks = list(range(len(texts)))
    draw.shuffle(ranks)
    expected = near_oracle.near_duplicates(texts, ranks)
    assert len(expected) > 60
    assert found(texts, ranks, mode="exact") == expected
    assert found(texts, ranks) == expected


def test_recall_at_the_threshold_is_the_bands() -> None:
    """Pairs of J = 0.7 are found with 1 - (1 - 0.7^6)^42 = 0.995, short texts as well as long ones."""
    for count in (11, 60, 400):
        shingles = count - 4
        more = int(shingles * 0.3 / 0.7)
        texts = []
        for pair in range(400):
            text = words(count, pair)
            texts += [" ".join(text), " ".join(text + [f"more_{place}" for place in range(more)])]
        assert 0.98 <= len(found(texts)) / 400 <= 1


def test_an_estimate_is_never_far_from_the_similarity() -> None:
    """So that what is not compared because of it is not a near-duplicate."""
    base = words(300)
    for common in (20, 100, 200, 290):
        pair = [" ".join(base), " ".join(base[:common] + words(300 - common, 1))]
        ((data, offsets),) = blocks(pa.array(pair))
        one, other = signature_bytes(signatures(shingle_sets(data, offsets)))
        similarity = near_oracle.jaccard(*map(near_oracle.shingles, pair))
        assert abs(np.count_nonzero(one == other) / BINS - similarity) < 0.15


def test_the_best_rank_stays_and_the_nearest_that_stays_is_named() -> None:
    base = words(104)
    near, nearer = base[:90] + words(14, 1), base[:90] + words(3, 2)
    texts = [" ".join(text) for text in (base, near, nearer, words(50, 3))]
    assert found(texts).keys() == {1, 2}
    assert found(texts, [1, 2, 0, 3]).keys() == {0, 1}
    assert {kept for kept, _ in found(texts, [1, 2, 0, 3]).values()} == {2}
    by_name = remove_near_duplicates([pa.array(texts)], pa.array(["b", "c", "a", "d"]))
    assert gone(by_name).keys() == {0, 1}


def test_a_chain_is_not_swallowed_by_its_first_link() -> None:
    """Each text is near the next, the first and the third are not: the third stays."""
    base = words(150)
    chain = [" ".join(base[start : start + 100]) for start in (0, 15, 30, 45)]
    assert {removed: kept for removed, (kept, _) in found(chain).items()} == {1: 0, 3: 2}


@pytest.mark.parametrize("different", [False, True], ids=["equal", "nearly equal"])
def test_fifty_thousand_copies_take_one_comparison_each(
    different: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codecascade.corpus.steps.near import leaders

    compared = 0
    original = leaders.jaccard

    def counted(one: np.ndarray, other: np.ndarray) -> float:  # type: ignore[type-arg]
        nonlocal compared
        compared += 1
        return original(one, other)

    monkeypatch.setattr(leaders, "jaccard", counted)
    licence = " ".join(words(40))
    texts = [f"{licence} {number if different else 'x'}" for number in range(50_000)]
    table = remove_near_duplicates([pa.array(texts)])
    assert table.num_rows == 49_999
    assert set(table["kept"].to_pylist()) == {0}
    assert compared == (49_999 if different else 0)


def test_a_crowd_of_unlike_texts_of_one_template_is_looked_at_in_part(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Half of each text is the template: every pair is far below the threshold, and most share a band."""
    from codecascade.corpus.steps.near import leaders

    template = words(100)
    texts = [" ".join(template + words(50, seed)) for seed in range(400)]
    monkeypatch.setattr("codecascade.corpus.steps.near.local.MOST_LEADERS", 10)
    with caplog.at_level("INFO", logger=leaders.__name__):
        assert found([*texts, texts[399] + " end"]).keys() == {400}
    assert "unlike texts" in caplog.text
    assert MOST_LEADERS >= 50


def test_chunks_threads_and_a_file_change_nothing(tmp_path: Path) -> None:
    draw = random.Random(3)
    texts = real_files(40)
    texts += [edited(text, 0.05, draw) for text in texts]
    whole = remove_near_duplicates([pa.array(texts)])
    assert whole.num_rows > 20
    pieces = (pa.array(texts[start : start + 7], pa.large_string()) for start in range(0, len(texts), 7))
    assert remove_near_duplicates(pieces, workers=3, folder=tmp_path).equals(whole)
    assert list(tmp_path.iterdir()) == []


def test_texts_without_words_are_nobodys_duplicates(tmp_path: Path) -> None:
    assert found(["", "", "{}", "{}", "\0", " "]) == {}
    assert remove_near_duplicates([pa.array([""])], folder=tmp_path).num_rows == 0
    assert remove_near_duplicates([]).schema.names == ["removed", "kept", "similarity"]


def test_what_is_asked_wrongly() -> None:
    for threshold in (0, -1, 1.5, float("nan")):
        with pytest.raises(UserError, match="more than 0 and at most 1"):
            found(["a"], threshold=threshold)
    with pytest.raises(ValueError, match="2 ranks of 1 texts"):
        found(["a"], [1, 2])
    with pytest.raises(TypeError, match="must be strings"):
        remove_near_duplicates([pa.array([1])])
