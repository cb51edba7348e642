"""When two questions are the same, and when they are alike.

Two questions are the same if their normal forms are: the same letters and digits, whatever the case, the spacing and
the punctuation. They are alike if they have nearly the same content words. The five-word shingles by which documents
are compared (:mod:`codecascade.corpus.steps.near`) see nothing in a question of one sentence: another verb in front
changes half of them.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter

from codecascade.corpus.documents import content_id

FEW_WORDS = 3
"""Questions with fewer content words are alike only if these are equal."""

# A word, or one character of a script without spaces, which all lie from U+0800 on.
_WORD = re.compile(r"[^\W_\u0800-\U0010ffff]+|[\u0800-\U0010ffff]")
# Function words, and the words that ask for a function whatever it does.
_EMPTY_TEXT = """
a an the of to in on at by for from with without into as and or not no is are be been being was were it its this
that these those which who whose what when where how then than there their them they you your we our i if whether
do does did can could should would will may might must shall have has had so such some any each every all both
also only just please

write writes writing written wrote create creates implement implements define defines design build develop make
makes complete function functions method program script code python task problem question solution named called
name given give gives take takes taking accept accepts receive receives input inputs output outputs return returns
returning result results produce produces print prints argument arguments parameter parameters use uses using
compute computes calculate calculates determine determines find finds value values example following
check checks verify test tests true false otherwise boolean
"""
_EMPTY_WORDS = frozenset(_EMPTY_TEXT.split())


def normal_form(text: str) -> str:
    """The letters and digits of a text in lower case, its words separated by single spaces.

    >>> normal_form("1. Reverse a STRING (in-place)!")
    '1 reverse a string in place'
    """
    return " ".join(_words(text))


def question_id(text: str) -> str:
    """An id that is equal for questions with the same normal form; empty if there is no letter or digit."""
    normal = normal_form(text)
    return content_id(normal) if normal else ""


def content_words(text: str) -> frozenset[str]:
    """The stems of the words that say what a question is about.

    >>> sorted(content_words("Write a Python function that reverses the given strings."))
    ['revers', 'str']
    """
    return frozenset(_stem(word) for word in _words(text) if word not in _EMPTY_WORDS)


def _words(text: str) -> list[str]:
    folded = unicodedata.normalize("NFKC", text).casefold()
    return [word for word in _WORD.findall(folded) if word.isalnum()]


def _stem(word: str) -> str:
    """A word without the endings of English grammar: enough to see that two forms are of one word."""
    for ending in ("s", "ing", "ed", "e", "e"):
        if len(word) > len(ending) + 2 and word.endswith(ending):
            word = word.removesuffix(ending)
    return word


class AlikeIndex:
    """Texts by their content words, and which of them is alike a given one.

    Args:
        threshold: the share of the words of both that two texts must have in common (Jaccard), in (0, 1].
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._texts: list[tuple[str, frozenset[str]]] = []
        self._texts_with: dict[str, list[int]] = {}

    def add(self, name: str, text: str) -> None:
        """Add a text; one without content words is alike no other."""
        words = content_words(text)
        for word in words:
            self._texts_with.setdefault(word, []).append(len(self._texts))
        self._texts.append((name, words))

    def match(self, text: str) -> tuple[str, float] | None:
        """The name of the most similar text, and how similar it is; None if none is alike. Of equals the first."""
        words = content_words(text)
        threshold = 1.0 if len(words) < FEW_WORDS else self.threshold
        # Two sets with a Jaccard similarity of t share one of any n - tn + 1 words of a set of n. Rare words give the
        # fewest candidates.
        rarest = sorted(words, key=lambda word: (len(self._texts_with.get(word, ())), word))
        enough = len(words) - math.ceil(threshold * len(words) - 1e-9) + 1
        candidates = Counter(index for word in rarest[:enough] for index in self._texts_with.get(word, ()))
        best: tuple[float, int] | None = None
        for index in candidates:
            others = self._texts[index][1]
            similarity = len(words & others) / len(words | others)
            if similarity >= threshold and (best is None or (similarity, -index) > (best[0], -best[1])):
                best = similarity, index
        return None if best is None else (self._texts[best[1]][0], best[0])
