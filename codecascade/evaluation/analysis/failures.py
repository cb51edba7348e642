"""What became of each problem, gathered in one pass over the samples: how many passed, and why the others did not."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from codecascade.evaluation.analysis.complaints import is_syntax_complaint
from codecascade.evaluation.analysis.folder import ProblemKey, SampleRow, is_right, problem_key

PASSED, WRONG = "passed", "wrong answer"
SYNTAX, COMPILE = "syntax error", "compile error"
NOT_RUN, TOO_LONG = "not run", "prompt too long"
_OUTCOMES = {
    "timed_out": "time-out",
    "out_of_memory": "out of memory",
    "killed": "killed",
    "not_started": NOT_RUN,
}
# How languages say it: C++'s, Java's and C#'s assertions, PHP's and R's tests; Bash's failed test is an exit status.
_WRONG = re.compile(r"AssertionError|Assertion `|Debug\.Assert|Test failed|is not TRUE|^exit status 1$")
_COMPILER = "compile: "
_SYNTAX = re.compile(
    r"^(?:\w+: )*(?:SyntaxError|IndentationError|TabError|Parse error)\b|syntax error|compilation "
    r"(?:errors|aborted)|^Error: unexpected|^\S+\.sh: line \d+: `"
)
_EXCEPTION = re.compile(
    r"(?!program\.)(?:.*\bUncaught |terminate called after throwing an instance of ')?"
    r"(?:[A-Za-z_]\w*(?:\.|::))*([A-Za-z_]\w*)(?::| \[|'|$)"
)
_ANSWERS = 6  # kept of a problem, for its page


@dataclass
class CountedCompletion:
    """A completion of a problem, and how often it came: ``kind`` is what became of it."""

    row: SampleRow
    kind: str
    number: int
    count: int = 1


@dataclass
class ProblemOutcomes:
    """What became of one problem. ``answers`` are different ones, those of a new kind before others of a known."""

    key: ProblemKey
    samples: int = 0
    passed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    answers: list[CountedCompletion] = field(default_factory=list)
    _seen: dict[bytes, CountedCompletion] = field(default_factory=dict, repr=False)

    @property
    def kind(self) -> str:
        """``passed`` if any sample did, else the commonest reason."""
        return PASSED if self.passed else self.kinds.most_common(1)[0][0]

    def add(self, row: SampleRow) -> None:
        """One more sample."""
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
            number = row.get("sample")  # other tools' files may hold anything there
            answer = CountedCompletion(row, reason, number if isinstance(number, int) else self.samples - 1)
            self._seen[digest] = answer
            if len(self.answers) == _ANSWERS:
                self._make_room()
            self.answers.append(answer)

    def _make_room(self) -> None:
        """Drop the last answer of a kind that has several."""
        counted = Counter(answer.kind for answer in self.answers)
        for place in reversed(range(len(self.answers))):
            if counted[self.answers[place].kind] > 1:
                del self.answers[place]
                return


def outcomes_by_problem(rows: Iterable[SampleRow]) -> dict[ProblemKey, ProblemOutcomes]:
    """By problem, in the order of the rows; memory grows with the problems, not with the samples.

    Rows that are neither right nor wrong (a loss, a similarity) have the kind ``""``.
    """
    problems: dict[ProblemKey, ProblemOutcomes] = {}
    for row in rows:
        place = problem_key(row)
        problems.setdefault(place, ProblemOutcomes(place)).add(row)
    return problems


def outcome_kind(row: SampleRow) -> str:
    """Why a sample failed, in the words of the report; ``""`` where it is neither right nor wrong.

    ``wrong answer`` is a failed assertion (or a text that isn't the true one), ``syntax error`` what does not parse,
    ``compile error`` what parses and does not compile (a type, a missing return; MultiPL-E's harness calls both
    ``SyntaxError``), else it is the exception's type; ``time-out``, ``out of memory``, ``killed`` and ``not run``
    are the sandbox's words.
    """
    right, outcome = is_right(row), row.get("outcome")
    if right:
        return PASSED
    if row.get("finish_reason") == "context":
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
    """How many samples of each kind; what was neither right nor wrong is left out."""
    total: Counter[str] = Counter()
    for problem in problems:
        total.update(problem.kinds)
    total.pop("", None)
    return total


def ordered_kinds(kinds: Iterable[str]) -> list[str]:
    """Passed, wrong answers, what does not parse or compile, exceptions by name, what was stopped or never ran."""
    ends = [*_OUTCOMES.values(), TOO_LONG]
    starts = [PASSED, WRONG, SYNTAX, COMPILE]

    def place(name: str) -> tuple[int, int, str]:
        if name in starts:
            return 0, starts.index(name), ""
        return (2, ends.index(name), "") if name in ends else (1, 0, name)

    return sorted(set(kinds), key=place)
