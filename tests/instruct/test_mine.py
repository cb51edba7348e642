"""Mining: only what passes is kept, stops change nothing, and licences are heeded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from codecascade.corpus.build import build_corpus
from codecascade.corpus.corpus import Corpus
from codecascade.corpus.settings import CorpusSettings
from codecascade.ground.errors import RunFailed
from codecascade.instruct import mine as mine_module
from codecascade.instruct.dialogues import read_dialogues
from codecascade.instruct.mine import mine_dialogues
from codecascade.sandbox.check import best_confinement
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.sandbox import Sandbox


def function(number: int, result: str | None = None) -> str:
    return f'''
def add_{number}(value):
    """Add the number {number} to a value that is given.

    >>> add_{number}(1)
    {number + 1 if result is None else result}
    """
    return value + {number}
'''


class FakeSandbox:
    """Calls a program wrong if it holds ``wrong``; counts, and may stop in the middle."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.ran = 0
        self.stop_after = stop_after

    def run_many(self, programs: Iterable[str], **limits: Any) -> Iterator[Outcome]:
        for program in programs:
            if self.ran == self.stop_after:
                raise KeyboardInterrupt
            self.ran += 1
            yield Outcome("failed" if "wrong" in program else "passed")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("mine")
    rows = [
        {"repository": f"r{n // 10}", "path": f"m{n}.py", "license": "MIT", "text": function(n)}
        for n in range(60)
    ]
    rows += [
        {"repository": "bad", "path": "w.py", "license": "MIT", "text": function(1000, "'wrong'")},
        {"repository": "gpl", "path": "g.py", "license": "GPL-3.0", "text": function(2000)},
        {"repository": "copy", "path": "c.py", "license": "MIT", "text": function(7) + "\nx = 1\n"},
        {"repository": "broken", "path": "b.py", "license": "MIT", "text": "def f(:\n    >>> f()\n"},
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    build_corpus([str(folder / "rows.jsonl")], folder / "corpus", CorpusSettings(heldout_share=0))
    return Corpus.open(folder / "corpus")


def mine(corpus: Corpus, sandbox: Any, out: Path, **options: Any) -> list[dict[str, Any]]:
    mined = mine_dialogues(corpus, sandbox, out, **options)
    rows = [json.loads(line) for line in mined.path.read_text().splitlines()]
    assert mined.dialogues == len(rows)
    return rows


def test_what_passes_becomes_a_dialogue_with_its_origin(corpus: Corpus, tmp_path: Path) -> None:
    rows = mine(corpus, FakeSandbox(), tmp_path)
    names = [row["function"] for row in rows]
    assert sorted(names) == sorted(f"add_{n}" for n in range(60)), "none wrong, none of GPL, each once"
    row = next(row for row in rows if row["function"] == "add_5")
    assert (row["path"], row["repository"], row["license"]) == ("m5.py", "r0", "MIT")
    user, assistant = row["messages"]
    assert "add_5" in user["content"] and "Add the number 5" in user["content"]
    assert assistant["content"] == (
        '```python\ndef add_5(value):\n    """Add the number 5 to a value that is given."""\n'
        "    return value + 5\n```"
    )
    assert len(read_dialogues(tmp_path / "dialogues.jsonl")) == 60


def test_stopped_and_run_again_is_the_same_as_never_stopped(corpus: Corpus, tmp_path: Path) -> None:
    mine(corpus, FakeSandbox(), tmp_path / "whole", limit=50)
    with pytest.raises(KeyboardInterrupt):
        mine(corpus, FakeSandbox(stop_after=40), tmp_path / "parts", limit=50)
    assert not (tmp_path / "parts/dialogues.jsonl").exists()
    with open(tmp_path / "parts/verdicts.jsonl", "a") as journal:
        journal.write('{"program": "cut o')
    second = FakeSandbox()
    assert len(mine(corpus, second, tmp_path / "parts", limit=50)) == 50
    assert second.ran <= 24, "the 40 verdicts from before the stop are known"
    whole, parts = (tmp_path / name / "dialogues.jsonl" for name in ("whole", "parts"))
    assert whole.read_bytes() == parts.read_bytes()


def test_a_finished_mining_does_nothing_and_another_question_something(
    corpus: Corpus, tmp_path: Path
) -> None:
    first = mine(corpus, FakeSandbox(), tmp_path, limit=10)
    idle = FakeSandbox()
    assert mine(corpus, idle, tmp_path, limit=10) == first and idle.ran == 0
    other = mine(corpus, FakeSandbox(), tmp_path, limit=10, seed=1)
    assert {row["function"] for row in other} != {row["function"] for row in first}


def test_what_could_not_be_run_is_tried_again(corpus: Corpus, tmp_path: Path) -> None:
    class Broken(FakeSandbox):
        def run_many(self, programs: Iterable[str], **limits: Any) -> Iterator[Outcome]:
            return (Outcome("not_started") for _ in programs)

    with pytest.raises(RunFailed, match="61 of 61 functions could not be run"):
        mine(corpus, Broken(), tmp_path)
    assert not (tmp_path / "dialogues.jsonl").exists(), "a stage would be trained on what is left"
    assert len(mine(corpus, FakeSandbox(), tmp_path)) == 60


def test_in_the_sandbox(corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mine_module, "_AT_ONCE", 4)
    mode = "strict" if best_confinement() != "none" else "weak"
    rows = mine(corpus, Sandbox(mode, workers=1), tmp_path, limit=3)
    assert len(rows) == 3 and "add_1000" not in {row["function"] for row in rows}
