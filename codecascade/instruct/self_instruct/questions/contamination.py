"""Whether a question is one of a benchmark's: it has parts of its text, or asks for the same in other words.

A corpus is checked by runs of 50 letters (:mod:`codecascade.corpus.steps.decontamination`). A question is shorter
than a document, and often than the benchmark's text, so the shared runs are counted as a share of the shorter one of
the two. Many problems of MBPP are one short sentence, which a model may ask for in its own words. So the content
words are compared as well: of the whole texts, and of their first sentences. A model says in the first sentence what
the function does, and in the others what becomes of empty lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from codecascade.corpus.steps.decontamination import BenchmarkIndex, BenchmarkTexts
from codecascade.instruct.docstrings import docstring_prose
from codecascade.instruct.self_instruct.questions.wording import AlikeIndex, content_words

LONGEST_STATEMENT = 1000
"""Characters. A longer statement has enough runs of 50 letters to be known by."""

FEWEST_IN_A_SENTENCE = 4
"""Content words. A first sentence with fewer says too little to be compared alone."""

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")
_DOCSTRING = re.compile(r'("""|\'\'\')(.+?)\1', re.DOTALL)
_EXAMPLES = re.compile(
    r"^[^\S\n]*(?:>>>|(?:for )?examples?\b\W*$|\w+\([^\n]*(?:=>|==|➞|->))", re.IGNORECASE | re.MULTILINE
)
_CODE = re.compile(
    r"\s*(?:(?:def|class|import|from|assert|return|for|while|if)\b(?=[^\n]*[:=(])|@\w|#include|\w+ *=|\w+\()"
)


class BenchmarkCheck:
    """Finds the benchmark text that a question overlaps.

    Args:
        overlap: the share of the shorter text's runs of 50 letters from which it counts as contained.
        alike: the share of common content words from which a question counts as the same.
    """

    def __init__(self, benchmarks: BenchmarkTexts, *, overlap: float, alike: float) -> None:
        self._overlap = overlap
        self._runs = BenchmarkIndex(benchmarks.texts, overlap)
        self._statements = AlikeIndex(alike)
        for name, text in benchmarks.texts.items():
            for statement in statements_of(text):
                for form in _whole_and_first_sentence(statement):
                    self._statements.add(name, form)

    def match(self, question: str) -> str | None:
        """The name of the benchmark text that the question overlaps most; None if there is none."""
        shared = self._runs.shares_of_shorter(question)
        best = max(shared, key=lambda name: (shared[name], name), default=None)
        if best is not None and shared[best] >= self._overlap:
            return best
        alike = (self._statements.match(form) for form in _whole_and_first_sentence(question))
        return next((found[0] for found in alike if found is not None), None)


def _whole_and_first_sentence(text: str) -> Iterator[str]:
    yield text
    sentence = _SENTENCE_END.split(text.strip(), maxsplit=1)[0]
    # "You are given a list of integers." begins many questions.
    if sentence != text and len(content_words(sentence)) >= FEWEST_IN_A_SENTENCE:
        yield sentence


def statements_of(text: str) -> Iterator[str]:
    """What a benchmark's text asks for, in prose: its docstrings, or the text itself if it is no code."""
    docstrings = [match[2] for match in _DOCSTRING.finditer(text)]
    if docstrings:
        for docstring in docstrings:
            prose = docstring_prose(_EXAMPLES.split(docstring, maxsplit=1)[0])
            if prose and len(prose) <= LONGEST_STATEMENT:
                yield prose
    elif len(text) <= LONGEST_STATEMENT and not _CODE.match(text):
        yield text
