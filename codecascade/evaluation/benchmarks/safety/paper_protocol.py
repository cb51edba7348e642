"""What the paper says of the settings that its safety benchmarks share (section 4, appendix I)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codecascade.evaluation.benchmark_settings import BenchmarkSettings
from codecascade.evaluation.judges.settings import JUDGE_SETTINGS
from codecascade.evaluation.statements import (
    UNASKED_ARE_LEFT_OUT,
    BenchmarkProtocol,
    Facts,
    Statement,
    benchmark_protocol,
    chat_condition,
    compared_elsewhere,
    none_in_paper,
)


def safety_protocol(
    kind: type[BenchmarkSettings], settings: Mapping[str, Statement], *, judge: str, chat: str
) -> BenchmarkProtocol:
    """The protocol of a benchmark whose answers are judged.

    Args:
        judge: the paper's judge. A run with the same one says its name in ``judge``.
        chat: a sentence for answers that were asked in the chat format.
    """

    def other_judge(value: Any, facts: Facts) -> str:
        return (
            ""
            if value and judge.lower() in str(value).lower()
            else f"judged by {value}; the paper's judge is {judge}"
        )

    by = dict.fromkeys(sorted(JUDGE_SETTINGS), compared_elsewhere("the judge itself is compared"))
    conditions = {
        "judge": Statement(departs=other_judge),
        "unjudged": none_in_paper("answers could not be judged and are in no figure"),
        "unasked": UNASKED_ARE_LEFT_OUT,
        **chat_condition(False, chat),
    }
    return benchmark_protocol(kind, {**by, **settings}, conditions)
