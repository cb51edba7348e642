"""What is done is never done again, whenever and however the process ended."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import counting_run
import pytest
from hypothesis import given
from hypothesis import strategies as st
from warm_process import WarmProcess

from codecascade.evaluation.running.execution import Execution, verdict_on
from codecascade.evaluation.running.journal import Journal
from codecascade.evaluation.task import Task, TextPrompt
from codecascade.ground.errors import RunFailed, UserError
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Program

SCRIPT = Path(counting_run.__file__)


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples" / "humaneval.jsonl").read_text().splitlines()]


def metrics(folder: Path) -> Any:
    return json.loads((folder / "humaneval.json").read_text())["metrics"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a run comes to that nobody stopped; ``data.jsonl`` is what it measured by."""
    folder = tmp_path_factory.mktemp("undisturbed")
    data = folder / "HumanEval.jsonl"
    problems = [
        {
            "task_id": f"HumanEval/{number}",
            "prompt": f"def add_{number}(a):\n",
            "entry_point": f"add_{number}",
            "canonical_solution": f"    return a + {number}\n",
            "test": "",
        }
        for number in range(8)
    ]
    write_jsonl(data, problems)
    counting_run.measure(folder, folder / "log", data)
    return folder


def test_rows_are_in_the_order_of_tasks_and_samples(undisturbed: Path) -> None:
    found = rows(undisturbed)
    assert [(row["task_id"], row["sample"]) for row in found] == [
        (f"HumanEval/{task}", sample) for task in range(8) for sample in range(5)
    ]
    assert [row["passed"] for row in found] == [task == sample for task in range(8) for sample in range(5)]
    assert metrics(undisturbed)["pass@1"]["value"] == pytest.approx(5 / 40)
    seeds = {row["completion"].split("# ")[1] for row in found}
    assert len(seeds) == 8, "each problem has a seed of its own"
    assert not (undisturbed / "unfinished").exists()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_run_goes_on_and_repeats_nothing(undisturbed: Path, tmp_path: Path, how: int) -> None:
    data, log = undisturbed / "HumanEval.jsonl", tmp_path / "log"
    # Killed twice, the second time among the rest.
    for lines in (9, 30):
        with WarmProcess(SCRIPT, [tmp_path / "run", log, data, lines], tmp_path / "streams") as process:
            _wait(lambda lines=lines: log.exists() and log.read_text().count("\n") >= lines)
            process.send_signal(how)
            assert process.wait() != 0
    assert not (tmp_path / "run" / "samples").exists(), "a samples file is whole or absent"
    counting_run.measure(tmp_path / "run", log, data)
    count = Counter(log.read_text().split("\n")[:-1])
    answered = {line: times for line, times in count.items() if line.startswith("answered")}
    ran = {line: times for line, times in count.items() if line.startswith("ran")}
    assert len(answered) == len(ran) == 40
    # What was written to the log and not yet to the journal at the very moment of a kill is done again.
    assert sum(answered.values()) <= 42 and sum(ran.values()) <= 42
    assert rows(tmp_path / "run") == rows(undisturbed)
    assert metrics(tmp_path / "run") == metrics(undisturbed)


def _wait(happened: Any) -> None:
    deadline = time.monotonic() + 300
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"temperature": 0.2}, r"temperature 0\.8, now 0\.2"),
        ({"limit": 3}, "limit null, now 3"),
        ({"seed": 7}, "seed 0, now 7"),
    ],
)
def test_runs_are_not_mixed(undisturbed: Path, changed: dict[str, Any], what: str) -> None:
    data = undisturbed / "HumanEval.jsonl"
    with pytest.raises(UserError, match=rf"humaneval\.json: was begun with other settings \(.*{what}"):
        counting_run.measure(undisturbed, undisturbed / "log", data, **changed)


def test_other_data_is_distinguished_from_the_first(undisturbed: Path, tmp_path: Path) -> None:
    other = tmp_path / "HumanEval.jsonl"
    other.write_text((undisturbed / "HumanEval.jsonl").read_text().replace("add_7", "plus_7"))
    with pytest.raises(UserError, match="was begun with other settings \\(data"):
        counting_run.measure(undisturbed, tmp_path / "log", other)


# ---- the journal


HEADER = {"model": "m", "seed": 0}


def filled(path: Path) -> None:
    with Journal(path, 3, HEADER) as journal:
        journal.answer(2, {"completion": "é\n\ud800"})
        journal.verdict(2, {"passed": True})
        journal.answer(0, {"completion": ""})


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_last_line_is_cut_off(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "journal.jsonl"
    filled(path)
    lines = path.read_bytes().splitlines(keepends=True)
    assert b"seconds" in lines[-1]
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:-cut])
    with Journal(path, 3, HEADER) as journal:
        assert (journal.answered, journal.judged) == (1, 1)
        assert list(journal.unanswered()) == [0, 1] and list(journal.unjudged()) == []
        assert journal.answer_at(2) == {"completion": "é\n\ud800"}
        journal.answer(0, {"completion": "again"})
    with Journal(path, 3, HEADER) as journal:
        assert journal.answer_at(0) == {"completion": "again"} and list(journal.unjudged()) == [0]


