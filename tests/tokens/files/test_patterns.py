"""Patterns that can take endless time are told from those that tokenizers use, by their form."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from codecascade.tokens.files.patterns import takes_too_much
from codecascade.tokens.files.pre_tokenizers import PRE_TOKENIZERS
from codecascade.tokens.training import _LLAMA_WORDS

_ENDINGS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
PUBLISHED = {
    "GPT-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "GPT-4o": (
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+" + _ENDINGS + "|"
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*" + _ENDINGS + "|"
        r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "DeepSeek-V3": (
        r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "digits in threes": r"(?<=\p{N})(?=(\p{N}{3})+(?!\p{N}))",
    "BLOOM": r" ?[^(\s|[.,!?…。，、।۔،])]+",
    "here": _LLAMA_WORDS,
    **{
        f"{name} {number}": step["pattern"]["Regex"]
        for name, steps in PRE_TOKENIZERS.items()
        for number, step in enumerate(steps)
        if step["type"] == "Split"
    },
}


@pytest.mark.parametrize("pattern", PUBLISHED.values(), ids=PUBLISHED)
def test_the_patterns_of_published_tokenizers(pattern: str) -> None:
    assert not takes_too_much(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "[]a]+",
        "[^]a]+b*",
        "(?:\\r\\n)+",
        "(?:ab{2})*",
        "(?>a+|b)*",
        "(?:a++)*",
        "[(a+)+]",
        "\\(a+\\)+",
        "{}",
        "a{,}",
        "(",
        ")",
        "a|",
        "[",
        "\\",
        "(?i)a+",
        "(?#x(a+)+)b",
        "(?:a{1,2}){3}",
        "(?=a+)*",
        "[[a]b+]+",
        "(?:a|b)(?:a|b)?c*d*",
        "(?>[ab]*c)*",
        "\\g",
    ],
)
def test_harmless_patterns(pattern: str) -> None:
    assert not takes_too_much(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(?:a|a)*b",
        "(a|aa)+$",
        "((a)*)*",
        "(a?){50}",
        "(a*)*?",
        "(?:a+){2,}",
        "(?<n>a+)*",
        "(?i:a+)+",
        "(?=(a+)+b)",
        "(?>(a+)+)",
        "a+*",
        "(a+)++",
        "(?:\\p{L}+ ?)*x",
        "x)(a+)+",
        "[[a]b]*(?:[]+]+)+",
        "(?-i:a+)*",
        "(?m)(a+)+",
        "a*a*a*a*b",
        "(?:a|a)" * 22 + "b",
        "a?" * 22 + "b",
        "(?:a|a){3}" * 8 + "b",
        "(?>" + "(?:a|a)" * 22 + "b)",
        "a*a*(?=a*a*b)c",
        "a{1,4000}a{1,4000}a{1,4000}a{1,4000}b",
        "(?<n>a\\g<n>?\\g<n>?)",
        "(?<n>a\\g'n'?)",
        "(?~ab)*",
        "(?:(?:a{999}){999}){9}",
        "a{999}{999}",
        "(" * 1000,
        "x" * 100000,
    ],
)
def test_patterns_that_can_take_endless_time_or_much_memory(pattern: str) -> None:
    assert takes_too_much(pattern)


_texts = st.text("ab()[]{}|*+?\\^:=!<>,19#i-", max_size=30)


@given(_texts, _texts)
def test_nothing_that_follows_makes_a_pattern_harmless(pattern: str, more: str) -> None:
    """Any text is read to its end, a regular expression or not."""
    assert takes_too_much(pattern + more) or not takes_too_much(pattern)
