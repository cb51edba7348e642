"""Text that looks like a dialogue's tags, spelled so that it is none."""

from __future__ import annotations

import re

from codecascade.tokens.tokenizer import Tokenizer

_INVISIBLE = "\u200b"


def spelled_out(tokenizer: Tokenizer, text: str, tags: re.Pattern[str]) -> list[str]:
    """``text`` cut into strings that are to be encoded one by one, so that a tag in it is not that tag's ids.

    Tags are ordinary text, such as Llama 2's ``[INST]``; their letters are encoded one by one.
    """
    texts, start = [""], 0
    for match in tags.finditer(text):
        texts[-1] += text[start : match.start()]
        start = match.end()
        texts += [*letters_of(tokenizer, match[0]), ""]
    texts[-1] += text[start:]
    return texts


def letters_of(tokenizer: Tokenizer, tag: str) -> list[str]:
    """The letters of a tag. A vocabulary that spells it anyway gets an invisible sign into it."""
    letters = list(tag)
    spelled = [token_id for letter in letters for token_id in tokenizer.encode_continuation(letter)]
    if spelled == tokenizer.encode_continuation(tag):
        letters.insert(1, _INVISIBLE)
    return letters
