"""What a source of questions yields, and what it may know of the questions before."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

AT_ONCE = 64
"""Prompts for questions that are asked together, at most."""


@dataclass(frozen=True)
class Candidate:
    """A question that may be taken, or an item that is none: then ``problem`` says why.

    Attributes:
        source, topic, difficulty, seed, entry_point: of the question
            (:class:`~codecascade.instruct.self_instruct.triplets.Question`).
    """

    text: str
    source: str
    topic: str = ""
    difficulty: str = ""
    seed: Mapping[str, str] = field(default_factory=dict)
    entry_point: str = ""
    problem: str = ""


class SourceProgress(Protocol):
    """What is needed of one source, and what was taken of it. Both change while it is read."""

    @property
    def wanted(self) -> int:
        """How many more questions, at least 1. A source that asks a teacher asks for so many at a time."""
        ...

    @property
    def taken(self) -> int: ...


class CandidateSource(Protocol):
    """A source of questions, read one by one."""

    @property
    def title(self) -> str:
        """What a note calls it."""
        ...

    @property
    def prompts(self) -> int:
        """How many prompts the teacher was asked."""
        ...

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the report, once it is read."""
        ...

    def candidates(self, progress: SourceProgress) -> Iterator[Candidate]:
        """Its questions in an order that does not depend on how many are wanted."""
        ...


class TakenQuestions:
    """The questions that were taken so far."""

    def __init__(self) -> None:
        self._by_topic: dict[str, list[str]] = {}
        self._texts: dict[str, str] = {}

    def take(self, question_id: str, candidate: Candidate) -> None:
        self._texts[question_id] = candidate.text
        self._by_topic.setdefault(candidate.topic, []).append(candidate.text)

    def __contains__(self, question_id: str) -> bool:
        return question_id in self._texts

    def __getitem__(self, question_id: str) -> str:
        return self._texts[question_id]

    def newest_of(self, topic: str, most: int) -> list[str]:
        """The questions of ``topic`` that were taken last, the newest first."""
        return self._by_topic.get(topic, [])[::-1][:most]


class RecentYield:
    """How many new questions the last prompts of a source brought.

    Args:
        patience: the number of prompts that are looked at.
        each: questions that each of them asks for.
    """

    LEAST = 0.02
    """Of the questions that were asked for. A source that brings fewer new ones is given up."""

    def __init__(self, patience: int, each: int) -> None:
        self._each = each
        self._last: deque[int] = deque(maxlen=patience)

    def add(self, new: int) -> None:
        """A prompt brought ``new`` questions that were taken."""
        self._last.append(new)

    def prompts_for(self, wanted: int, most: int) -> int:
        """How many prompts will bring ``wanted`` questions if they bring as many as the last ones; 1 to ``most``."""
        mean = sum(self._last) / len(self._last) if self._last else self._each
        return max(1, min(most, math.ceil(wanted / max(mean, 0.5))))

    @property
    def is_exhausted(self) -> bool:
        full = len(self._last) == self._last.maxlen
        return full and sum(self._last) < max(1.0, self.LEAST * self._each * len(self._last))

    @property
    def in_words(self) -> str:
        new = sum(self._last)
        brought = (
            "no new questions" if new == 0 else "one new question" if new == 1 else f"{new} new questions"
        )
        return f"given up, for its last {len(self._last)} prompts brought {brought}"
