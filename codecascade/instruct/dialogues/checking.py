"""What is in a file of dialogues: ``codecascade dialogues check``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from codecascade.corpus.steps.decontamination import BenchmarkIndex
from codecascade.ground.errors import UserError
from codecascade.instruct.dialogues.dialogue import Dialogue
from codecascade.instruct.dialogues.reading import UnseenColumns, each_row, open_file, reason
from codecascade.instruct.dialogues.row import Row
from codecascade.instruct.dialogues.settings import DialogueSource, FormatName
from codecascade.instruct.dialogues.turns import read_keys
from codecascade.instruct.dialogues.usable import Usable
from codecascade.tokens.chat import dialogue_tokens
from codecascade.tokens.templates.renderer import RenderingTooLarge
from codecascade.tokens.tokenizer import Tokenizer

MOST_LISTED = 100
"""Most unusable lines, and most benchmark texts, that are named; all are counted."""
MOST_PLACES = 3
"""Most lines that are named of each kind of fault."""


@dataclass
class TokenFigures:
    """Tokens of a file's dialogues in a chat format.

    Attributes:
        total: of all dialogues.
        learnt: of them in answers and their ends.
        lengths: of each dialogue.
        most: tokens of the longest dialogue.
        longest: its location.
        cut: dialogues longer than a row, which lose their last turns.
        too_long: of them those of which no answer begins in a row, so that nothing is left to learn.
        context_only: answers that have no loss, because the format writes earlier answers otherwise.
    """

    total: int = 0
    learnt: int = 0
    lengths: list[int] = field(default_factory=list)
    most: int = 0
    longest: str = ""
    cut: int = 0
    too_long: int = 0
    context_only: int = 0


@dataclass
class FileCheck:
    """What is in one file.

    Attributes:
        error: why the file can't be read (any further).
        unusable: locations and reasons, the first :data:`MOST_LISTED`.
        reasons: how many lines are unusable, by the reason without its place.
        places: the first :data:`MOST_PLACES` locations of each reason.
        turns: how many dialogues have so many messages, system messages left out.
        roles, characters: messages, and their characters, by role.
        duplicates: dialogues that came before, in this file or another.
        overlaps: locations and benchmark texts, the first :data:`MOST_LISTED`; ``overlapping`` counts all.
        notes: what was done to read the lines, and how often.
        left_alone: keys that are not read, with the number of lines that have them.
    """

    file: str
    format: FormatName | None = None
    error: str | None = None
    dialogues: int = 0
    unusable: list[tuple[str, str]] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)
    turns: Counter[int] = field(default_factory=Counter)
    roles: Counter[str] = field(default_factory=Counter)
    characters: Counter[str] = field(default_factory=Counter)
    longest: str = ""
    longest_characters: int = 0
    duplicates: int = 0
    overlaps: list[tuple[str, str]] = field(default_factory=list)
    overlapping: int = 0
    notes: Counter[str] = field(default_factory=Counter)
    left_alone: Counter[str] = field(default_factory=Counter)
    tokens: TokenFigures | None = None

    @property
    def is_usable(self) -> bool:
        """Whether every line can be trained on."""
        return self.error is None and not self.reasons

    def as_json(self) -> dict[str, Any]:
        """The figures as JSON has them."""
        tokens = None
        if self.tokens is not None:
            tokens = {
                key: value
                for key, value in vars(self.tokens).items()
                if key not in ("lengths", "most", "longest")
            } | {
                "median": percentile(self.tokens.lengths, 0.5),
                "p95": percentile(self.tokens.lengths, 0.95),
                "longest": self.tokens.most,
                "longest_at": self.tokens.longest,
            }
        return {
            "file": self.file,
            "format": self.format,
            "error": self.error,
            "dialogues": self.dialogues,
            "unusable": self.reasons.total(),
            "reasons": dict(self.reasons.most_common()),
            "unusable_lines": [{"line": place, "reason": why} for place, why in self.unusable],
            "messages_per_dialogue": {str(count): self.turns[count] for count in sorted(self.turns)},
            "roles": dict(self.roles),
            "characters": dict(self.characters),
            "longest_characters": self.longest_characters,
            "longest_at": self.longest,
            "duplicates": self.duplicates,
            "benchmark_overlaps": self.overlapping,
            "overlapping_lines": [{"line": place, "text": text} for place, text in self.overlaps],
            "notes": dict(self.notes),
            "keys_left_alone": dict(self.left_alone.most_common()),
            "tokens": tokens,
        }


class DialogueChecker:
    """Checks files one by one; duplicates are looked for over all of them.

    Args:
        settings: how the files are read; its source is not used.
        tokenizer: with a chat format, to count tokens; None: they are not counted.
        context: tokens of a row in training.
        benchmarks: texts that no dialogue should hold; None: they are not looked for.
        progress: called after every thousand lines with the file and the lines so far.
    """

    def __init__(
        self,
        settings: DialogueSource,
        tokenizer: Tokenizer | None = None,
        context: int = 4096,
        benchmarks: BenchmarkIndex | None = None,
        progress: Callable[[str, int], None] | None = None,
    ) -> None:
        self._settings, self._tokenizer, self._context = settings, tokenizer, context
        self._benchmarks, self._progress = benchmarks, progress
        self._seen: set[str] = set()

    def check(self, file: str) -> FileCheck:
        """What is in a file. A fault of it is part of the answer, and raises nothing."""
        found = FileCheck(file, tokens=None if self._tokenizer is None else TokenFigures())
        try:
            rows = open_file(file, self._settings)
            found.format = rows.format
            unseen = UnseenColumns(self._settings)
            for number, (row, result) in enumerate(each_row(rows, self._settings), 1):
                unseen.look(row)
                self._add(found, row, result)
                if self._progress is not None and number % 1000 == 0:
                    self._progress(file, number)
            found.error = unseen.complaint or None
        except UserError as error:
            found.error = str(error)
        return found

    def _add(self, found: FileCheck, row: Row, result: Usable | UserError) -> None:
        if isinstance(result, Usable):
            try:
                self._count_tokens(found, row, result.dialogue)
            except UserError as error:
                result = UserError(error.message, file=row.location, key=error.key)
        if isinstance(result, UserError):
            why = reason(result)
            found.reasons[why] += 1
            if len(places := found.places.setdefault(why, [])) < MOST_PLACES:
                places.append(row.location)
            if len(found.unusable) < MOST_LISTED:
                found.unusable.append((row.location, _without_place(result, row)))
            return
        dialogue = result.dialogue
        found.dialogues += 1
        found.notes.update(result.notes)
        assert found.format is not None
        read = read_keys(row.value, found.format, self._settings)
        found.left_alone.update(
            key for key, value in row.value.items() if key not in read and value is not None
        )
        found.left_alone.update(result.left_alone)
        found.turns[sum(message.role != "system" for message in dialogue.messages)] += 1
        size = 0
        for message in dialogue.messages:
            found.roles[message.role] += 1
            found.characters[message.role] += len(message.content)
            size += len(message.content)
        if size > found.longest_characters:
            found.longest, found.longest_characters = row.location, size
        found.duplicates += dialogue.id in self._seen
        self._seen.add(dialogue.id)
        self._look_for_benchmarks(found, row, dialogue)

    def _count_tokens(self, found: FileCheck, row: Row, dialogue: Dialogue) -> None:
        if self._tokenizer is None or found.tokens is None:
            return
        counts = found.tokens
        try:
            tokens = dialogue_tokens(self._tokenizer, dialogue.messages)
        except RenderingTooLarge:
            # as in training: it is far longer than a row, unless it is short and the template is at fault
            if sum(len(message.content) for message in dialogue.messages) <= self._context + 1:
                raise
            counts.cut += 1
            counts.too_long += 1
            return
        learnt = set(tokens.answers) - dialogue.without_loss
        ends = [place for place, index in enumerate(tokens.answer_of, 1) if index in learnt]
        counts.total += len(tokens)
        counts.learnt += len(ends)
        if len(tokens) > counts.most:
            counts.most, counts.longest = len(tokens), row.location
        counts.lengths.append(len(tokens))
        wanted = sum(message.role == "assistant" for message in dialogue.messages) - len(
            dialogue.without_loss
        )
        counts.context_only += wanted - len(learnt)
        # a row has one token more than it predicts
        if max(ends, default=len(tokens)) > self._context + 1:
            counts.cut += 1
            counts.too_long += min(ends, default=0) > self._context + 1

    def _look_for_benchmarks(self, found: FileCheck, row: Row, dialogue: Dialogue) -> None:
        if self._benchmarks is None:
            return
        name = self._benchmarks.match("\n".join(message.content for message in dialogue.messages))
        if name is not None:
            found.overlapping += 1
            if len(found.overlaps) < MOST_LISTED:
                found.overlaps.append((row.location, name))


def percentile(values: Sequence[int], share: float) -> int:
    """The value that ``share`` of all values don't exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0


def _without_place(error: UserError, row: Row) -> str:
    return str(error).removeprefix(f"{row.location}: ")
