"""Infilling: the order of prefix, suffix and middle, in ids (paper, section 2.3; Bavarian et al. 2022).

``E`` encodes as the tokenizer's family does. ``N`` encodes without a leading space. BOS is written only if the family
adds one::

    PSM   BOS PRE E(prefix) SUF N(suffix) MID       | N(middle) END
    SPM   BOS PRE SUF N(suffix) MID E(prefix        |   middle) END

The ids left of the bar are the prompt. In training, SPM encodes prefix and middle as one text, so a token may
cross their border ("compatible SPM"). A prompt has the prefix alone, so it may end in the first part of such a token:
see ``healing``.

Families with their own tokens differ in small ways. StarCoder's and Qwen's layouts are these. DeepSeek-Coder's
``SUF`` marks the hole. Codestral has SPM alone, as ``[SUFFIX] suffix [PREFIX] prefix middle``.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codecascade.ground.errors import UserError
from codecascade.ground.format import listed
from codecascade.tokens import families
from codecascade.tokens.families import InfillingTokens
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.healing import heal_infilling
from codecascade.tokens.tokenizer import Tokenizer

__all__ = [
    "InfillingExample",
    "InfillingTokens",
    "add_infilling_tokens",
    "drop_infilling_tokens",
    "forbidden_tokens",
    "infilling_example",
    "infilling_prompt",
    "rows_for",
    "split_document",
    "token_at_byte",
    "written_bytes",
]

_LLAMA2_PIECES = 32_000
# The id of Code Llama's ▁<PRE>; 32000 to 32006 are pieces that its models never see.
_LLAMA2_FIRST = 32_007
_LLAMA2_ROWS = 32_016


@dataclass(frozen=True)
class InfillingExample:
    """A filled document: its ids, which end in the end-of-infilling token, and where the middle begins in them.

    ``ids[middle_start:]`` begins with the first token that contains a character of the middle.
    """

    ids: list[int]
    middle_start: int


def infilling_prompt(
    tokenizer: Tokenizer,
    prefix: str,
    suffix: str,
    *,
    format: str = "psm",  # noqa: A002  (the field's name for it)
) -> list[int]:
    """The prompt after which a model writes the middle; ``format`` is "psm" or "spm".

    Raises:
        UserError: the tokenizer has no infilling tokens, or its family does not know the format.
    """
    ids, text = _layout(tokenizer, prefix, suffix, format)
    return [*ids, *tokenizer.encode(text)]


def infilling_example(
    tokenizer: Tokenizer,
    prefix: str,
    middle: str,
    suffix: str,
    *,
    format: str,  # noqa: A002
    heal: bool = False,
) -> InfillingExample:
    """The prompt, the middle and the end of infilling, as for training. Raises as :func:`infilling_prompt`.

    Args:
        heal: in PSM what token healing takes off the prefix is at the beginning of the middle, as where a model is
            asked so. SPM is the same in either case.
    """
    ids, text = _layout(tokenizer, prefix, suffix, format)
    end = _infilling_tokens(tokenizer, format).end
    if format == "psm":
        taken = ""
        if heal:
            ids, required = heal_infilling(tokenizer, ids, format)
            taken = required.decode()
        written = tokenizer.encode_continuation(taken + middle)
        start = token_at_byte(tokenizer, written, len(taken.encode()))
        return InfillingExample([*ids, *written, end], len(ids) + start)
    joined = tokenizer.encode(text + middle)
    start = token_at_byte(tokenizer, joined, len(written_bytes(tokenizer, tokenizer.encode(text))))
    return InfillingExample([*ids, *joined, end], len(ids) + start)


def forbidden_tokens(tokenizer: Tokenizer, *, end: bool) -> frozenset[int]:
    """The tokens that must not be generated: those that mark the prefix, suffix and middle of an infilling prompt.

    Args:
        end: also forbid the token that ends a middle, for a text that is not a middle. A token that ends documents
            as well stays allowed.
    """
    tokens = tokenizer.infilling
    if tokens is None:
        return frozenset()
    found = {tokens.prefix, tokens.suffix, tokens.middle}
    if end and tokens.end not in (tokenizer.eos_id, tokenizer.end_of_document_id):
        found.add(tokens.end)
    return frozenset(token_id for token_id in found if token_id is not None)


def _layout(tokenizer: Tokenizer, prefix: str, suffix: str, layout: str) -> tuple[list[int], str]:
    """The ids up to the last control token, and the text before the middle (empty in PSM, the prefix in SPM)."""
    tokens = _infilling_tokens(tokenizer, layout)
    bos, after = tokenizer.bos(), tokenizer.encode_continuation(suffix)
    if tokens.middle is None:
        return [*bos, tokens.suffix, *after, tokens.prefix], prefix
    if layout == "psm":
        return [*bos, tokens.prefix, *tokenizer.encode(prefix), tokens.suffix, *after, tokens.middle], ""
    return [*bos, tokens.prefix, tokens.suffix, *after, tokens.middle], prefix


def _infilling_tokens(tokenizer: Tokenizer, layout: str) -> InfillingTokens:
    tokens = tokenizer.infilling
    if tokens is None:
        raise UserError("the tokenizer has no infilling tokens; train an infilling stage first")
    if layout not in tokens.formats:
        raise UserError(
            f"{layout!r} is not an infilling format of this tokenizer; use {' or '.join(tokens.formats)}"
        )
    return tokens


def written_bytes(tokenizer: Tokenizer, ids: Iterable[int]) -> bytes:
    """The bytes of ids in the middle of a text; special tokens have none."""
    return b"".join(map(tokenizer.token_bytes, ids))


def token_at_byte(tokenizer: Tokenizer, ids: Sequence[int], offset: int) -> int:
    """The index of the token that holds byte ``offset`` of the text; ``len(ids)`` if it ends before."""
    for index, token_id in enumerate(ids):
        offset -= len(tokenizer.token_bytes(token_id))
        if offset < 0:
            return index
    return len(ids)


def split_document(text: str, rng: random.Random) -> tuple[str, str, str]:
    """``(prefix, middle, suffix)`` at two independent uniform cuts between characters; any may be empty."""
    first, second = sorted((rng.randint(0, len(text)), rng.randint(0, len(text))))
    return text[:first], text[first:second], text[second:]


def add_infilling_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer with infilling tokens: its own if it has some, else Code Llama's four.

    Llama 2's vocabulary gets them at 32007 to 32010, as released (placeholders fill the ids before, for the
    file format knows no gaps); any other at the next free ids.
    """
    if tokenizer.infilling is not None:
        return tokenizer
    next_id = tokenizer.vocab_size
    first = max(next_id, _LLAMA2_FIRST) if _is_llama2(tokenizer) else next_id
    names = [_placeholder(token_id) for token_id in range(next_id, first)] + list(families.CODE_LLAMA_TOKENS)
    return tokenizer.with_vocabulary(
        [tokenizer_json.added_token(name, next_id + n) for n, name in enumerate(names)]
    )


