"""Teachers that share a journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from question_teacher import ScriptedBackend

from codecascade.ground.files.keyed_journal import KeyedJournal
from codecascade.instruct.self_instruct.teacher import Teacher


@pytest.fixture
def taught(tmp_path: Path) -> Iterator[Callable[..., Teacher]]:
    """Makes a teacher of a backend; all of one test share a journal."""
    journals = []

    def make(backend: ScriptedBackend, *, chat: bool = True) -> Teacher:
        journals.append(KeyedJournal(tmp_path / "out" / "journal.jsonl", {}))
        return Teacher(backend, journals[-1], chat=chat)

    yield make
    for journal in journals:
        journal.close()
