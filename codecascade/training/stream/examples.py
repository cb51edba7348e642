"""Training examples: a document or a function as token ids, to be packed into rows.

A plain document is [BOS] text, end of document. An infilled one is prefix, suffix and middle in the family's layout
(:mod:`codecascade.tokens.infilling`), which parts of other files may precede. The end-of-infilling token is its last.
Dialogues are in :mod:`codecascade.training.stream.dialogue_examples`.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from codecascade.corpus.code.gaps import LONGEST_MIDDLE, Gap, GapKind, drawn_gap
from codecascade.corpus.code.windows import PREFIX_SHARE, FileWindows
from codecascade.corpus.documents import Document
from codecascade.tokens.infilling import infilling_example, split_document
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.settings import InfillingSettings

Parts: TypeAlias = tuple[str, str, str]
"""Prefix, middle and suffix of a text."""
_EDITOR_KINDS: tuple[GapKind, ...] = ("line", "rest", "block", "function")
_LINE_END = re.compile(r"[ \t]*\r?\n")
_WINDOWS = 8
"""How many windows of a document are tried."""
_CONTROL_TOKENS = 8
"""Room for the tokens that mark the parts of an infilled text."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingExample:
    """What one draw from a source gives: ``n`` tokens with their loss weights.

    Attributes:
        ids: (n,) the tokens.
        weights: (n,) ``weights[i]`` is the loss weight of predicting ``ids[i]``.
        id: of the document, function or dialogue.
        indivisible: it must not be cut. Half an infilled document does not teach infilling, and an answer needs its
            question.
        infilled: the document was split and rearranged.
        truncated: the last turns of the dialogue did not fit into the context.
        before: of an infilled document, all its text before the gap, also what the example leaves out, until it is
            known which other files are shown.
    """

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    id: str = ""
    indivisible: bool = False
    infilled: bool = False
    truncated: bool = False
    before: str = ""

    def __len__(self) -> int:
        return len(self.ids)


def training_example(
    tokenizer: Tokenizer,
    document: Callable[[], Document],
    rng: random.Random,
    settings: InfillingSettings | None,
    *,
    context: int,
    document_id: str,
    ids: ArrayLike | None = None,
    others: Callable[[str, int], Sequence[int]] | None = None,
) -> TrainingExample:
    """The document, infilled with probability ``settings.rate`` if it then fits into ``context`` tokens; else plain.

    With ``settings.too_long`` "window" some lines of a document that does not fit are infilled.

    Args:
        document: gives it; called only where its text is needed.
        ids: of the whole text, where they are known.
        others: gives the ids of at most so many tokens of other files, for the text before the gap.
    """
    if settings is not None and rng.random() < settings.rate:
        of_others = int(context * settings.neighbour_share) if others is not None else 0
        example = _fitting(tokenizer, document(), rng, settings, context, context - of_others, document_id)
        if example is not None:
            if others is not None and (left := min(of_others, context - len(example))) > 0:
                more = np.asarray(others(example.before, left), np.int32)
                begin, light = len(tokenizer.bos()), np.full(len(more), settings.rest_weight, np.float32)
                example = replace(
                    example,
                    ids=np.insert(example.ids, begin, more),
                    weights=np.insert(example.weights, begin, light),
                )
            # Many examples wait for their row; they need not hold their texts.
            return replace(example, before="")
    return plain_example(
        tokenizer, tokenizer.encode(document().text) if ids is None else ids, document_id=document_id
    )


def _fitting(
    tokenizer: Tokenizer,
    document: Document,
    rng: random.Random,
    settings: InfillingSettings,
    context: int,
    room: int,
    document_id: str,
) -> TrainingExample | None:
    """The text infilled if it fits into ``context`` tokens; else a window of it that fits into ``room``, or None."""
    text = document.text
    layout = _layout(tokenizer, rng, settings)
    draw = rng.random()
    # In a short row there must be room around the gap, too; tokens have two or three characters.
    gap = _editor_gap(document, rng, settings, draw, min(LONGEST_MIDDLE, room))
    parts = _around(text, gap) if gap is not None else split(text, rng, settings, draw)
    whole = _laid_out(tokenizer, parts, layout, settings, document_id, editor=gap is not None)
    if len(whole) <= context:
        return whole
    if settings.too_long == "plain":
        return None
    if gap is not None:
        return _fitting_around(tokenizer, text, gap, layout, settings, room, document_id)
    share = room / len(whole)
    for _ in range(_WINDOWS):
        begin, end = window(text, share, rng)
        if begin == end:
            continue
        part, layout = text[begin:end], _layout(tokenizer, rng, settings)
        again = rng.random() * (1 - settings.editor_share)
        # A draw in the share of editors' gaps, of which the document has none, is in no other share.
        parts = split(part, rng, settings, draw if draw > 1 - settings.editor_share else again)
        example = _laid_out(tokenizer, parts, layout, settings, document_id)
        if len(example) <= room:
            return replace(example, before=text[:begin] + example.before)
        # Lines differ in how many tokens they have for their characters.
        share *= min(0.9, room / len(example))
    return None