def drop_infilling_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer without Code Llama's infilling tokens (Llama 2's vocabulary: 32,000 pieces again).

    Families whose own vocabulary has infilling tokens keep them.

    Raises:
        UserError: other tokens come after them, and their ids would change.
    """
    if tokenizer.infilling is None or tokenizer.infilling.family != "code_llama":
        return tokenizer
    names = {
        *families.CODE_LLAMA_TOKENS,
        *(_placeholder(token_id) for token_id in range(tokenizer.vocab_size)),
    }
    drop = {token_id for name, token_id in tokenizer.vocabulary.items() if name in names}
    if _is_llama2(tokenizer):
        # Code Llama's released vocabulary has parts of the four names among its pieces
        drop |= {
            token_id for token_id in tokenizer.spec["model"]["vocab"].values() if token_id >= _LLAMA2_PIECES
        }
    first = min(drop)
    if behind := [name for name, id_ in tokenizer.vocabulary.items() if id_ > first and id_ not in drop]:
        raise UserError(
            f"the infilling tokens can't be dropped: {listed(behind)} comes after them and would get another id; "
            "keep them, or drop them in an earlier stage",
            key="keep_infilling_tokens",
        )
    return tokenizer.with_vocabulary([], drop=drop)


def rows_for(tokenizer_size: int) -> int:
    """The rows of a model's embedding for a tokenizer of this size.

    They are 32,016 for Llama 2's vocabulary with infilling tokens, as released; else the next multiple of 64.
    """
    if _LLAMA2_FIRST + len(families.CODE_LLAMA_TOKENS) <= tokenizer_size <= _LLAMA2_ROWS:
        return _LLAMA2_ROWS
    return -(-tokenizer_size // 64) * 64


def _placeholder(token_id: int) -> str:
    return f"<unused{token_id}>"


def _is_llama2(tokenizer: Tokenizer) -> bool:
    some = {"▁▁": 259, "▁t": 260, "▁": 29_871, "☺": 31_171}
    size = sum(token_id < _LLAMA2_PIECES for token_id in tokenizer.vocabulary.values())
    return size == _LLAMA2_PIECES and all(
        tokenizer.vocabulary.get(piece) == token_id for piece, token_id in some.items()
    )
