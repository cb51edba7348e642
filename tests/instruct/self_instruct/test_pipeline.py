"""The whole of self-instruct: the funnel, what is asked and shown, stops at any moment, hostile answers."""

from __future__ import annotations

import json
import signal
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import scripted_teacher
from scripted_teacher import InstantSandbox, ScriptedTeacher, adds, asked_about, questions, run
from warm_process import WarmProcess

from codecascade.generation.backend import ChatPrompt, TextCompletion, TextPrompt, TextRequest
from codecascade.ground.errors import RunFailed, UserError
from codecascade.instruct.dialogues import read_dialogues
from codecascade.instruct.self_instruct.pipeline import read_summary
from codecascade.sandbox.sandbox import Sandbox

FILES = ("dialogues.jsonl", "triplets.jsonl", "questions.jsonl")
SMALL: dict[str, Any] = {"solutions": 4, "group": 5, "least_tests": 2}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, ScriptedTeacher]:
    teacher = ScriptedTeacher(adds)
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    run(folder, teacher, questions(12), **SMALL)
    return folder, teacher


def test_the_funnel(undisturbed: tuple[Path, ScriptedTeacher]) -> None:
    summary = read_summary(undisturbed[0])
    # Of 12 questions 4 and 9 have no tests; 3, 7 and 11 have no right solution.
    assert dict(summary.funnel) == {
        "prompts": 0,
        "parsed": 12,
        "questions": 12,
        "with_tests": 10,
        "with_solutions": 10,
        "kept": 7,
    }
    assert dict(summary.reasons) == {"none_passed": 3, "no_tests": 2}
    assert summary.topics == {"numbers": [6, 5], "texts": [6, 2]}
    # Tests are asked for again where there were none: 10 + 2 * 2 prompts, and 10 for solutions.
    assert summary.costs["answers"]["prompts"] == 24
    assert summary.costs["answers"]["answers"] == 14 + 40


def test_dialogues_are_what_passed(undisturbed: tuple[Path, ScriptedTeacher]) -> None:
    found = rows(undisturbed[0] / "dialogues.jsonl")
    assert [row["id"] for row in found] == ["q0", "q1", "q2", "q5", "q6", "q8", "q10"]
    for row in found:
        user, assistant = (message["content"] for message in row["messages"])
        assert f"add_{row['id'][1:]}" in user, "the name of the function is said"
        assert "print" not in assistant and "[PYTHON]" not in assistant
        assert assistant.startswith("```python\ndef add_") and assistant.endswith("\n```")
    assert {("```" in row["messages"][0]["content"]) for row in found} == {True, False}, (
        "tests are stated in some"
    )
    assert len(read_dialogues(undisturbed[0] / "dialogues.jsonl")) == 7


def test_triplets_have_every_verdict(undisturbed: tuple[Path, ScriptedTeacher]) -> None:
    found = {row["id"]: row for row in rows(undisturbed[0] / "triplets.jsonl")}
    assert len(found) == 12
    kept, lost, without = found["q1"], found["q3"], found["q4"]
    assert (kept["kept"], kept["chosen"], len(kept["tests"])) == (True, 2, 5)
    assert kept["solutions"][0]["problem"] == "the answer holds no Python program"
    assert kept["solutions"][1]["verdicts"] == ["passed", *["failed"] * 4], "it fits one test only"
    assert kept["solutions"][2]["verdicts"] == ["passed"] * 5
    assert lost["reason"] == "none_passed" and "passed 1 of 5" in lost["detail"]
    assert without["detail"] == "0 usable, 2 needed; the last answer begins: I can't think of any."
    assert without["reason"] == "no_tests" and without["tests"] == [] and without["solutions"] == []


def test_the_teacher_sees_one_test_and_the_samples_share_a_prompt(
    undisturbed: tuple[Path, ScriptedTeacher],
) -> None:
    shown = set()
    for request in undisturbed[1].requests:
        step, question = asked_about(request)
        assert isinstance(request.prompt, ChatPrompt)
        text = request.prompt.messages[-1].content
        if step == "solutions":
            assert request.numbers == (0, 1, 2, 3)
            assert text.count("assert ") == 1
            assert request.prompt.prefill == "[PYTHON]\n"
            shown.add(text.partition("(")[2].partition(")")[0])
        else:
            assert text == f"Problem: {question}"
            assert request.prompt.prefill == "[TESTS]\n"
    assert len(shown) >= 3, "which test is shown is drawn for each question"
    seeds = Counter(request.sampling.seed for request in undisturbed[1].requests)
    assert set(seeds.values()) == {1}


class Shuffled(ScriptedTeacher):
    """Hands its answers over in another order, as a batch does."""

    def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
        return reversed(list(super().complete(requests)))


