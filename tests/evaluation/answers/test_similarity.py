from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.evaluation.answers.similarity import (
    code_bleu4,
    docstring_bleu,
    edit_similarity,
    equal_tokens,
    sentence_bleu,
)

SENTENCE = ["the", "cat", "sat", "on", "a", "mat"]
WORDS = st.lists(st.sampled_from(SENTENCE), max_size=9)


def test_bleu_by_hand() -> None:
    # 5 of 6 words, 3 of 5 pairs, 2 of 4 triples, 1 of 3 quadruples; smoothed from the pairs on; equal lengths
    by_hand = math.exp((math.log(5 / 6) + math.log(4 / 6) + math.log(3 / 5) + math.log(2 / 4)) / 4)
    # words: the cat sat on mat (the second "the" is one too many); pairs: the cat, cat sat, sat on
    assert sentence_bleu(SENTENCE, ["the", "cat", "sat", "on", "mat", "the"]) == pytest.approx(by_hand)


def test_short_answers_are_penalised_with_one_token_more_on_either_side() -> None:
    # 2 of 2 words, 1 of 1 pairs, no triple, no quadruple: all precisions are 1; 6 + 1 tokens against 2 + 1
    assert sentence_bleu(SENTENCE, SENTENCE[:2]) == pytest.approx(math.exp(1 - 7 / 3))
    assert sentence_bleu(SENTENCE, []) == pytest.approx(math.exp(-6))
    assert sentence_bleu(SENTENCE, ["dog"]) == 0.0


@given(WORDS, WORDS)
def test_bleu_is_a_share_and_1_for_equal_texts(reference: list[str], hypothesis: list[str]) -> None:
    assert 0.0 <= sentence_bleu(reference, hypothesis) <= 1.0
    assert sentence_bleu(reference, reference) == pytest.approx(1.0)


def test_docstrings_are_compared_without_case_and_code_with_it() -> None:
    assert docstring_bleu("Return the my_value.", "return the MY _ value .") == pytest.approx(1.0)
    assert code_bleu4("return self.Value", "return self . Value") == pytest.approx(1.0)
    assert code_bleu4("return self.Value", "return self.value") < 0.8


def test_edit_similarity_is_in_whole_percents_of_the_common_subsequence() -> None:
    # 7 letters of 8 in common: 87.5.
    assert edit_similarity("return a", "return b") == 0.88
    assert edit_similarity("abc", "xyz") == edit_similarity("abc", "") == 0.0
    assert edit_similarity("", "") == edit_similarity("abc", "abc") == 1.0


@given(st.text("abc", max_size=12), st.text("abc", max_size=12))
def test_the_common_subsequence_is_the_textbooks(first: str, second: str) -> None:
    table = [[0] * (len(second) + 1) for _ in range(len(first) + 1)]
    for i, one in enumerate(first):
        for j, other in enumerate(second):
            table[i + 1][j + 1] = table[i][j] + 1 if one == other else max(table[i][j + 1], table[i + 1][j])
    size = len(first) + len(second)
    expected = round(200 * table[-1][-1] / size) / 100 if size else 1.0
    assert edit_similarity(first, second) == edit_similarity(second, first) == expected


def test_white_space_between_tokens_does_not_count() -> None:
    assert equal_tokens("a = 1", "  a  =\t1\n") and equal_tokens("a = 1", "a =1")
    assert not equal_tokens("a = 1", "a = 11")
