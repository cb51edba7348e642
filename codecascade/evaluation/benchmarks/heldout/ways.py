"""The ways in which a model can write the true middle of a gap and end it.

In many vocabularies what a line ends with and the line break behind it are one token: ``)`` and a line break are
one of Qwen's. A model that writes this token has filled a gap up to the line break as right as one that writes ``)``
alone and then ends. So an answer has several ways, whose probabilities add up.
"""

from __future__ import annotations

from collections.abc import Iterator

from codecascade.evaluation.metrics import LEFT_TO_RIGHT
from codecascade.tokens.infilling import infilling_example
from codecascade.tokens.reference import ReferenceTokens
from codecascade.tokens.tokenizer import Tokenizer

_BEHIND = 64
"""Characters behind a gap that are encoded with it. A token that begins in the gap ends within them."""


def written_ways(
    tokenizer: Tokenizer, prefix: str, middle: str, suffix: str, layout: str
) -> list[ReferenceTokens]:
    """The prompt in a layout and the middle behind it, in each way to end it; none begins with another.

    - The token that ends a middle follows (left to right: the one that ends a document).
    - The line break follows with which the suffix begins, and no more.
    - The text goes on as the file does: up to the first token that has a character of the suffix.

    Raises:
        UserError: the tokenizer does not know the layout.
    """
    ended = _read(tokenizer, prefix, middle, suffix, layout)
    ways = [ReferenceTokens((*ended.ids, _end(tokenizer, layout)), ended.first, ends=True)]
    for behind in _behind(suffix):
        read = _read(tokenizer, prefix, middle + behind, suffix, layout)
        kept = _through(tokenizer, read, len(behind.encode(errors="surrogatepass")))
        if all(kept.ids != way.ids for way in ways):
            ways.append(kept)
    return ways


def _behind(suffix: str) -> Iterator[str]:
    for line_break in ("\r\n", "\n"):
        if suffix.startswith(line_break):
            yield line_break
            break
    if suffix:
        yield suffix[:_BEHIND]


def _read(tokenizer: Tokenizer, prefix: str, text: str, suffix: str, layout: str) -> ReferenceTokens:
    """The prompt and a text behind it, without an end."""
    if layout == LEFT_TO_RIGHT:
        return ReferenceTokens.continued(tokenizer, prefix, text)
    example = infilling_example(tokenizer, prefix, text, suffix, format=layout)
    return ReferenceTokens(tuple(example.ids[:-1]), example.middle_start)


def _end(tokenizer: Tokenizer, layout: str) -> int:
    infilling = tokenizer.infilling
    if layout == LEFT_TO_RIGHT or infilling is None:
        return tokenizer.end_of_document_id
    return infilling.end


def _through(tokenizer: Tokenizer, read: ReferenceTokens, behind: int) -> ReferenceTokens:
    """Up to the first token that has one of the last ``behind`` bytes."""
    kept = len(read.ids)
    while kept > read.first:
        size = len(tokenizer.token_bytes(read.ids[kept - 1]))
        if size >= behind:
            break
        behind -= size
        kept -= 1
    return ReferenceTokens(read.ids[:kept], read.first)
