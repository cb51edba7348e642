"""The parts of a ``tokenizer.json`` (the tokenizers library's format) as plain dictionaries.

Two kinds of byte-pair encoding matter here. *SentencePiece style* (Llama, Mistral): a space is the
letter ``▁``, a text gets one in front (the dummy prefix), a character without a piece becomes
pieces ``<0xNN>``. *Byte level* (GPT-2, StarCoder, Qwen): each byte has a printable letter of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any

Spec = dict[str, Any]

SPACE = "▁"
SEQUENCES = ("normalizers", "pretokenizers", "decoders", "processors")
# Parts that a file may leave out, as for the tokenizers library.
_ABSENT: Spec = {
    "added_tokens": [],
    "normalizer": None,
    "pre_tokenizer": None,
    "post_processor": None,
    "decoder": None,
}
_BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")


def added_token(content: str, token_id: int, *, special: bool = True) -> Spec:
    """An entry of ``added_tokens``."""
    flags = {"single_word": False, "lstrip": False, "rstrip": False}
    return {"id": token_id, "content": content, **flags, "normalized": False, "special": special}


def sentencepiece_spec(
    vocab: Mapping[str, int],
    merges: Sequence[str],
    added: Sequence[Spec],
    *,
    unknown: str,
    dummy_prefix: bool = True,
    byte_fallback: bool = True,
) -> Spec:
    """A SentencePiece-style byte-pair encoding, as transformers writes it for Llama 2."""
    meta = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    prepend = [{"type": "Prepend", "prepend": SPACE}] if dummy_prefix else []
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}] if dummy_prefix else []
    spaces = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    decoders = [spaces, {"type": "ByteFallback"}, {"type": "Fuse"}, *strip]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(added),
        "normalizer": {"type": "Sequence", "normalizers": [*prepend, meta]},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": _bpe(vocab, merges, unk_token=unknown, fuse_unk=True, byte_fallback=byte_fallback),
    }


def byte_level_spec(
    vocab: Mapping[str, int],
    merges: Sequence[str],
    added: Sequence[Spec],
    *,
    splits: Sequence[Spec] = (),
    normalizer: Spec | None = None,
    whole_words: bool = False,
) -> Spec:
    """A byte-level byte-pair encoding.

    ``splits`` are pre-tokenizers that run before the bytes are spelled; a ``Split`` among them takes the
    place of GPT-2's own pattern. ``whole_words``: a word that is a piece is taken as it is (Llama 3).
    """
    own_pattern = any(split["type"] == "Split" for split in splits)
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": list(added),
        "normalizer": normalizer,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [*splits, {**letters, "use_regex": not own_pattern}],
        },
        "post_processor": None,
        "decoder": {**letters, "use_regex": True},
        "model": _bpe(vocab, merges, ignore_merges=whole_words),
    }


def _bpe(vocab: Mapping[str, int], merges: Sequence[str], **settings: Any) -> Spec:
    defaults = {
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": None,
        "end_of_word_suffix": None,
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
    }
    return {"type": "BPE", **defaults, **settings, "vocab": dict(vocab), "merges": list(merges)}


def complete(spec: Any) -> Any:
    """The content of a file with all its parts, if it is an object."""
    return {**_ABSENT, **spec} if isinstance(spec, dict) else spec


def bos_template(bos: str, token_id: int) -> Spec:
    """A ``post_processor`` that puts BOS before a text."""
    special = {"SpecialToken": {"id": bos, "type_id": 0}}
    first, second = ({"Sequence": {"id": name, "type_id": 0}} for name in "AB")
    return {
        "type": "TemplateProcessing",
        "single": [special, first],
        "pair": [special, first, special, second],
        "special_tokens": {bos: {"id": bos, "ids": [token_id], "tokens": [bos]}},
    }


def token_put_first(post_processor: Spec | None) -> int | None:
    """The id of the token that a post-processor puts before a text; None if it puts none there.

    Raises:
        KeyError: it speaks of a special token that it does not define.
    """
    first: int | None = None
    for step in reversed(steps(post_processor)):
        if step["type"] in ("BertProcessing", "RobertaProcessing"):
            first = step["cls"][1]
        if step["type"] == "TemplateProcessing":
            defined = step["special_tokens"]
            for parts in (step["pair"], step["single"]):
                ids = [
                    defined[part["SpecialToken"]["id"]]["ids"][0] if "SpecialToken" in part else None
                    for part in parts
                ]
            first = ids[0] if ids else None
    return first


def merges_from_scores(scores: Mapping[str, float]) -> list[str]:
    """The merge list that makes a byte-pair encoder out of SentencePiece's pieces and their scores.

    SentencePiece merges whichever neighbours form the piece of the highest score, so every way to cut a
    piece into two pieces is a merge, in the order of the whole piece's score.
    """
    ranked = sorted(scores, key=lambda piece: -scores[piece])
    # cut only where both parts have the length of some piece: a long piece among short ones costs nothing
    lengths = sorted({len(piece) for piece in ranked})
    known = set(lengths)
    cuts = (
        (piece[:cut], piece[cut:])
        for piece in ranked
        for cut in takewhile(len(piece).__gt__, lengths)
        if len(piece) - cut in known
    )
    return [f"{left} {right}" for left, right in cuts if left in scores and right in scores]


def for_encoding(spec: Spec, control: Iterable[str]) -> Spec:
    """``spec`` without its dummy prefix, and changed so that no text can become one of the ``control`` tokens.

    They are marked special (the library then passes over them when asked to), and merges that build one
    out of letters go: Code Llama's vocabulary has them (``▁<PRE`` + ``>``). Added tokens that are written
    with ``▁`` are looked for after spaces have become that, as SentencePiece does.
    """
    names = set(control)
    added = [
        {
            **token,
            "special": token["special"] or token["content"] in names,
            "normalized": token["normalized"] or SPACE in token["content"],
        }
        for token in spec["added_tokens"]
    ]
    model = spec["model"]
    merges = [merge for merge in model["merges"] if _merge_result(merge) not in names]
    return {
        **_without_dummy_prefix(spec),
        "truncation": None,
        "padding": None,
        "post_processor": None,
        "added_tokens": added,
        "model": {**model, "merges": merges},
    }


def merges_within(merges: Sequence[str | list[str]], vocab: Mapping[str, int]) -> list[str | list[str]]:
    """The merges whose result, and what it is made of, are still pieces."""
    return [
        merge
        for merge in merges
        if _merge_result(merge) in vocab
        and all(part in vocab for part in (merge.split(" ") if isinstance(merge, str) else merge))
    ]


def _merge_result(merge: str | Sequence[str]) -> str:
    return merge.replace(" ", "") if isinstance(merge, str) else "".join(merge)


def is_byte_level(spec: Spec) -> bool:
    """Whether pieces are spelled in the byte alphabet."""
    return any(
        step["type"] == "ByteLevel" for key in ("pre_tokenizer", "decoder") for step in steps(spec[key])
    )


@dataclass(frozen=True)
class DummyPrefix:
    """The space that is put in front of a text, unless the text begins with a letter of ``unless``.

    ``after_special``: whether transformers also puts it in front of text that follows a special token.
    """

    unless: str
    after_special: bool

    def add(self, text: str) -> str:
        """``text`` with the space in front."""
        return text if not text or text[0] in self.unless else " " + text


def dummy_prefix(spec: Spec) -> DummyPrefix | None:
    """The dummy prefix that a file's normalizer or pre-tokenizer asks for."""
    for step in steps(spec["normalizer"]) + steps(spec["pre_tokenizer"]):
        if step["type"] == "Prepend":
            return DummyPrefix("", after_special=True)
        if step["type"] == "ByteLevel" and step["add_prefix_space"]:
            return DummyPrefix(" ", after_special=True)
        if step["type"] == "Metaspace":
            scheme = _scheme(step)
            return None if scheme == "never" else DummyPrefix(f" {SPACE}", after_special=scheme == "always")
    return None


