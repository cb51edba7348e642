"""The outcomes of each problem's samples, collected in one pass: how many passed, and why the others failed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from codecascade.evaluation.analysis.complaints import is_syntax_complaint
from codecascade.evaluation.analysis.evaluation_folder import ProblemKey, SampleRow, is_right, problem_key
from codecascade.evaluation.rows import was_asked

PASSED, WRONG = "passed", "wrong answer"
SYNTAX, COMPILE = "syntax error", "compile error"
NOT_RUN, TOO_LONG = "not run", "prompt too long"
_OUTCOMES = {
    "timed_out": "time-out",
    "out_of_memory": "out of memory",
    "killed": "killed",
    "not_started": NOT_RUN,
}
# A failed test in the words of the languages: assertions of C++, Java and C#, tests of PHP and R, Bash's exit status.
_WRONG = re.compile(r"AssertionError|Assertion `|Debug\.Assert|Test failed|is not TRUE|^exit status 1$")
_COMPILER = "compile: "
_SYNTAX = re.compile(
    r"^(?:\w+: )*(?:SyntaxError|IndentationError|TabError|Parse error)\b|syntax error|compilation "
    r"(?:errors|aborted)|^Error: unexpected|^\S+\.sh: line \d+: `"
)
_EXCEPTION = re.compile(
    r"(?!program\.)(?:.*\bUncaught |terminate called after throwing an instance of ')?"
    r"(?:[A-Za-z_]\w*(?:\.|::))*([A-Za-z_]\w{0,99})(?::| \[|'|$)"
)
# How many different answers to a problem are kept for its page.
_ANSWERS = 6


@dataclass
class CountedCompletion:
    """A completion of a problem, its outcome, and how many samples are equal to it (``count``)."""

    row: SampleRow
    kind: str
    number: int
    count: int = 1


@dataclass
class ProblemOutcomes:
    """The outcomes of one problem. ``answers`` are examples of different answers, of as many outcomes as possible."""

    key: ProblemKey
    samples: int = 0
    passed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    answers: list[CountedCompletion] = field(default_factory=list)
    _seen: dict[bytes, CountedCompletion] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        """``passed`` if any sample passed, else the most frequent outcome."""
        return PASSED if self.passed else self.kinds.most_common(1)[0][0]

    def add(self, row: SampleRow) -> None:
        """Count one more sample."""
        reason = outcome_kind(row)
        known = reason in self.kinds
        self.samples += 1
        self.passed += reason == PASSED
        self.kinds[reason] += 1
        text = f"{reason}\0{row.get('completion', '')}".encode(errors="surrogatepass")
        digest = hashlib.blake2b(text, digest_size=8).digest()
        if digest in self._seen:
            self._seen[digest].count += 1
        elif len(self.answers) < _ANSWERS or not known:
            # Files of other tools may have anything in this field.
            number = row.get("sample")
            answer = CountedCompletion(row, reason, number if isinstance(number, int) else self.samples - 1)
            self._seen[digest] = answer
            if len(self.answers) == _ANSWERS:
                self._make_room()
            self.answers.append(answer)

    def _make_room(self) -> None:
        """Drop the last answer whose outcome has several."""
        counted = Counter(answer.kind for answer in self.answers)
        for index in reversed(range(len(self.answers))):
            if counted[self.answers[index].kind] > 1:
                del self.answers[index]
                return


def outcomes_by_problem(rows: Iterable[SampleRow]) -> dict[ProblemKey, ProblemOutcomes]:
    """The outcomes of each problem, in the order of the rows. Memory grows with the problems, not with the samples.

    Rows that are neither right nor wrong (a loss, a similarity) have the outcome ``""``.
    """
    problems: dict[ProblemKey, ProblemOutcomes] = {}
    for row in rows:
        key = problem_key(row)
        problems.setdefault(key, ProblemOutcomes(key)).add(row)
    return problems


def outcome_kind(row: SampleRow) -> str:
    """The outcome of a sample in the words of the report; ``""`` if it is neither right nor wrong.

    - ``wrong answer``: a failed assertion, or a text that differs from the reference;
    - ``syntax error``: the program does not parse;
    - ``compile error``: it parses and does not compile (MultiPL-E's harness calls both ``SyntaxError``);
    - ``time-out``, ``out of memory``, ``killed``, ``not run``: the outcomes of the sandbox;
    - else the type of the exception.
    """
    right, outcome = is_right(row), row.get("outcome")
    if right:
        return PASSED
    if not was_asked(row):
        return TOO_LONG
    if outcome in _OUTCOMES:
        return _OUTCOMES[outcome]
    if right is None:
        return ""
    if outcome != "failed":
        return WRONG
    return _failure(str(row.get("detail") or ""))


def _failure(detail: str) -> str:
    if detail.startswith(_COMPILER):
        return SYNTAX if is_syntax_complaint(detail.removeprefix(_COMPILER)) else COMPILE
    if _SYNTAX.search(detail):
        return SYNTAX
    if _WRONG.search(detail):
        return WRONG
    match = _EXCEPTION.match(detail)
    if match is not None:
        return match[1]
    return "left early" if detail.startswith("left") else "other failure"


def count_kinds(problems: Iterable[ProblemOutcomes]) -> Counter[str]:
    """How many samples have each outcome. Those that are neither right nor wrong are left out."""
    total: Counter[str] = Counter()
    for problem in problems:
        total.update(problem.kinds)
    total.pop("", None)
    return total


def ordered_kinds(kinds: Iterable[str]) -> list[str]:
    """The outcomes in the order of the report.

    Passed, wrong answers, programs that do not parse or compile, exceptions by name, programs that were stopped or
    did not run.
    """
    ends = [*_OUTCOMES.values(), TOO_LONG]
    starts = [PASSED, WRONG, SYNTAX, COMPILE]

    def rank(name: str) -> tuple[int, int, str]:
        if name in starts:
            return 0, starts.index(name), ""
        return (2, ends.index(name), "") if name in ends else (1, 0, name)

    return sorted(set(kinds), key=rank)