def test_batches_and_groups_change_nothing(undisturbed: tuple[Path, ScriptedTeacher], tmp_path: Path) -> None:
    run(tmp_path / "run", Shuffled(adds), questions(12), **{**SMALL, "group": 12})
    assert contents(tmp_path / "run") == contents(undisturbed[0])


def test_a_finished_folder_is_left_and_a_larger_number_continues(
    undisturbed: tuple[Path, ScriptedTeacher], tmp_path: Path
) -> None:
    teacher = ScriptedTeacher(adds)
    sandbox = InstantSandbox()
    run(tmp_path / "run", teacher, questions(6), sandbox, questions=6, **SMALL)
    asked, ran = len(teacher.requests), len(sandbox.programs)
    run(tmp_path / "run", teacher, questions(6), sandbox, questions=6, **SMALL)
    assert (len(teacher.requests), len(sandbox.programs)) == (asked, ran)
    run(tmp_path / "run", teacher, questions(12), sandbox, questions=12, **SMALL)
    assert contents(tmp_path / "run") == contents(undisturbed[0])
    assert len(teacher.requests) == len(undisturbed[1].requests), "nothing is asked twice"


def test_more_solutions_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(adds)
    run(tmp_path / "run", teacher, questions(2), **SMALL)
    asked = len(teacher.requests)
    run(tmp_path / "run", teacher, questions(2), **{**SMALL, "solutions": 6})
    assert [request.numbers for request in teacher.requests[asked:]] == [(4, 5), (4, 5)]
    found = rows(tmp_path / "run" / "triplets.jsonl")
    assert [solution["number"] for solution in found[0]["solutions"]] == list(range(6))