def puts_space_before_words(step: Spec) -> bool:
    """Whether a pre-tokenizer puts a space before each part of a text that the steps before it have cut."""
    if step["type"] == "ByteLevel":
        return bool(step["add_prefix_space"])
    return bool(step["type"] == "Metaspace" and _scheme(step) == "always")


def _scheme(metaspace: Spec) -> Any:
    usual = "always" if metaspace.get("add_prefix_space", True) else "never"
    return metaspace.get("prepend_scheme", usual)


def _without_dummy_prefix(spec: Spec) -> Spec:
    normalizers = [step for step in steps(spec["normalizer"]) if step["type"] != "Prepend"]
    pre_tokenizers = [
        step
        | ({"add_prefix_space": False} if step["type"] in ("Metaspace", "ByteLevel") else {})
        | ({"prepend_scheme": "never"} if step["type"] == "Metaspace" else {})
        for step in steps(spec["pre_tokenizer"])
    ]
    return {
        **spec,
        "normalizer": {"type": "Sequence", "normalizers": normalizers} if normalizers else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre_tokenizers} if pre_tokenizers else None,
    }


def steps(part: Spec | None) -> list[Spec]:
    """The steps of a normalizer, pre-tokenizer or decoder, sequences flattened."""
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    inner = next(part[key] for key in SEQUENCES if key in part)
    return [step for one in inner for step in steps(one)]


def piece_bytes(piece: str, *, byte_level: bool) -> bytes:
    """The bytes that a piece of the vocabulary means in the middle of a text."""
    if byte_level:
        letters = [byte_alphabet().get(letter) for letter in piece]
        spelled = [byte for byte in letters if byte is not None]
        return bytes(spelled) if len(spelled) == len(piece) else piece.encode()
    if match := _BYTE_PIECE.fullmatch(piece):
        return bytes([int(match[1], 16)])
    return piece.replace(SPACE, " ").encode()


@cache
def byte_alphabet() -> dict[str, int]:
    """GPT-2's letter of each byte: the printable ones stand for themselves, the others for U+0100 and on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {chr(0x100 + n): byte for n, byte in enumerate(others)}
