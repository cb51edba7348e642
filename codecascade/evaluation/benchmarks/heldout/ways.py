"""The ways in which a model can write the true middle of a gap and end it.

In many vocabularies what a line ends with and the line break behind it are one token: ``)`` and a line break are
one of Qwen's. A model that writes this token has filled a gap up to the line break as rightly as one that writes
``)`` alone and then ends. So an answer has several ways, whose probabilities add up. Within a line it is the same
with a token that reaches beyond the middle: what is typed again of the text behind a gap, an editor takes away.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.tokens.healing import beginning_with
from codecascade.tokens.infilling import infilling_example, token_at_byte, written_bytes
from codecascade.tokens.reference import ReferenceTokens
from codecascade.tokens.tokenizer import Tokenizer

_FOLLOWING = 256
"""Characters behind a gap that are encoded with it, so that a token which begins in the gap can end in them."""


def written_ways(
    tokenizer: Tokenizer,
    prefix: str,
    middle: str,
    suffix: str,
    following: str,
    layout: str,
    *,
    of_one_line: bool,
    heal: bool = True,
) -> list[ReferenceTokens]:
    """The prompt in a layout and the middle behind it, in each way to end it; none begins with another.

    - The token that ends a middle follows (left to right: the one that ends a document).
    - The line break follows with which the text behind the gap begins, and no more.
    - The text goes on as the file does: up to the first token that has a character of the text behind the gap.

    A line break ends what is wanted of one line, whatever stands behind it. So the last token of these two may then
    be any that begins as it does up to the line break (``any_last``), such as one with another indentation of the
    next line. A block may go on in the next line, which its indentation tells, so there it is the file's own alone.

    The last two are left out where no such text follows, or where a token across the border of prompt and middle
    would be another than in the first way: probabilities after different prompts do not add up.

    Args:
        suffix: what the prompt shows of the text behind the gap.
        following: what stands behind the gap in the file.
        of_one_line: the middle is a line, or the rest of one, and what a model writes is judged up to its line break.
        heal: in PSM the end of the prefix is taken back into the middle, as it is where the model is asked so. In SPM
            and left to right a text and what follows it are encoded together in any case.

    Raises:
        UserError: the tokenizer does not know the layout.
    """
    alone = _read(tokenizer, prefix, middle, suffix, layout, heal=heal)
    ways = [ReferenceTokens((*alone.ids, _end(tokenizer, layout)), alone.first, ends=True)]
    for more in _continuations(following):
        read = _read(tokenizer, prefix, middle + more, suffix, layout, heal=heal)
        kept = _beyond(tokenizer, alone, read)
        if kept is not None and all(kept.ids != way.ids for way in ways):
            ways.append(kept)
    if of_one_line and (line_break := _line_break(following)):
        return _with_any_last(tokenizer, ways, len(line_break))
    return ways


def _line_break(text: str) -> str:
    """The one with which a text begins; empty if it begins with something else."""
    return next((line_break for line_break in ("\r\n", "\n") if text.startswith(line_break)), "")


def _continuations(following: str) -> Iterator[str]:
    if line_break := _line_break(following):
        yield line_break
    if following:
        yield following[:_FOLLOWING]


def _with_any_last(
    tokenizer: Tokenizer, ways: Sequence[ReferenceTokens], line_break: int
) -> list[ReferenceTokens]:
    """The ways with their ``any_last``: tokens that begin like a way's last one up to the line break.

    Of ways that differ in their last token alone the first gets them, without those that another one ends with.

    Args:
        line_break: its length in bytes.
    """
    length = len(written_bytes(tokenizer, ways[0].ids))
    found: list[ReferenceTokens] = []
    for way in ways:
        before, last = way.ids[:-1], tokenizer.token_bytes(way.ids[-1])
        if not way.ends and all(other.ids[:-1] != before for other in found if not other.ends):
            others = {other.ids[-1] for other in ways if other is not way and other.ids[:-1] == before}
            beyond = len(written_bytes(tokenizer, way.ids)) - length
            same = beginning_with(tokenizer, last[: len(last) - beyond + min(beyond, line_break)])
            way = replace(way, any_last=tuple(each for each in same if each not in others))
        found.append(way)
    return found


def _read(
    tokenizer: Tokenizer, prefix: str, text: str, suffix: str, layout: str, *, heal: bool
) -> ReferenceTokens:
    """The prompt and a text behind it, without an end."""
    if layout == LEFT_TO_RIGHT:
        return ReferenceTokens.continued(tokenizer, prefix, text)
    example = infilling_example(tokenizer, prefix, text, suffix, format=layout, heal=heal)
    return ReferenceTokens(tuple(example.ids[:-1]), example.middle_start)


def _end(tokenizer: Tokenizer, layout: str) -> int:
    infilling = tokenizer.infilling
    if layout == LEFT_TO_RIGHT or infilling is None:
        return tokenizer.end_of_document_id
    return infilling.end


def _beyond(tokenizer: Tokenizer, alone: ReferenceTokens, read: ReferenceTokens) -> ReferenceTokens | None:
    """``read`` up to its first token that reaches beyond the text of ``alone``; None if it has another beginning."""
    if read.first != alone.first:
        return None
    middle, own = written_bytes(tokenizer, alone.ids[alone.first :]), read.ids[read.first :]
    border = token_at_byte(tokenizer, own, len(middle))
    # A normaliser may have made one character of the last of the middle and the first behind it.
    if border == len(own) or not written_bytes(tokenizer, own).startswith(middle):
        return None
    return ReferenceTokens(read.ids[: read.first + border + 1], read.first)
