"""How similar two texts are: smoothed BLEU-4, edit similarity, equality up to white space. All are in [0, 1]."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

_ORDER = 4
# CodeXGLUE's evaluator splits words from punctuation and then applies the rules of mteval-v11a. After the first step,
# all that these rules can do is to split off underscores.
_WORDS = re.compile(r"[^\W_]+|_|[^\w\s]")
# Tokens of Python, Java and C#: strings, operators of several characters, words and numbers, other characters.
_TOKENS = re.compile(
    r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|>>>=|\*\*=|//=|<<=|>>=|\?\?=|\.\.\.|->|=>|:=|::|\?\?|\?\."
    r"|\+\+|--|&&|\|\||\*\*|//|<<|[-+*/%&|^=!<>@]=|\d+\.\d\w*|\w+|[^\w\s]"
)
_CODE = re.compile(r"\w+|[^\w\s]")


def sentence_bleu(reference: Sequence[str], hypothesis: Sequence[str]) -> float:
    """Smoothed BLEU-4 of one pair of token lists, as in CodeXGLUE's docstring task (Lin and Och 2004).

    For n of 2 to 4, one is added to the numerator and denominator of the n-gram precision. The brevity penalty adds
    one token to both lengths. An empty hypothesis scores ``exp(-len(reference))``, as it does there.
    """
    log_score = 0.0
    for n in range(1, _ORDER + 1):
        expected, found = _ngrams(reference, n), _ngrams(hypothesis, n)
        right, smoothing = sum((expected & found).values()), int(n > 1)
        if not right + smoothing:
            if found:
                return 0.0
            continue
        log_score += math.log(right + smoothing) - math.log(sum(found.values()) + smoothing)
    penalty = min(0.0, 1 - (len(reference) + 1) / (len(hypothesis) + 1))
    return math.exp(log_score / _ORDER + penalty)


def docstring_bleu(reference: str, hypothesis: str) -> float:
    """:func:`sentence_bleu` of natural language in lower case. Punctuation and underscores are words of their own.

    The figure of a benchmark is the mean over its pairs (CodeXGLUE, Code-Text/code-to-text, evaluator).
    """
    return sentence_bleu(_WORDS.findall(reference.lower()), _WORDS.findall(hypothesis.lower()))


def code_tokens(text: str) -> list[str]:
    """Words, and every other character that is not white space by itself."""
    return _CODE.findall(text)


def code_bleu4(reference: str, hypothesis: str) -> float:
    """:func:`sentence_bleu` of a line of code. Case counts."""
    return sentence_bleu(code_tokens(reference), code_tokens(hypothesis))


def edit_similarity(first: str, second: str) -> float:
    """fuzzywuzzy's ``ratio`` over 100, in whole percents: twice the longest common subsequence over both lengths.

    fuzzywuzzy gives this value if python-Levenshtein or rapidfuzz is installed. Without them it uses difflib, whose
    value depends on the order of the two texts.
    """
    if first == second:
        return 1.0
    return round(200 * _common_subsequence(first, second) / (len(first) + len(second))) / 100


def equal_tokens(first: str, second: str) -> bool:
    """Whether two lines of code have the same tokens, whatever white space is between them.

    LongCoder's evaluator parses both lines with the grammar of C#, whatever their language. Here a string, a number,
    and an operator of several characters is one token each. Comments count in both.
    """
    return _TOKENS.findall(first) == _TOKENS.findall(second)


def _common_subsequence(first: str, second: str) -> int:
    """The length of the longest common subsequence. The bits of one integer are a row of the table (Hyyrö 2004)."""
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
