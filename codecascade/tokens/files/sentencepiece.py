"""Reads a SentencePiece ``tokenizer.model``: a protocol-buffer message, of which a few fields matter here.

Source: ``sentencepiece_model.proto`` of google/sentencepiece (field numbers below are its).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import read_bytes
from codecascade.ground.files.values import short
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.checks import MOST_TOKENS
from codecascade.tokens.files.tokenizer_json import Spec

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
_BPE = 2
_MOST_BYTES = 32 << 20
_LONGEST_PIECE = 1024
# Letters of all ways to cut all pieces in two: time and memory grow with them. Llama's vocabulary has a million.
_MOST_LETTERS = 2**26
_LONGEST_VARINT = 10
_AS_SUFFIX, _ESCAPED = "treat_whitespace_as_suffix is true", "escape_whitespaces is false"


class SentencePiece(NamedTuple):
    """A piece of the vocabulary; its id is its place in the list. GGUF files use the same ``kind`` numbers."""

    text: str
    score: float
    kind: int


def read_sentencepiece(path: str | Path) -> tuple[Spec, dict[str, Any]]:
    """``(tokenizer.json, tokenizer_config.json)`` of a SentencePiece byte-pair model.

    Raises:
        UserError: the file is broken, not a byte-pair model, or normalises text (code must come back unchanged).
    """
    data = read_bytes(path, _MOST_BYTES)
    try:
        message = list(_fields(data))
        if sum(number == 1 for number, _ in message) > MOST_TOKENS:
            raise UserError(f"holds more than {MOST_TOKENS:,} pieces", file=path)
        pieces = [_piece(value) for number, value in message if number == 1]
        trainer, normalizer = (dict(_fields(_last(message, number, b""))) for number in (2, 3))
    except (IndexError, KeyError, struct.error, UnicodeDecodeError, TypeError, AttributeError) as error:
        raise UserError("is not a SentencePiece model", file=path) from error
    if not pieces:
        raise UserError("is not a SentencePiece model", file=path)
    if trainer.get(3, 1) != _BPE:
        raise UserError("is not a byte-pair model (model_type is not BPE)", file=path)
    if normalizer.get(2) or normalizer.get(4, True):
        raise UserError("normalises text or removes spaces: unfit for code", file=path)
    # fields that move spaces, or leave them as they are
    for field, usual, name in ((trainer.get(24), False, _AS_SUFFIX), (normalizer.get(5), True, _ESCAPED)):
        if field is not None and bool(field) != usual:
            raise UserError(f"spells spaces in a way that is not supported ({name})", file=path)
    _check_texts(pieces, path)
    ids = {"unk_token": trainer.get(40, 0), "bos_token": trainer.get(41, 1), "eos_token": trainer.get(42, 2)}
    if not all(isinstance(token_id, int) for token_id in ids.values()):
        raise UserError("is not a SentencePiece model", file=path)
    # an id that is not used is written as -1, which is a huge number here
    config: dict[str, Any] = {
        key: pieces[token_id].text for key, token_id in ids.items() if token_id < len(pieces)
    }
    try:
        spec = spec_from_pieces(pieces, dummy_prefix=bool(normalizer.get(3, True)))
    except UserError as error:
        raise UserError(error.message, file=path, key=error.key) from None
    return spec, {**config, "add_bos_token": "bos_token" in config}


def _check_texts(pieces: Sequence[SentencePiece], path: str | Path) -> None:
    """Refuse what sentencepiece refuses: a piece without text, or with that of another."""
    known: dict[str, int] = {}
    for token_id, piece in enumerate(pieces):
        if not piece.text:
            raise UserError(f"piece {token_id} is empty", file=path)
        if (first := known.setdefault(piece.text, token_id)) != token_id:
            raise UserError(f"pieces {first} and {token_id} are both {short(piece.text)}", file=path)


def spec_from_pieces(pieces: Sequence[SentencePiece], *, dummy_prefix: bool) -> Spec:
    """The ``tokenizer.json`` of a SentencePiece vocabulary. User-defined pieces are matched whole, as there.

    Raises:
        UserError: a piece is too long or has no score, or there are too many long pieces.
    """
    for token_id, piece in enumerate(pieces):
        if piece.kind == NORMAL and len(piece.text) > _LONGEST_PIECE:
            raise UserError(
                f"piece {token_id} is {len(piece.text):,} characters long; at most {_LONGEST_PIECE:,} are read"
            )
        if math.isnan(piece.score):
            raise UserError(f"the score of piece {token_id} is no number")
    lengths = sorted({len(piece.text) for piece in pieces if piece.kind == NORMAL})
    letters = {length: length * cuts for cuts, length in enumerate(lengths)}
    if sum(letters[len(piece.text)] for piece in pieces if piece.kind == NORMAL) > _MOST_LETTERS:
        raise UserError("has more long pieces than any vocabulary")
    scores = {piece.text: piece.score for piece in pieces if piece.kind == NORMAL}
    added = [
        tokenizer_json.added_token(piece.text, token_id, special=piece.kind != USER_DEFINED)
        for token_id, piece in enumerate(pieces)
        if piece.kind in (UNKNOWN, CONTROL, USER_DEFINED)
    ]
    return tokenizer_json.sentencepiece_spec(
        {piece.text: token_id for token_id, piece in enumerate(pieces)},
        tokenizer_json.merges_from_scores(scores),
        added,
        unknown=next((piece.text for piece in pieces if piece.kind == UNKNOWN), "<unk>"),
        dummy_prefix=dummy_prefix,
        byte_fallback=any(piece.kind == BYTE for piece in pieces),
    )


def _piece(message: bytes) -> SentencePiece:
    fields = dict(_fields(message))
    kind = fields.get(3, NORMAL)
    if not isinstance(kind, int):
        raise TypeError("a piece's type is no number")
    return SentencePiece(fields[1].decode(), struct.unpack("<f", fields[2])[0] if 2 in fields else 0.0, kind)


def _last(message: list[tuple[int, Any]], number: int, default: Any) -> Any:
    return next((value for key, value in reversed(message) if key == number), default)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """``(number, value)`` of each field: int for a varint, bytes for all else (strings, messages, floats)."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire = key & 7
        if wire == 0:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        length, at = _varint(message, at) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        if at + length > len(message):
            raise IndexError("the message is cut short")
        yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    for _ in range(_LONGEST_VARINT):
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
    raise IndexError("a number without an end")
