"""Where control tokens are in rendered text, by the rules of the tokenizers library.

An added token may take the white space beside it (``lstrip``, ``rstrip``: Phi's ``<|user|>`` takes the newline after
it), or count as a whole word only. So the library itself finds them, with a tokenizer that has no other tokens.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache

import tokenizers

from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.tokenizer import Tokenizer, library_error

_OTHER = "\0"


@dataclass(frozen=True)
class ControlToken:
    """A control token in a text: characters ``start`` to ``end``."""

    start: int
    end: int
    id: int


def control_tokens(tokenizer: Tokenizer, text: str) -> list[ControlToken]:
    """The control tokens that a text spells, in order.

    Raises:
        UserError: the tokenizers library can't read the text.
    """
    finder, ids = _finder(tokenizer)
    try:
        encoding = finder.encode(text, add_special_tokens=False)
    except BaseException as error:
        raise library_error(error, "the tokenizer can't encode what the chat template writes") from None
    return [
        ControlToken(start, end, ids[token_id])
        for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True)
        if token_id in ids
    ]


@lru_cache(maxsize=8)
def _finder(tokenizer: Tokenizer) -> tuple[tokenizers.Tokenizer, dict[int, int]]:
    """A tokenizer of the added tokens alone, and the ids of those that are control tokens by its own ids."""
    spec = tokenizer.spec
    added = {token["content"]: token for token in spec["added_tokens"] if token["content"] != _OTHER}
    for name, token_id in tokenizer.vocabulary.items():
        if token_id in tokenizer.special_ids and name not in added:
            # control pieces of the vocabulary itself, as in Code Llama's tokenizer.model
            added[name] = tokenizer_json.added_token(name, token_id)
    numbers = {name: number for number, name in enumerate(added, 1)}
    normalizers = [step for step in tokenizer_json.steps(spec["normalizer"]) if step["type"] != "Prepend"]
    finder = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{**token, "id": numbers[name]} for name, token in added.items()],
        "normalizer": {"type": "Sequence", "normalizers": normalizers} if normalizers else None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "WordLevel", "vocab": {_OTHER: 0, **numbers}, "unk_token": _OTHER},
    }
    ids = {number: tokenizer.vocabulary[name] for name, number in numbers.items()}
    control = {number: token_id for number, token_id in ids.items() if token_id in tokenizer.special_ids}
    return tokenizers.Tokenizer.from_str(json.dumps(finder)), control