def _fitting_around(
    tokenizer: Tokenizer,
    text: str,
    gap: Gap,
    layout: str,
    settings: InfillingSettings,
    room: int,
    document_id: str,
) -> TrainingExample | None:
    """The lines around a gap that fit into ``room`` tokens, as editors send them; None if not even the gap does."""

    def tokens(part: str) -> int:
        return len(tokenizer.encode(part))

    windows, middle = FileWindows(text, tokens), text[gap.start : gap.end]
    left = room - tokens(middle) - _CONTROL_TOKENS
    for _ in range(_WINDOWS):
        if left <= 0:
            break
        prefix, suffix = windows.around(gap.start, gap.end, left, PREFIX_SHARE)
        parts = (prefix, middle, suffix)
        example = _laid_out(tokenizer, parts, layout, settings, document_id, editor=True)
        if len(example) <= room:
            return replace(example, before=text[: gap.start])
        left -= len(example) - room
    return None


def window(text: str, share: float, rng: random.Random) -> tuple[int, int]:
    """The bounds of the whole lines within a part of a text that has this share of its characters; equal if none is.

    The part is around a character that is drawn, moved into the text where it would reach beyond, so that first and
    last lines come, too.
    """
    size = int(len(text) * share)
    start = min(max(0, rng.randrange(len(text) or 1) - size // 2), len(text) - size)
    stop = start + size
    begin = text.find("\n", start - 1, stop) + 1 if start else 0
    end = len(text) if stop == len(text) else text.rfind("\n", begin, stop) + 1
    return (begin, max(begin, end)) if begin or not start else (0, 0)


def plain_example(tokenizer: Tokenizer, ids: ArrayLike, *, document_id: str = "") -> TrainingExample:
    """[BOS] ``ids``, end of document; every token has weight 1. The ids are those of a text, without BOS."""
    parts = (tokenizer.bos(), ids, [tokenizer.end_of_document_id])
    whole = np.concatenate([np.asarray(part, np.int32) for part in parts])
    return TrainingExample(whole, np.broadcast_to(np.float32(1), whole.shape), document_id)


def _layout(tokenizer: Tokenizer, rng: random.Random, settings: InfillingSettings) -> str:
    """As ``rng`` draws it. A family with a single layout gets that one."""
    layout = "spm" if rng.random() < settings.spm_share else "psm"
    if tokenizer.infilling is not None and layout not in tokenizer.infilling.formats:
        layout = tokenizer.infilling.formats[0]
    return layout


def _laid_out(
    tokenizer: Tokenizer,
    parts: Parts,
    layout: str,
    settings: InfillingSettings,
    document_id: str,
    *,
    editor: bool = False,
) -> TrainingExample:
    """The parts in a layout; with ``editor`` healed, as an editor's gap is where it is asked."""
    prefix, middle, suffix = parts
    example = infilling_example(tokenizer, prefix, middle, suffix, format=layout, heal=editor)
    weights = np.full(len(example.ids), settings.rest_weight, np.float32)
    weights[example.middle_start :] = settings.middle_weight
    if settings.end_weight is not None:
        weights[-1] = settings.end_weight
    ids = np.array(example.ids, np.int32)
    return TrainingExample(ids, weights, document_id, indivisible=True, infilled=True, before=prefix)


def _editor_gap(
    document: Document, rng: random.Random, settings: InfillingSettings, draw: float, longest: int
) -> Gap | None:
    """What an editor asks for, of at most ``longest`` characters, if ``draw`` (of 0 to 1) is in its share.

    The line break behind it is its last character: many vocabularies have tokens of a comma, a colon or a bracket
    with the line break, and a model that has to end before the line break must unlearn them.

    None, too, if the document has no such gap.
    """
    if draw <= 1 - settings.editor_share:
        return None
    gap = drawn_gap(document.text, document.language, document.path, rng, _EDITOR_KINDS, longest=longest)
    end = None if gap is None else _LINE_END.match(document.text, gap.end)
    return gap if gap is None or end is None else replace(gap, end=end.end())


def _around(text: str, gap: Gap) -> Parts:
    return text[: gap.start], text[gap.start : gap.end], text[gap.end :]


def split(text: str, rng: random.Random, settings: InfillingSettings, draw: float) -> Parts:
    """``(prefix, middle, suffix)``, which make up the text. With ``draw`` in its share the middle is a whole line."""
    whole_line = draw < settings.whole_line_share
    if not whole_line and settings.level == "character":
        return split_document(text, rng)
    lines = text.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + lines[-1:]
    not_blank = [number for number, line in enumerate(lines) if line.strip()]
    if whole_line and not_blank:
        first = rng.choice(not_blank)
        last = first + 1
    else:
        first, last = sorted((rng.randint(0, len(lines)), rng.randint(0, len(lines))))
    return "".join(lines[:first]), "".join(lines[first:last]), "".join(lines[last:])
