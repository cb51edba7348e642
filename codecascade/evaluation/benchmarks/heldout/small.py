"""What can be measured on a small corpus, in numbers."""

from __future__ import annotations

import math

from codecascade.corpus.code.code_lines import code_lines
from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.metrics import found_four_times_in_five
from codecascade.ground.format import counted, show_bytes

SMALL_BYTES = 200_000
"""A corpus with less code is small: the 5 % of it that are held out have some 250 lines."""
_LARGER_SHARES = (0.2, 0.4)
"""What may be held out instead: more than half of a corpus is no use to anybody who trains on it."""
_SHARE = 0.25
"""A usual share of gaps that are filled exactly. The interval is widest about one half."""
_CHANGED = 0.2
"""A usual share of gaps that one of two models fills and the other does not."""


def small_corpus_warning(corpus: Corpus) -> str | None:
    """What the held-out code of a small corpus can show, in sentences; None if the corpus is not small."""
    trained, heldout = corpus.documents("train", "code"), corpus.documents("heldout", "code")
    total = trained.total_bytes + heldout.total_bytes
    if total >= SMALL_BYTES:
        return None
    share = corpus.manifest.settings.heldout_share
    if not share and not len(heldout):
        return (
            f"has {show_bytes(total)} of code, none of which is held out (heldout_share=0), so that nothing can be "
            "measured on it"
        )
    if not len(heldout):
        return (
            f"has {show_bytes(total)} of code in {counted(len(trained), 'file')}, of which none could be held out, "
            "so that nothing can be measured on it; add more files"
        )
    lines = sum(len(code_lines(document.text, document.language)) for document in heldout)
    beginning = (
        f"has {show_bytes(total)} of code, of which {counted(len(heldout), 'file')} "
        f"({show_bytes(heldout.total_bytes)}, {counted(lines, 'line')} of code) "
        f"{'is' if len(heldout) == 1 else 'are'} held out"
    )
    larger = next((each for each in _LARGER_SHARES if each > 1.5 * share), None)
    more = "add more files" if larger is None else f"heldout_share={larger} holds out more"
    if lines < 2:
        return f"{beginning}: too little to measure anything; {more}"
    return (
        f"{beginning}: enough for {lines:,} gaps of infilling_heldout at most, by which a share of {_SHARE:.0%} is "
        f"known to ±{100 * interval(lines):.0f} points, and a gain of about {100 * least_gain(lines):.0f} points "
        f"would be found; the loss of the true answers finds smaller ones; {more}"
    )


def interval(gaps: int) -> float:
    """Half of the width of the 95 % interval of a usual share, over so many gaps."""
    return 1.96 * math.sqrt(_SHARE * (1 - _SHARE) / gaps)


def least_gain(gaps: int) -> float:
    """The smallest difference between two models' shares that a paired test over so many gaps usually finds."""
    return found_four_times_in_five() * math.sqrt(_CHANGED / gaps)
