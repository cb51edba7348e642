"""Token healing: a prompt that ends inside a token goes on as if it had been tokenised whole.

The last tokens of a prompt are what its last characters become *when nothing follows*. In training
something did: a newline and the indent after it are one token for SmolLM2, so after a prompt that ends in a
newline the indent is out of distribution. Healing takes such tokens off the prompt and lets the model choose
again, among the tokens that agree with the bytes taken off. What it writes past those bytes is the answer.

An infilling prompt is healed at the end of its prefix, where the gap is, wherever that stands in its layout.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache

from codecascade.tokens.families import InfillingTokens
from codecascade.tokens.tokenizer import Tokenizer


def heal(
    tokenizer: Tokenizer, ids: Sequence[int], *, whole_characters: bool = False
) -> tuple[list[int], bytes]:
    """Take off the longest tail of a prompt that some token begins with and goes beyond.

    Args:
        whole_characters: the tail does not begin inside a character.

    Returns:
        The ids that stay, and the bytes of the tail, which the continuation has to begin with (``b""`` if
        nothing was taken off). A special token is never taken off, nor is anything before one.
    """
    pieces = _pieces(tokenizer)
    tail = required = b""
    kept = len(ids)
    for index in range(len(ids) - 1, -1, -1):
        piece = tokenizer.token_bytes(ids[index])
        tail = piece + tail
        if not piece or len(tail) >= pieces.longest:
            break
        if pieces.longer_than(tail) and not (whole_characters and _begins_inside(tail)):
            kept, required = index, tail
    return list(ids[:kept]), required


def heal_infilling(tokenizer: Tokenizer, ids: Sequence[int], layout: str) -> tuple[list[int], bytes]:
    """:func:`heal` of the prefix in an infilling prompt, with or without parts of other files before it.

    In SPM the prefix ends the prompt. In PSM the suffix stands behind it, and the middle begins with what was taken
    off: what a model was trained on where a document was split a few characters earlier.

    Args:
        layout: that of the prompt, "psm" or "spm".
    """
    if tokenizer.infilling is None:
        raise ValueError("a prompt of a tokenizer without infilling tokens")
    if layout != "psm":
        return heal(tokenizer, ids)
    end = _end_of_prefix(tokenizer.infilling, ids)
    kept, required = heal(tokenizer, ids[:end], whole_characters=True)
    if kept and kept[-1] == tokenizer.infilling.prefix:
        # Of a middle nothing is in front, not even the space that begins a text in vocabularies of SentencePiece.
        required = tokenizer.decode(ids[len(kept) : end]).encode()
    return [*kept, *ids[end:]], required


def unhealed_text(tokenizer: Tokenizer, ids: Sequence[int], required: bytes) -> str:
    """The text of a prompt with what healing took off where it was; special tokens are left out."""
    infilling = tokenizer.infilling
    if infilling is None or infilling.middle is None or ids[-1] != infilling.middle:
        return tokenizer.decode([*ids, *spelled(tokenizer, required)])
    end = _end_of_prefix(infilling, ids)
    return tokenizer.decode(ids[:end]) + required.decode() + tokenizer.decode_continuation(ids[end:])


def _end_of_prefix(infilling: InfillingTokens, ids: Sequence[int]) -> int:
    """Where the prefix of a prompt in PSM ends."""
    return max(index for index, token in enumerate(ids) if token == infilling.suffix)


def _begins_inside(data: bytes) -> bool:
    """Whether bytes begin inside a character of UTF-8."""
    return data[0] & 0xC0 == 0x80


class HealingConstraint:
    """Which tokens may come next while a continuation still owes ``required`` bytes."""

    def __init__(self, tokenizer: Tokenizer, required: bytes) -> None:
        self.required = required
        self._pieces = _pieces(tokenizer)

    def allowed(self, generated: bytes) -> list[int] | None:
        """The ids that agree with ``required`` after ``generated``; None once all of it has been written.

        A token agrees if it is a piece of what is owed, or if what is owed is how it begins: several short
        tokens may be needed, and the last may go beyond.
        """
        if len(generated) >= len(self.required):
            return None
        return self._pieces.agreeing(self.required[len(generated) :])

    def completing(self, generated: bytes) -> list[int]:
        """The ids that write what is still owed after ``generated``, and nothing beyond it."""
        return self._pieces.equal_to(self.required[len(generated) :])


def spelled(tokenizer: Tokenizer, data: bytes) -> list[int]:
    """Ids that write ``data``: those of its encoding, or the longest pieces where it is no text of its own."""
    try:
        ids = tokenizer.encode_continuation(data.decode())
    except UnicodeDecodeError:
        ids = []
    if b"".join(map(tokenizer.token_bytes, ids)) == data:
        return ids
    pieces, ids = _pieces(tokenizer), []
    while data:
        lengths = range(min(len(data), pieces.longest), 0, -1)
        found = next((found for length in lengths if (found := pieces.equal_to(data[:length]))), None)
        if found is None:
            raise ValueError(f"no token writes {data[:1]!r}")
        ids.append(found[0])
        data = data[len(tokenizer.token_bytes(found[0])) :]
    return ids


def beginning_with(tokenizer: Tokenizer, data: bytes) -> list[int]:
    """The ids of the tokens whose bytes begin with ``data``."""
    return _pieces(tokenizer).beginning_with(data)


class _Pieces:
    """The pieces of a vocabulary in the order of their bytes: those with a common beginning are neighbours."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        order = sorted((piece, token_id) for token_id, piece in enumerate(pieces) if piece)
        self._bytes = [piece for piece, _ in order]
        self._ids = [token_id for _, token_id in order]
        self.longest = max(map(len, pieces))

    def beginning_with(self, prefix: bytes) -> list[int]:
        return self._ids[self._places_of(prefix)]

    def _places_of(self, prefix: bytes) -> slice:
        """Where the pieces stand that begin with ``prefix``."""
        above = prefix + b"\xff" * self.longest  # no piece that begins with prefix comes after this
        return slice(bisect_left(self._bytes, prefix), bisect_left(self._bytes, above))

    def longer_than(self, prefix: bytes) -> bool:
        last = self._bytes[self._places_of(prefix)][-1:]
        return bool(last) and len(last[0]) > len(prefix)

    def agreeing(self, owed: bytes) -> list[int]:
        ids = []
        for length in range(1, min(len(owed), self.longest + 1)):
            ids += self.equal_to(owed[:length])
        return ids + self.beginning_with(owed)

    def equal_to(self, piece: bytes) -> list[int]:
        at = bisect_left(self._bytes, piece)
        return self._ids[at : bisect_right(self._bytes, piece)]


@lru_cache(maxsize=4)
def _pieces(tokenizer: Tokenizer) -> _Pieces:
    return _Pieces(tokenizer.pieces)