def test_another_way_of_choosing_asks_nothing_again(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(adds)
    first = run(tmp_path / "run", teacher, questions(12), **SMALL)
    asked = len(teacher.requests)
    agreement = run(
        tmp_path / "run", teacher, questions(12), select="agreement", agreement_solutions=1, **SMALL
    )
    assert len(teacher.requests) == asked
    # Both ways are in each summary; agreement of one solution keeps what passes some tests, too.
    assert first.options["kept_by_first_passing"] == first.dialogues == 7
    assert agreement.options["kept_by_agreement"] == agreement.dialogues > 0
    assert agreement.options["kept_by_first_passing"] == 7


def test_other_settings_are_refused(tmp_path: Path) -> None:
    run(tmp_path / "run", ScriptedTeacher(adds), questions(2), **SMALL)
    with pytest.raises(UserError, match=r"other settings \(settings.seed 0, now 1\)"):
        run(tmp_path / "run", ScriptedTeacher(adds), questions(2), seed=1, **SMALL)
    with pytest.raises(UserError, match=r"answers_by\.name"):
        run(tmp_path / "run", ScriptedTeacher(adds, name="other"), questions(2), **SMALL)


def test_kill_nine_at_any_moment_changes_nothing(tmp_path: Path) -> None:
    stops = (4, 30)
    calm, log = tmp_path / "calm", tmp_path / "log"
    with Sandbox("weak", workers=2) as sandbox:
        run(calm, ScriptedTeacher(adds), questions(12), sandbox, **SMALL)

    def process(lines: int) -> WarmProcess:
        """It stands still at so many lines."""
        arguments = [tmp_path / "run", log, 0.002, lines]
        return WarmProcess(scripted_teacher.__file__, arguments, tmp_path / "streams")

    for lines in stops:
        with process(lines) as killed:
            limit = time.monotonic() + 300
            while killed.poll() is None and (not log.exists() or log.read_text().count("\n") < lines):
                assert time.monotonic() < limit
                time.sleep(0.005)
            killed.send_signal(signal.SIGKILL)
            assert killed.wait() == -signal.SIGKILL, killed.stderr
        assert not any((tmp_path / "run" / name).exists() for name in FILES), "nothing is half-written"
    with process(1_000_000) as last:
        assert last.wait() == 0, last.stderr
    assert contents(tmp_path / "run") == contents(calm)
    asked = Counter(log.read_text().splitlines())
    repeated = {line: count for line, count in asked.items() if count > 1}
    # An answer that was on its way when the process died may come again; no other does.
    assert len(repeated) <= len(stops) and set(repeated.values()) <= {2}
    assert not list((tmp_path / "run").glob(".*.????????"))


def nonsense(step: str, question: str, sample: int) -> str:
    return "I am sorry, but as a model I can't."


def test_a_teacher_that_answers_nothing_usable_ends_after_a_bounded_number_of_tries(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(nonsense)
    summary = run(tmp_path / "run", teacher, questions(50), group=4, give_up=10)
    assert summary.dialogues == 0 and summary.funnel["questions"] == 12
    assert len(teacher.requests) == 24
    assert "The first 12 of 50 questions brought nothing" in summary.notes[0]
    with pytest.raises(
        RunFailed, match=r"no dialogue was kept \(.*questions 12, with tests 0.*no usable tests"
    ):
        summary.require_dialogues()
    assert (tmp_path / "run" / "dialogues.jsonl").read_bytes() == b""


def test_a_teacher_that_fails_is_continued_at_the_next_start(tmp_path: Path) -> None:
    class Failing(ScriptedTeacher):
        left = 15

        def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
            for completion in super().complete(requests):
                self.left -= 1
                if self.left < 0:
                    raise RunFailed("gave no answer in 6 attempts")
                yield completion

    with pytest.raises(RunFailed, match="no answer"):
        run(tmp_path / "run", Failing(adds), questions(6), **SMALL)
    assert not (tmp_path / "run" / "dialogues.jsonl").exists()
    teacher = ScriptedTeacher(adds)
    run(tmp_path / "run", teacher, questions(6), **SMALL)
    calm = ScriptedTeacher(adds)
    run(tmp_path / "calm", calm, questions(6), **SMALL)
    assert contents(tmp_path / "run") == contents(tmp_path / "calm")
    samples = [sum(len(request.numbers) for request in each.requests) for each in (teacher, calm)]
    assert samples[0] == samples[1] - 15


def hostile(step: str, question: str, sample: int) -> str:
    n = scripted_teacher.number_in(question)
    tests = [
        "assert f(1) == 2\n" * 600_000,
        "\x00\x1b[2J\udcff",
        "assert f('[/TESTS]') == '[/TESTS]!'\nassert f('a\\'\"') == 'a\\'\"!'\nassert f('') == '!'\n[/TESTS]",
        "import os\nassert os.system('touch /tmp/broken') == 0\nassert f(__import__('os')) == 1\nexit(0)",
        "assert f(" + "(" * 3000,
        "assert True\nassert 1 == 1\n" + "assert f(9) == f(9)\nassert f(1) == f(1)\n",
    ]
    if step == "tests":
        return tests[n % len(tests)]
    return [
        "def f(x):\n    return x + '!'\n",
        "import sys\nsys.exit(0)\ndef f(x):\n    return x\n",
        "def f(x):\n    while True: pass\n",
        "x" * 10_000_000,
    ][sample]


def test_hostile_answers(tmp_path: Path) -> None:
    with Sandbox("weak", workers=2) as sandbox:
        summary = run(
            tmp_path / "run",
            ScriptedTeacher(hostile),
            questions(6),
            sandbox,
            cpu_seconds=0.5,
            test_attempts=1,
            **SMALL,
        )
    found = rows(tmp_path / "run" / "triplets.jsonl")
    assert [row["reason"] for row in found] == [
        "no_tests",
        "no_tests",
        None,
        "no_tests",
        "no_tests",
        "vacuous_tests",
    ]
    kept = found[2]
    assert kept["tests"] == [
        "assert f('[/TESTS]') == '[/TESTS]!'",
        "assert f('a\\'\"') == 'a\\'\"!'",
        "assert f('') == '!'",
    ]
    assert kept["chosen"] == 0
    assert [solution["verdicts"][0] if solution["verdicts"] else None for solution in kept["solutions"]] == [
        "passed",
        "failed",
        "timed_out",
        None,
    ]
    assert summary.solutions["timed_out"] == 1
    assert (tmp_path / "run" / "journal.jsonl").stat().st_size < 2_000_000, "long answers are cut"


def test_a_base_model_continues_a_text(tmp_path: Path) -> None:
    teacher = ScriptedTeacher(adds, is_chat=False)
    summary = run(tmp_path / "run", teacher, questions(3), **SMALL)
    assert summary.dialogues == 3
    prompts = [request.prompt for request in teacher.requests]
    assert all(isinstance(prompt, TextPrompt) for prompt in prompts)
    with pytest.raises(UserError, match="has no chat format"):
        run(tmp_path / "other", teacher, questions(3), form="chat", **SMALL)


def test_files_of_another_run_never_count_as_finished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from codecascade.instruct.self_instruct import pipeline

    run(tmp_path / "run", ScriptedTeacher(adds), questions(2), questions=2, **SMALL)
    small = contents(tmp_path / "run")

    def full(*arguments: object) -> None:
        raise UserError("the disk is full")

    with monkeypatch.context() as patched, pytest.raises(UserError, match="full"):
        patched.setattr(pipeline, "write_json", full)
        run(tmp_path / "run", ScriptedTeacher(adds), questions(6), questions=6, **SMALL)
    run(tmp_path / "run", ScriptedTeacher(adds), questions(2), questions=2, **SMALL)
    assert contents(tmp_path / "run") == small
