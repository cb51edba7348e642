"""A journal with flipped bytes gives no wrong sample: what is damaged is made again."""

from __future__ import annotations

import logging
import random
from pathlib import Path

import pytest

from codecascade.evaluation.running.journal import Journal
from codecascade.ground.errors import UserError

HEADER = {"model": "m", "seed": 0}
PLACES = 3


def filled(path: Path) -> bytes:
    path.unlink(missing_ok=True)
    with Journal(path, PLACES, HEADER) as journal:
        for place in range(PLACES):
            journal.answer(place, {"completion": f"answer {place} \u00e9"})
            journal.verdict(place, {"passed": bool(place % 2)})
    return path.read_bytes()


@pytest.mark.parametrize("seed", range(40))
def test_any_flipped_bit_costs_samples_and_changes_none(tmp_path: Path, seed: int) -> None:
    path = tmp_path / "journal.jsonl"
    content = bytearray(filled(path))
    draw = random.Random(seed)
    content[draw.randrange(content.index(b"\n") + 1, len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)
    # Opened, filled, and opened again.
    for _ in range(2):
        with Journal(path, PLACES, HEADER) as journal:
            for place in range(PLACES):
                if journal.has_answer(place):
                    assert journal.answer_at(place)["completion"] == f"answer {place} \u00e9"
                if journal.has_verdict(place):
                    assert journal.has_answer(place)
                    assert journal.verdict_at(place) == {"passed": bool(place % 2)}
            for place in list(journal.unanswered()):
                journal.answer(place, {"completion": f"answer {place} \u00e9"})
            for place in list(journal.unjudged()):
                journal.verdict(place, {"passed": bool(place % 2)})
            assert (journal.answered, journal.judged) == (PLACES, PLACES)


def test_a_verdict_does_not_outlive_its_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The sample is answered anew, and judged anew, though the old verdict is still in the file."""
    path = tmp_path / "journal.jsonl"
    content = filled(path).replace(b"answer 1", b"answer 9")
    path.write_bytes(content)
    with caplog.at_level(logging.WARNING), Journal(path, PLACES, HEADER) as journal:
        assert list(journal.unanswered()) == [1]
        assert not journal.has_verdict(1)
        journal.answer(1, {"completion": "another"})
    assert "1 damaged lines are passed over" in caplog.text
    with Journal(path, PLACES, HEADER) as journal:
        assert list(journal.unjudged()) == [1]


@pytest.mark.parametrize("first", [b"{ torn\n", b"[1]\n", b"\xff\xfe\n"])
def test_a_damaged_first_line_is_a_sentence(tmp_path: Path, first: bytes) -> None:
    path = tmp_path / "journal.jsonl"
    content = filled(path)
    path.write_bytes(first + content[content.index(b"\n") + 1 :])
    with pytest.raises(UserError, match="first line is damaged"):
        Journal(path, PLACES, HEADER)
    with Journal(path, PLACES, HEADER, again=True) as journal:
        assert journal.answered == 0
