"""The file of a journal: what was added is read again, and nothing of a torn or damaged line is."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from codecascade.ground.files.journal_file import JournalFile
from codecascade.ground.files.json_lines import checked_line, read_checked_line


def filled(path: Path, count: int) -> list[int]:
    """A finished journal with so many entries; their positions."""
    file = JournalFile(path, 60)
    file.begin(b'{"header": 1}\n')
    positions = [file.add({"number": number}) for number in range(count)]
    file.close()
    return positions


def reopened(path: Path) -> tuple[JournalFile, list[tuple[int, object]]]:
    file = JournalFile(path, 60)
    assert file.header_line() == b'{"header": 1}\n'
    return file, list(file.lines())


def test_lines_are_read_again_with_their_positions(tmp_path: Path) -> None:
    positions = filled(tmp_path / "folder" / "j", 3)
    file, found = reopened(tmp_path / "folder" / "j")
    assert found == [(position, {"number": number}) for number, position in enumerate(positions)]
    added = file.add({"number": 3})
    assert read_checked_line(file.line_at(positions[1])) == {"number": 1}
    assert read_checked_line(file.line_at(added)) == {"number": 3}
    file.close()
    file.close()


def test_a_torn_line_is_cut_off_and_a_damaged_one_told(tmp_path: Path) -> None:
    positions = filled(tmp_path / "j", 3)
    data = bytearray((tmp_path / "j").read_bytes()[: positions[2] + 5])
    data[positions[0] + 3] ^= 1
    (tmp_path / "j").write_bytes(data)
    file, found = reopened(tmp_path / "j")
    assert found == [(positions[0], None), (positions[1], {"number": 1})]
    assert file.add({"number": 2}) == positions[2]
    file.abandon()
    assert reopened(tmp_path / "j")[1][-1] == (positions[2], {"number": 2})


def test_seconds_of_all_processes_are_added_up(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'{"header": 1}\n' + checked_line({"seconds": 10.0}) + checked_line({"seconds": 5.0}))
    file, found = reopened(path)
    assert found == []
    time.sleep(0.01)
    assert 15.0 < file.seconds < 25.0
    file.close()
    assert path.read_bytes().count(b'"seconds"') == 3
    assert reopened(path)[0].seconds > 15.0


def test_an_abandoned_file_stays_as_it_is(tmp_path: Path) -> None:
    filled(tmp_path / "j", 1)
    before = (tmp_path / "j").read_bytes()
    JournalFile(tmp_path / "j", 60).abandon()
    assert (tmp_path / "j").read_bytes() == before


def test_lines_of_several_threads_are_whole(tmp_path: Path) -> None:
    file = JournalFile(tmp_path / "j", 0)
    file.begin(b'{"header": 1}\n')

    def work(first: int) -> None:
        for number in range(first, first + 50):
            position = file.add({"number": number})
            assert read_checked_line(file.line_at(position)) == {"number": number}

    threads = [threading.Thread(target=work, args=(first,)) for first in (0, 100, 200)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    file.close()
    numbers = [entry["number"] for _, entry in reopened(tmp_path / "j")[1] if isinstance(entry, dict)]
    assert sorted(numbers) == [first + number for first in (0, 100, 200) for number in range(50)]
