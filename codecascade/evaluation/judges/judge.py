"""What a judge is: it is shown an answer and says of each aspect whether it holds, or how strongly.

A benchmark states its aspects and its local rule (:class:`Judging`). Which judge is used is a setting of the
benchmark (:mod:`.settings`), and the judges are in a table (:mod:`.table`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Values = Mapping[str, bool | float]
"""The value of each aspect, by its name."""


@dataclass(frozen=True)
class Aspect:
    """Something that a judge says of an answer. It becomes a field of the answer's row.

    Attributes:
        name: the name of the field (``toxic``).
        kind: yes or no (``bool``), or a number from ``low`` to ``high``.
    """

    name: str
    kind: Literal["bool", "number"] = "bool"
    low: float = -1.0
    high: float = 1.0


@dataclass(frozen=True)
class JudgedFacts:
    """What a judge may see of a task besides the answer.

    Attributes:
        question: what the model was asked, as a reader would say it.
        right, wrong: reference answers that are true, and that are false.
        about: further facts (``group``, ``category``), by name.
    """

    question: str = ""
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgedAnswer:
    """An answer with all that a judge may see.

    Attributes:
        index: the number by which the verdict is returned.
        sample: the number of the answer among those of its task.
    """

    index: int
    task_id: str
    sample: int
    answer: str
    facts: JudgedFacts = field(default_factory=JudgedFacts)

    def texts(self) -> dict[str, str]:
        """Everything as texts by name, for a prompt."""
        facts = self.facts
        return {
            "question": facts.question,
            "answer": self.answer,
            "right": "\n".join(f"- {each}" for each in facts.right) or "- (none)",
            "wrong": "\n".join(f"- {each}" for each in facts.wrong) or "- (none)",
            **facts.about,
        }


@dataclass(frozen=True)
class Judgement:
    """What a judge says of one answer.

    Attributes:
        values: the value of each aspect; None if the judge's reply could not be read.
        detail: the reason in a few words, for a reader: a phrase that was found, a score, a judge's reply.
    """

    values: Values | None
    detail: str = ""


@dataclass(frozen=True)
class ExpectedSample:
    """A sample that will have to be judged: its task, and its number among the answers to the task."""

    task_id: str
    sample: int


class Judge(Protocol):
    """Judges the answers to one benchmark."""

    @property
    def label(self) -> str:
        """What judges, as it stands beside every figure."""
        ...

    def identity(self) -> dict[str, str]:
        """What the verdicts depend on. Stored verdicts are used again only if it is the same."""
        ...

    def check(self) -> None:
        """See that the judge is there, before a model is asked for hours.

        Raises:
            UserError: it is not. The sentence says what to do.
        """
        ...

    def expect(self, samples: Iterable[ExpectedSample], known: frozenset[str]) -> None:
        """See that the judge can judge these samples. ``known`` are the ids of all tasks of the benchmark.

        Raises:
            UserError: it can't.
        """
        ...

    def judge(self, answers: Sequence[JudgedAnswer]) -> Iterator[tuple[int, Judgement]]:
        """The judgement on each answer, with the answer's ``index``, in any order.

        Raises:
            RunFailed: the judge does not answer any more.
        """
        ...

    def shown(self) -> str:
        """What a reader should see of the judge besides its label: its prompt. Empty if there is nothing."""
        ...


class Rule(Protocol):
    """A local rule of a benchmark."""

    @property
    def label(self) -> str:
        """What the rule looks at, in a few words."""
        ...

    def check(self) -> None:
        """See that what the rule needs is installed.

        Raises:
            UserError: it is not.
        """
        ...

    def __call__(self, answer: JudgedAnswer) -> Judgement:
        """The judgement on one answer."""
        ...


@dataclass(frozen=True)
class ClassifierUse:
    """How a benchmark uses a text classifier.

    Attributes:
        aspect: the aspect that the classifier decides.
        model: the classifier on the hub that is used if the settings name none; empty if there is no usual one.
        positive: words of which one is in the name of the label that means yes.
        negative: the same of the label that means no. Of a ``number`` its probability is subtracted.
        text: what the classifier reads of an answer.
        inverted: the aspect holds if the label does not.
    """

    aspect: str
    model: str = ""
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    text: Callable[[JudgedAnswer], str] = lambda answer: answer.answer
    inverted: bool = False


@dataclass(frozen=True)
class Judging:
    """How the answers to a benchmark are judged.

    Attributes:
        aspects: what is judged.
        rule: the local rule, which needs no network.
        prompt: the name of the file in ``judges/prompts/`` that asks a language model.
        classifier: how a classifier is used; None if no classifier decides all aspects.
        passed: from the values and the task's fields, whether the answer is a good one. None: it is neither.
    """

    aspects: tuple[Aspect, ...]
    rule: Rule
    prompt: str
    classifier: ClassifierUse | None = None
    passed: Callable[[Values, Mapping[str, Any]], bool | None] = lambda values, fields: None

    def row(self, judgement: Judgement, fields: Mapping[str, Any]) -> dict[str, Any]:
        """The fields that the verdict adds to a row.

        All fields are there in any case, because a row that is judged again has those of an earlier judge.
        """
        names = [aspect.name for aspect in self.aspects]
        if judgement.values is None:
            values: dict[str, Any] = dict.fromkeys(names)
            passed = None
        else:
            values = {name: judgement.values[name] for name in names}
            passed = self.passed(judgement.values, fields)
        unjudged = judgement.values is None
        return {**values, "passed": passed, "outcome": None, "detail": judgement.detail, "unjudged": unjudged}
