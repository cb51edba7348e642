"""How far a run is, and what of it took no time."""

from __future__ import annotations

from codecascade.instruct.self_instruct.progress import QuestionMeter, SelfInstructProgress


def test_questions_from_known_answers_count_for_no_rate() -> None:
    told: list[SelfInstructProgress] = []
    read_and_known = [(0, 0)]
    meter = QuestionMeter(told.append, 600, lambda: read_and_known[-1])
    for answers, found in (((8, 8), 40), ((16, 16), 80), ((17, 16), 80), ((24, 16), 97), ((32, 16), 120)):
        read_and_known.append(answers)
        meter.update(found, 600)
    assert [(each.done, each.skipped) for each in told] == [
        (0, 0),
        (40, 40),
        (80, 80),
        (80, 80),
        (97, 80),
        (120, 80),
    ]
