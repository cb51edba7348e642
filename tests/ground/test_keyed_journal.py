"""Entries of a journal are found by their keys: what was kept is found again, and nothing else is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from codecascade.ground.errors import UserError
from codecascade.ground.files.keyed_journal import KeyedJournal, digest_of

HEADER = {"format": 1, "settings": {"seed": 0, "questions": 5}}


def filled(path: Path, count: int = 3) -> Path:
    with KeyedJournal(path, HEADER) as journal:
        for number in range(count):
            journal.keep(f"tests/{number}", "d", {"text": f"ä\udce4\x00 {number}\n"})
    return path


def test_entries_are_found_by_key_and_digest(tmp_path: Path) -> None:
    with KeyedJournal(filled(tmp_path / "j"), HEADER) as journal:
        assert len(journal) == 3
        assert journal.find("tests/1", "d") == {"text": "ä\udce4\x00 1\n"}
        assert journal.find("tests/1", "e") is None, "it was made from something else"
        assert journal.find("tests/9", "d") is None
        journal.keep("tests/1", "e", {"text": "new"})
        assert journal.find("tests/1", "e") == {"text": "new"}
        assert journal.find("tests/1", "d") is None
    with KeyedJournal(tmp_path / "j", HEADER) as journal:
        assert journal.find("tests/1", "e") == {"text": "new"}


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_torn_last_line_is_dropped(tmp_path: Path, cut: int) -> None:
    path = filled(tmp_path / "j")
    lines = path.read_bytes().splitlines(keepends=True)
    # The last line tells for how long the journal was open.
    path.write_bytes(b"".join(lines[:-1])[:-cut])
    with KeyedJournal(path, HEADER) as journal:
        assert journal.find("tests/1", "d") is not None
        assert journal.find("tests/2", "d") is None
        journal.keep("tests/2", "d", {"text": "again"})
    with KeyedJournal(path, HEADER) as journal:
        assert journal.find("tests/2", "d") == {"text": "again"}


def test_a_damaged_line_is_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = filled(tmp_path / "j")
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"d"', b'"x"')
    path.write_bytes(b"".join(lines))
    with KeyedJournal(path, HEADER) as journal:
        assert journal.find("tests/1", "d") is None
        assert journal.find("tests/1", "x") is None
        assert journal.find("tests/2", "d") is not None
    assert "1 damaged lines are skipped" in caplog.text


def test_another_header_is_refused_with_what_differs(tmp_path: Path) -> None:
    path = filled(tmp_path / "j")
    other = {"format": 1, "settings": {"seed": 7, "questions": 9}}
    with pytest.raises(UserError, match=r"other settings \(settings.seed 0, now 7\)"):
        KeyedJournal(path, other, free=frozenset({"questions"}))
    with KeyedJournal(
        path, {**HEADER, "settings": {"seed": 0, "questions": 9}}, free=frozenset({"questions"})
    ) as journal:
        assert len(journal) == 3


def test_a_header_that_was_cut_off_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"header": {"for')
    with KeyedJournal(path, HEADER) as journal:
        assert len(journal) == 0
    path.write_bytes(b'{"header": broken}\n')
    with pytest.raises(UserError, match="first line is damaged"):
        KeyedJournal(path, HEADER)


def test_time_is_counted_over_all_starts(tmp_path: Path) -> None:
    path = filled(tmp_path / "j")
    for _ in range(2):
        with KeyedJournal(path, HEADER):
            time.sleep(0.02)
    with KeyedJournal(path, HEADER) as journal:
        assert journal.seconds >= 0.04


def test_a_digest_depends_on_all_parts() -> None:
    assert digest_of("a", {"b": 1, "c": 2}) == digest_of("a", {"c": 2, "b": 1})
    assert digest_of("a", ["b"]) != digest_of(["a"], "b")
