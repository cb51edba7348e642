"""Reads a completion letter by letter, and decides where it ends."""

from __future__ import annotations

from codecascade.corpus.code.syntax import syntax_of
from codecascade.generation.editing.blocks import Block, is_comment
from codecascade.generation.editing.brackets import BracketBudget
from codecascade.generation.editing.indentation import indent_of
from codecascade.generation.editing.line import Line
from codecascade.generation.editing.repeats import Suffix
from codecascade.generation.editing.stops import EditorStops, StopReason
from codecascade.generation.editing.surroundings import Surroundings
from codecascade.generation.editing.top_level import TopLevel

FENCE = "```"
_LOOKED_AT = 4096
"""Letters on each side of the cursor by which an unknown language is guessed."""


class Cutter:
    """Cuts one completion; work and memory are linear in its length.

    The texts of all :meth:`push` calls and of :meth:`finish`, put together, are what is left of it, however it is
    split.

    Attributes:
        stopped_by: why the completion is over; None as long as it goes on.
        has_fences: a code fence ends the completion.
        typed: what stands before the cursor, and is left out where a completion begins with it.
    """

    def __init__(self, stops: EditorStops) -> None:
        self.stopped_by: StopReason | None = None
        self._stops = stops
        prefix, suffix = stops.prefix, stops.suffix
        around = Surroundings.of(prefix, suffix)
        cursor_line = around.cursor_line
        syntax = syntax_of(stops.language, prefix[-_LOOKED_AT:] + suffix[:_LOOKED_AT])
        self._suffix = Suffix(suffix, at_line_start=not cursor_line)
        self._brackets = BracketBudget(prefix, suffix, syntax)
        block = Block(cursor_line, syntax, TopLevel(prefix, suffix, syntax), within=around.is_in_paragraph)
        self._block = block if stops.lines == "block" else None
        self._cursor_text, self._long_quotes = cursor_line.strip(), syntax.long_quotes
        self._behind_text = bool(self._cursor_text)
        self._header = "" if self._behind_text or stops.lines == "any" else around.header
        self._stops_at_brackets = stops.lines != "any" and syntax.indents
        # A file with fences, such as a page of documentation, may have more of them.
        self.has_fences = FENCE not in prefix and FENCE not in suffix
        self.typed = around.typed if syntax.indents and stops.lines != "any" else ""
        self._kept: list[str] = []  # letters that were not given out
        self._given = self._lines = 0  # letters that were; complete lines
        self._line = self._new_line(0, indent_of(cursor_line))
        # Line breaks behind the last letter that is none: where each begins and ends.
        self._breaks: list[tuple[int, int]] = []
        self._any_text = False
        self._ending: StopReason | None = None  # decided, but not yet how many blank lines stay
        self._word: str | None = None  # as far as it is read, where it decides whether the block is over
        # whether the block is over depends on the whole line; whether it is one too many of its kind, too
        self._line_decides = self._line_waits = False
        self._in_text = False  # the line began in a string or comment of several lines
        # The length before a bracket that is not the completion's to close, unless its line opens another one.
        self._bracket_cut: int | None = None
        self._comment_cut: int | None = None  # the length before comments that may belong to what follows

    def push(self, text: str) -> str:
        """Read more text; what of the completion is certain now."""
        for letter in text:
            if self.stopped_by is not None:
                break
            self._read(letter)
        return self._give()

    def finish(self) -> str:
        """What was held back, cut where it has to be, once no more text comes."""
        if self.stopped_by is None and self._word is not None:
            self._decide_word()
        if self.stopped_by is None:
            self._finish()
        return self._give(everything=True)

    @property
    def has_line_break(self) -> bool:
        """Whether a line of the completion is complete."""
        return self._lines > 0

    # ---------------------------------------------------------------- letters

    @property
    def _ends_with_line(self) -> bool:
        if self._block is None or self._lines or self._brackets.is_open or self._suffix.needs_more:
            return self._stops.lines == "single"
        return self._block.is_torn_by_more_lines(self._suffix.rest)

    @property
    def _size(self) -> int:
        return self._given + len(self._kept)

    def _new_line(self, start: int, indent: int = 0) -> Line:
        return Line(start, indent, self._suffix.rest, self._suffix.rest_table)

    def _read(self, letter: str) -> None:
        if self._word is not None and not (letter.isalnum() or letter == "_"):
            self._decide_word()
            if self.stopped_by is not None:
                return
        self._kept.append(letter)
        if letter == "\n":
            self._end_line()
            self._brackets.push(letter)
            return
        line = self._line
        begins = line.is_blank and not letter.isspace()
        line.add(letter, self._size - 1)
        if begins and self._lines:
            self._begin_line(letter)
        if self._word is not None:
            self._word += letter
        if self.stopped_by is not None or self._ending is not None:
            if self._ending is not None and not self._line_matters():
                self._stop(self._ending, self._cut(seam=False))
            return
        if self.has_fences and line.ticks == len(FENCE) and (line.text == FENCE or self._brackets.in_code):
            self._stop("fence", self._cut(seam=False) if line.text == FENCE else self._size - len(FENCE))
        elif not self._lines and self._suffix.is_closed_by(line.text):
            self._stop("brackets", self._size - 2)
        else:
            self._brackets.push(letter)
            if not self._brackets.is_overdrawn or not self._stops_at_brackets:
                self._bracket_cut = None
            elif self._bracket_cut is None:
                self._bracket_cut = self._cut_at_bracket()

    def _cut_at_bracket(self) -> int:
        """Where the completion ends, if the bracket that was read is not opened again in this line."""
        line, rest, first = self._line, self._suffix.rest, self._suffix.first
        if self._brackets.text_was_ended:
            end = self._brackets.text_end
            # The suffix has it in a line of its own, or it stands behind the cursor.
            if line.matched and rest[: line.matched].endswith(end):
                typed, found, _ = self._suffix.exact_rest.partition(end)
                if line.raw.endswith(typed + found):
                    return line.start + len(line.raw) - len(typed + found)
                return line.offset_of_last(line.matched)
            is_next_line = line.text == end and not rest and first.startswith(end)
            return self._cut(seam=True) if is_next_line else self._size - len(end)
        if (self._lines or not self._behind_text) and (
            line.is_one_letter or self._suffix.goes_on_with(line.text)
        ):
            return self._cut(seam=first.startswith(line.text))
        is_suffix = line.matched and rest[: line.matched].endswith(line.text[-1])
        return line.offset_of_last(line.matched) if is_suffix else self._size - 1

    # ---------------------------------------------------------------- lines

    @property
    def _blank_lines(self) -> int:
        """Before the current line."""
        return max(0, len(self._breaks) - 1)

    def _cut(self, *, seam: bool) -> int:
        """The length of the completion without the current line.

        Args:
            seam: the line is the suffix's first. Blank lines before it stay but for those that the suffix has, too.
        """
        if seam and self._suffix.at_line_start:
            return self._line.start
        keep = max(0, self._blank_lines - self._suffix.blank_lines) if seam else 0
        if not self._breaks or not (keep or self._any_text):
            return 0
        # A completion before a line that stands there needs its line break.
        return self._breaks[keep][1 if self._suffix.at_line_start else 0]

    def _begin_line(self, letter: str) -> None:
        """The first letter of a line but the cursor's own."""
        line, block = self._line, self._block
        self._in_text = self._brackets.in_text
        if self._stops.min_indent is not None and line.spaces < self._stops.min_indent:
            self._end("indentation")
        elif block is not None and not self._in_text:
            verdict = block.begins(line.indent, letter, self._brackets.depth)
            if verdict == "ends":
                self._end("indentation")
            elif verdict == "depends on the word":
                self._word = ""
            else:
                blank_lines = self._blank_lines or int(self._comment_cut is not None)
                self._line_decides = block.may_be_over(line.indent, blank_lines)
                self._line_waits = block.may_be_too_much(line.indent, self._brackets.depth)

    def _decide_word(self) -> None:
        assert self._block is not None and self._word is not None
        word, self._word = self._word, None
        if not self._block.continues_with(word):
            self._end("block")

    def _end(self, reason: StopReason) -> None:
        """The completion ends before this line, with more or less of the blank lines before it."""
        if self._line_matters():
            self._ending = reason
        else:
            self._stop(reason, self._cut(seam=False))

    def _line_matters(self) -> bool:
        """Whether the rest of the line that ends the completion may tell how much of what is before it stays."""
        line, suffix = self._line.text, self._suffix
        if suffix.first.startswith(line) and self._cut(seam=True) != self._cut(seam=False):
            return True
        return suffix.depends_on(line)

    def _end_line(self) -> None:
        line = self._line
        end = self._size - 1
        if self._ending is not None:
            self._stop(self._ending, self._cut(seam=line.text == self._suffix.first))
            return
        if not line.is_blank:
            self._end_line_of_text()
            if self.stopped_by is None and self._bracket_cut is not None:
                self._stop("brackets", self._bracket_cut)
            if self.stopped_by is None and self._ends_with_line:
                self._stop(
                    "line", self._size if self._suffix.at_line_start else end - line.raw.endswith("\r")
                )
            if self.stopped_by is not None:
                return
            self._breaks.clear()
            self._any_text = True
        self._breaks.append((end - line.raw.endswith("\r"), self._size))
        if self._block is not None and self._blank_lines > self._block.most_blank_lines:
            self._stop("blank", self._cut(seam=False))
            return
        self._lines += 1
        self._line = self._new_line(self._size)
        self._line_decides = self._line_waits = False

    def _end_line_of_text(self) -> None:
        line, suffix = self._line, self._suffix
        if line.text == self._header and not self._any_text:
            self._stop("prefix", 0)
            return
        plain, seam = self._cut(seam=False), self._cut(seam=True)
        if self._lines or not self._behind_text:
            proved = suffix.push(line.text, line.indent, seam, plain)
            if proved is not None:
                self._stop("suffix", proved.cut)
                return
        before = "" if self._lines else self._cursor_text
        # with the suffix's quotes it may begin a string of several lines
        if suffix.ends(line) and before + line.text + suffix.rest not in self._long_quotes:
            suffix.push_rest(suffix.rest_cut(line), joins_words=line.joins_words(len(suffix.rest)))
        if self._block is None:
            return
        if not self._lines:
            self._block.first_line(line.raw, is_open=self._brackets.is_within)
        elif self._line_waits and not self._in_text and self._block.is_too_much(line.raw):
            self._stop("block", seam if line.text == suffix.first else plain)
            return
        elif self._line_decides and not self._in_text:
            cut = self._comment_cut
            if cut is None:
                cut = seam if line.text == suffix.first else plain
            if is_comment(line.raw):
                self._comment_cut = cut
                return
            if self._block.is_over(line.raw, self._blank_lines):
                self._stop("blank", cut)
                return
        elif not self._in_text:
            self._block.see(line.raw, is_open=self._brackets.is_within)
        self._comment_cut = None

    # ---------------------------------------------------------------- the end

    def _stop(self, reason: StopReason, cut: int) -> None:
        """End the completion at the length ``cut``, or before what was typed of the suffix until there."""
        run = self._suffix.at_the_end(self._line.text)
        if run is not None:
            cut = min(cut, run.cut)
        del self._kept[max(0, cut - self._given) :]
        self.stopped_by = reason

    def _finish(self) -> None:
        line, suffix = self._line, self._suffix
        if self._ending is not None:
            self._stop(self._ending, self._cut(seam=suffix.first.startswith(line.text)))
            return
        if line.is_blank:
            cut = self._finish_blank()
        elif self.has_fences and line.text == FENCE[:2]:
            cut = self._cut(seam=False)
        else:
            cut = self._finish_line()
        if cut is not None:
            self._stop("suffix", cut)

    def _finish_blank(self) -> int | None:
        run = self._suffix.at_the_end()
        if run is not None:
            return run.cut
        if not self._suffix.is_blank and len(self._breaks) == 1:
            # A line may be typed with its own line break.
            return None
        # The line breaks that the suffix begins with may be typed again, too.
        keep = max(0, len(self._breaks) - self._suffix.breaks)
        return self._breaks[keep][0] if keep < len(self._breaks) else None

    def _finish_line(self) -> int | None:
        """The last line, which may be half of one."""
        line, suffix = self._line, self._suffix
        half = suffix.at_the_end(line.text, whole=True)
        if half is not None:
            return half.cut
        self._end_line_of_text()
        if self.stopped_by is None and self._bracket_cut is not None:
            self._stop("brackets", self._bracket_cut)
        run = suffix.at_the_end() if self.stopped_by is None else None
        return None if run is None else run.cut

    def _give(self, *, everything: bool = False) -> str:
        """Take what is certain off the letters that are kept."""
        size = len(self._kept)
        if self.stopped_by is None and not everything:
            size = max(0, self._certain() - self._given)
        text = "".join(self._kept[:size])
        del self._kept[:size]
        self._given += size
        return text

    def _certain(self) -> int:
        """The length of the completion that nothing to come can cut."""
        line, suffix = self._line, self._suffix
        # Blank lines at the very beginning may go as a whole.
        before = self._breaks[0][0] if self._breaks and self._any_text else 0
        undecided = self._ending is not None or self._word is not None
        undecided |= self._line_decides or self._line_waits
        first_is_own = self._behind_text and not self._lines
        # A fence in a line of its own is cut together with the line break before it.
        undecided |= self.has_fences and FENCE.startswith(line.text)
        undecided |= not self._any_text and bool(line.text) and self._header.startswith(line.text)
        if line.is_blank or undecided or (not first_is_own and suffix.may_begin(line.text)):
            size = before
        else:
            size = line.text_end - line.ticks
            if line.matched:
                size = min(size, line.space_before_last(line.matched))
            size -= line.letters_of(self._brackets.text_end)
        held = [run.cut for run in suffix.runs]
        held += [cut for cut in (self._comment_cut, self._bracket_cut) if cut is not None]
        return min([size, *held])
