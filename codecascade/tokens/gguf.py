"""Rebuilds a tokenizer from the metadata of a GGUF file (the ``tokenizer.ggml.*`` keys of llama.cpp)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from codecascade.errors import UserError
from codecascade.tokens import pipeline
from codecascade.tokens.pipeline import Spec
from codecascade.tokens.sentencepiece import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Piece,
    spec_from_pieces,
)
from codecascade.tokens.tokenizer import Tokenizer

_KEY = "tokenizer.ggml."
_DIGITS = {"type": "Digits", "individual_digits": True}
_LLAMA3 = ("llama-bpe", "llama3", "llama-v3")


def _split(pattern: str) -> Spec:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def _words(digits: str) -> Spec:
    """The pattern that Llama 3 and Qwen 2 share but for the length of a run of digits."""
    return _split(
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|" + digits + r"| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


# What a file's "pre" stands for: how text is cut into words before the merges.
_PRE: dict[str, tuple[Spec, ...]] = {
    **dict.fromkeys(("default", "gpt-2"), ()),
    **dict.fromkeys(("smollm", "starcoder", "refact", "codeshell"), (_DIGITS,)),
    **dict.fromkeys(_LLAMA3, (_words(r"\p{N}{1,3}"),)),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), (_words(r"\p{N}"),)),
    "deepseek-coder": (
        *map(_split, (r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+")),
        _DIGITS,
    ),
}


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a GGUF file describes: byte level (model "gpt2") or SentencePiece style ("llama").

    Args:
        metadata: the file's keys and values, as Python values.

    Raises:
        UserError: a key is missing, or the file names a tokenizer that is not known here.
    """
    model = metadata.get(f"{_KEY}model")
    if model not in ("gpt2", "llama"):
        raise UserError(f"must be 'gpt2' or 'llama' (got {model!r})", key=f"{_KEY}model")
    tokens = _need(metadata, "tokens")
    pre = metadata.get(f"{_KEY}pre", "default")
    kinds = metadata.get(f"{_KEY}token_type") or [NORMAL] * len(tokens)
    if model == "llama":
        pieces = list(map(Piece, tokens, _need(metadata, "scores"), kinds))
        spec = spec_from_pieces(pieces, dummy_prefix=bool(metadata.get(f"{_KEY}add_space_prefix", True)))
    else:
        spec = _byte_level(tokens, kinds, _need(metadata, "merges"), pre)

    config: dict[str, Any] = {
        "add_bos_token": metadata.get(f"{_KEY}add_bos_token", model == "llama" or pre in _LLAMA3)
    }
    for name, key in {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}.items():
        token_id = metadata.get(f"{_KEY}{key}_token_id")
        config[f"{name}_token"] = None if token_id is None else tokens[token_id]
    if "tokenizer.chat_template" in metadata:
        config["chat_template"] = metadata["tokenizer.chat_template"]
    return Tokenizer(spec, config)


def _byte_level(tokens: list[str], kinds: list[int], merges: list[str], pre: str) -> Spec:
    if pre not in _PRE:
        raise UserError(f"{pre!r} is not known; known are {', '.join(_PRE)}", key=f"{_KEY}pre")
    added = [
        pipeline.added_token(token, token_id, special=kind != USER_DEFINED)
        for token_id, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in (UNKNOWN, CONTROL, USER_DEFINED, UNUSED)
    ]
    return pipeline.byte_level_spec(
        {token: token_id for token_id, token in enumerate(tokens)},
        merges,
        added,
        splits=_PRE[pre],
        normalizer={"type": "NFC"} if "qwen" in pre else None,
        whole_words=pre in _LLAMA3,
    )


def _need(metadata: Mapping[str, Any], name: str) -> Any:
    key = _KEY + name
    if key not in metadata:
        raise UserError("is missing: the file has no complete tokenizer", key=key)
    return metadata[key]
