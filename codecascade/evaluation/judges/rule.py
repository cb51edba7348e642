"""The judge ``rule``: the benchmark's own local rule."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar

from codecascade.evaluation.judges.judge import ExpectedSample, JudgedAnswer, Judgement, Judging
from codecascade.evaluation.judges.settings import JudgeSettings


class RuleJudge:
    """See :class:`~codecascade.evaluation.judges.judge.Judge`."""

    reads: ClassVar[frozenset[str]] = frozenset()

    def __init__(self, judging: Judging, settings: JudgeSettings) -> None:
        self._rule = judging.rule

    @property
    def label(self) -> str:
        return f"a local rule ({self._rule.label})"

    def identity(self) -> dict[str, str]:
        return {"judge": self.label}

    def check(self) -> None:
        self._rule.check()

    def expect(self, samples: Iterable[ExpectedSample], known: frozenset[str]) -> None: ...

    def judge(self, answers: Sequence[JudgedAnswer]) -> Iterator[tuple[int, Judgement]]:
        for answer in answers:
            yield answer.index, self._rule(answer)

    def shown(self) -> str:
        return ""
