"""How far a run is, and what of it took no time."""

from __future__ import annotations

from codecascade.instruct.self_instruct.progress import QuestionMeter, SelfInstructProgress


def new_questions(*steps: tuple[tuple[int, int], int | None]) -> list[tuple[int, int]]:
    """``(found, how many of them count as new)`` after each step: answers and known ones, and questions if any are
    taken."""
    told: list[SelfInstructProgress] = []
    read_and_known = [(0, 0)]
    meter = QuestionMeter(told.append, 600, lambda: read_and_known[-1])
    for answers, found in steps:
        read_and_known.append(answers)
        if found is None:
            meter.tick()
        else:
            meter.update(found, 600)
    return [(each.done, each.done - each.skipped) for each in told[1:]]


def test_questions_from_known_answers_count_for_no_rate() -> None:
    assert new_questions(
        ((8, 8), None), ((8, 8), 40), ((16, 8), None), ((16, 8), 80), ((20, 8), None), ((24, 8), 120)
    ) == [(0, 0), (40, 0), (40, 40), (80, 40), (80, 60), (120, 80)]


def test_questions_that_known_and_new_answers_brought_together() -> None:
    """Sixty of 64 answers were there when the run was stopped: the four others did not bring all the questions."""
    assert new_questions(((60, 60), None), ((64, 60), None), ((64, 60), 320)) == [(0, 0), (0, 0), (320, 20)]


def test_questions_of_a_file_take_no_time() -> None:
    assert new_questions(((0, 0), 50), ((0, 0), 51)) == [(50, 0), (51, 0)]