@given(st.integers(0, 400))
def test_a_journal_cut_anywhere_opens_and_can_be_filled(tmp_path_factory: Any, cut: int) -> None:
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    filled(path)
    path.write_bytes(path.read_bytes()[:cut])
    with Journal(path, 3, HEADER) as journal:
        for place in list(journal.unanswered()):
            journal.answer(place, {"completion": str(place)})
        for place in list(journal.unjudged()):
            journal.verdict(place, {"passed": False})
        assert (journal.answered, journal.judged) == (3, 3)
        assert journal.answer_at(1) == {"completion": "1"}


def test_a_journal_of_something_else_is_refused_or_begun_anew(tmp_path: Path) -> None:
    filled(tmp_path / "journal.jsonl")
    with pytest.raises(UserError, match=r'model "m", now "other"; precision null, now "bf16"'):
        Journal(tmp_path / "journal.jsonl", 3, {"model": "other", "seed": 0, "precision": "bf16"})
    with Journal(tmp_path / "journal.jsonl", 3, {**HEADER, "seed": 1}, again=True) as journal:
        assert journal.answered == 0


# ---- execution


def task(**changed: Any) -> Task:
    return Task("t", TextPrompt(""), 1, **{"programs": lambda text: [Program(text)], **changed})


class Recording:
    """A sandbox that holds back up to three outcomes, as a pool of workers may."""

    def __init__(self) -> None:
        self.sources: list[str] = []

    def run_many(self, programs: Iterable[Program]) -> Iterator[Outcome]:
        held = []
        for program in programs:
            self.sources.append(program.source)
            if program.source == "raise":
                raise RunFailed("the sandbox broke")
            held.append(Outcome("passed" if program.source == "good" else "failed", program.source))
            if len(held) > 3:
                yield held.pop(0)
        yield from held


def run(*completions: str, of: Task | None = None) -> tuple[dict[int, Any], Recording]:
    kept: dict[int, Any] = {}
    sandbox = Recording()
    with Execution(sandbox, kept.__setitem__) as execution:
        for place, completion in enumerate(completions):
            execution.add(place, of or the_task, completion)
    return kept, sandbox


the_task = task()


def test_the_same_completion_of_a_task_is_run_once() -> None:
    kept, sandbox = run("good", "bad", "good", "bad", "good", "worse")
    assert [kept[place]["passed"] for place in range(6)] == [True, False, True, False, True, False]
    assert sandbox.sources == ["good", "bad", "worse"]
    assert kept[5] == {"passed": False, "outcome": "failed", "detail": "worse"}


def test_all_programs_of_a_completion_must_pass_and_a_judge_may_say_more() -> None:
    several = task(
        programs=lambda text: [Program(each) for each in text.split()],
        judge=lambda text, outcomes: {"share": sum(each.passed for each in outcomes), "size": len(text)},
    )
    kept, _ = run("good good", "good bad good", "", of=several)
    assert kept[0] == {"passed": True, "outcome": "passed", "detail": "good", "share": 2, "size": 9}
    assert kept[1] == {"passed": False, "outcome": "failed", "detail": "bad", "share": 2, "size": 13}
    assert kept[2] == {"share": 0, "size": 0}
    assert verdict_on(task(programs=None), "text", []) == {}


def test_verdicts_come_while_more_is_generated() -> None:
    """A sandbox that holds outcomes back is emptied when nothing new comes for a moment."""
    came = threading.Event()
    with Execution(Recording(), lambda place, verdict: came.set()) as execution:
        execution.add(0, the_task, "good")
        assert came.wait(120)


def test_a_broken_sandbox_ends_the_run_and_hangs_nobody() -> None:
    with pytest.raises(RunFailed, match="the sandbox broke"):
        run("raise", *(f"x{number}" for number in range(2000)))
    with pytest.raises(UserError, match="needs a sandbox"), Execution(None, print) as execution:
        execution.add(0, the_task, "good")


def test_after_a_stop_only_what_runs_is_waited_for() -> None:
    class Waiting(Recording):
        def run_many(self, programs: Iterable[Program]) -> Iterator[Outcome]:
            for program in programs:
                self.sources.append(program.source)
                started.set()
                assert go_on.wait(120)
                yield Outcome("passed")

    started, go_on, sandbox, kept = threading.Event(), threading.Event(), Waiting(), {}
    with pytest.raises(KeyboardInterrupt), Execution(sandbox, kept.__setitem__) as execution:
        for place in range(100):
            execution.add(place, the_task, f"x{place}")
        assert started.wait(120)

        def let_go() -> None:
            while not execution._stopped:
                time.sleep(0.001)
            go_on.set()

        # It is let go when the stop is on its way.
        threading.Thread(target=let_go, daemon=True).start()
        raise KeyboardInterrupt
    assert sandbox.sources == ["x0"] and list(kept) == [0]
