"""How alike two texts are: smoothed BLEU-4, edit similarity, equality up to white space; each in [0, 1]."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_ORDER = 4
# The evaluator splits words from punctuation and then applies mteval-v11a's rules, which at that point can only
# part underscores from words.
_WORDS = re.compile(r"[^\W_]+|_|[^\w\s]")
# Of Python, Java and C#: strings as they are, operators of several signs, words and numbers, any other sign.
_TOKENS = re.compile(
    r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|>>>=|\*\*=|//=|<<=|>>=|\?\?=|\.\.\.|->|=>|:=|::|\?\?|\?\."
    r"|\+\+|--|&&|\|\||\*\*|//|<<|[-+*/%&|^=!<>@]=|\d+\.\d\w*|\w+|[^\w\s]"
)
_CODE = re.compile(r"\w+|[^\w\s]")


def sentence_bleu(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Smoothed BLEU-4 of one pair of token lists, as the docstring task of CodeXGLUE has it (Lin and Och 2004).

    n-gram precisions are smoothed by one above and below for n of 2 to 4 only; the brevity penalty adds one token
    to either length. An empty hypothesis scores ``exp(-len(reference))``, as there.
    """
    log_score = 0.0
    for n in range(1, _ORDER + 1):
        there, said = _ngrams(reference, n), _ngrams(hypothesis, n)
        right, smoothing = sum((there & said).values()), int(n > 1)
        if not right + smoothing:
            if said:
                return 0.0
            continue
        log_score += math.log(right + smoothing) - math.log(sum(said.values()) + smoothing)
    penalty = min(0.0, 1 - (len(reference) + 1) / (len(hypothesis) + 1))
    return math.exp(log_score / _ORDER + penalty)


def docstring_bleu(reference: str, hypothesis: str) -> float:
    """:func:`sentence_bleu` of natural language: lower case, punctuation and underscores are words of their own.

    The figure of a benchmark is the mean over its pairs (CodeXGLUE, Code-Text/code-to-text, evaluator).
    """
    return sentence_bleu(_WORDS.findall(reference.lower()), _WORDS.findall(hypothesis.lower()))


def code_tokens(text: str) -> list[str]:
    """Words, and each other sign by itself."""
    return _CODE.findall(text)


def code_bleu4(reference: str, hypothesis: str) -> float:
    """:func:`sentence_bleu` of a line of code, whose case counts."""
    return sentence_bleu(code_tokens(reference), code_tokens(hypothesis))


def edit_similarity(first: str, second: str) -> float:
    """fuzzywuzzy's ``ratio`` over 100, in whole percents: twice the longest common subsequence over both lengths.

    (As with python-Levenshtein, or rapidfuzz, installed; without them fuzzywuzzy falls back to difflib's blocks,
    which depend on the order of the two.)
    """
    if first == second:
        return 1.0
    return round(200 * _common_subsequence(first, second) / (len(first) + len(second))) / 100


def equal_tokens(first: str, second: str) -> bool:
    """Whether two lines of code have the same tokens, whatever white space is between them.

    (LongCoder's evaluator parses both lines for it, all languages by the grammar of C#. Here strings and numbers are
    one token each, and so are operators of several signs. Comments count in both.)
    """
    return _TOKENS.findall(first) == _TOKENS.findall(second)


def _common_subsequence(first: str, second: str) -> int:
    """Length of the longest common subsequence; a row of the table is the bits of one integer (Hyyrö 2004)."""
    letter_positions: dict[str, int] = {}
    for index, letter in enumerate(first):
        letter_positions[letter] = letter_positions.get(letter, 0) | 1 << index
    mask = row = (1 << len(first)) - 1
    for letter in second:
        matches = row & letter_positions.get(letter, 0)
        row = (row + matches | row - matches) & mask
    return len(first) - row.bit_count()


def _ngrams(tokens: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1))
