"""Rebuilds a tokenizer from the metadata of a GGUF file (the ``tokenizer.ggml.*`` keys of llama.cpp)."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import flag, short, text
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.checks import MOST_TOKENS, check_spec
from codecascade.tokens.files.pre_tokenizers import LLAMA3, PRE_TOKENIZERS
from codecascade.tokens.files.sentencepiece import (
    CONTROL,
    NORMAL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    SentencePiece,
    spec_from_pieces,
)
from codecascade.tokens.files.tokenizer_json import Spec
from codecascade.tokens.tokenizer import Tokenizer, library_error

log = logging.getLogger(__name__)
_KEY = "tokenizer.ggml."
_MOST_TEMPLATE = 1 << 20
_NO_TOKEN = (-1, 2**32 - 1)
# Our names, the file's, and the ids that llama.cpp takes for SentencePiece vocabularies where a file names none.
_NAMED: dict[str, tuple[str, int | None]] = {
    "bos": ("bos", 1),
    "eos": ("eos", 2),
    "unk": ("unknown", 0),
    "pad": ("padding", None),
}
# Beside eos, the tokens on which llama.cpp ends a generation.
_ENDS = ("eot", "eom", "fim_pad", "fim_rep", "fim_sep")


def tokenizer_from_gguf(metadata: Mapping[str, Any]) -> Tokenizer:
    """The tokenizer that a GGUF file describes: byte level (model "gpt2") or SentencePiece style ("llama").

    Args:
        metadata: the file's keys and values, as Python values (arrays as lists or as arrays of NumPy).

    Raises:
        UserError: a key is missing or has a value of another type, or the file names a tokenizer that is not known.
    """
    model = text(metadata, f"{_KEY}model")
    if model not in ("gpt2", "llama"):
        raise UserError(f"must be 'gpt2' or 'llama' (got {short(model)})", key=f"{_KEY}model")
    tokens = _tokens(metadata)
    pre = text(metadata, f"{_KEY}pre") or "default"
    kinds = _numbers(metadata, "token_type", len(tokens)) or [NORMAL] * len(tokens)
    if model == "llama":
        _required(metadata, "scores")
        pieces = list(map(SentencePiece, tokens, _numbers(metadata, "scores", len(tokens)), kinds))
        spec = spec_from_pieces(pieces, dummy_prefix=flag(metadata, f"{_KEY}add_space_prefix", default=True))
    else:
        spec = _byte_level_spec(tokens, kinds, _texts(metadata, "merges"), pre)

    config: dict[str, Any] = {
        "add_bos_token": flag(metadata, f"{_KEY}add_bos_token", default=model == "llama" or pre in LLAMA3)
    }
    for name, (key, default) in _NAMED.items():
        token_id = _token_id(metadata, key, len(tokens))
        if token_id is None and model == "llama" and default is not None and default < len(tokens):
            # what llama.cpp takes where a file is silent
            token_id = default if kinds[default] in (CONTROL, UNKNOWN) else None
        config[f"{name}_token"] = None if token_id is None else tokens[token_id]
    if (template := _chat_template(metadata)) is not None:
        config["chat_template"] = template
    check_spec(spec)
    ends = [_token_id(metadata, key, len(tokens)) for key in _ENDS]
    try:
        return Tokenizer(spec, config, [token_id for token_id in ends if token_id is not None])
    except UserError:
        raise
    except BaseException as error:
        raise library_error(error, "the tokenizer can't be used") from None


def _tokens(metadata: Mapping[str, Any]) -> list[str]:
    """The pieces; an empty one gets a name of its own, as in llama.cpp."""
    tokens = _texts(metadata, "tokens")
    if not tokens or len(tokens) > MOST_TOKENS:
        raise UserError(f"must hold 1 to {MOST_TOKENS:,} tokens (got {len(tokens):,})", key=f"{_KEY}tokens")
    tokens = [token or f"[EMPTY_{token_id}]" for token_id, token in enumerate(tokens)]
    if len(set(tokens)) < len(tokens):
        twice = next(token for token, count in Counter(tokens).items() if count > 1)
        raise UserError(f"holds {short(twice)} twice", key=f"{_KEY}tokens")
    return tokens


def _chat_template(metadata: Mapping[str, Any]) -> str | None:
    """The file's template; where it has only named ones, the default among them, or the only one."""
    key = "tokenizer.chat_template"
    template = text(metadata, key)
    if template is None:
        named = {name.removeprefix(f"{key}."): name for name in metadata if name.startswith(f"{key}.")}
        key = named.get("default") or (next(iter(named.values())) if len(named) == 1 else key)
        template = text(metadata, key)
    if template is not None and len(template) > _MOST_TEMPLATE:
        raise UserError(f"is longer than {_MOST_TEMPLATE:,} characters", key=key)
    return template


def _token_id(metadata: Mapping[str, Any], name: str, tokens: int) -> int | None:
    """The id that a key names; None where it names none that is possible, as converters write -1 for "none"."""
    key = f"{_KEY}{name}_token_id"
    value = metadata.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise UserError(f"must be an integer (got {short(value)})", key=key)
    if 0 <= value < tokens:
        return value
    if value not in _NO_TOKEN:
        log.warning("%s is %d, but there are %d tokens; it is passed over", key, value, tokens)
    return None


def _byte_level_spec(tokens: list[str], kinds: list[int], merges: list[str], pre: str) -> Spec:
    if pre not in PRE_TOKENIZERS:
        raise UserError(f"{short(pre)} is not known; known are {', '.join(PRE_TOKENIZERS)}", key=f"{_KEY}pre")
    added = [
        tokenizer_json.added_token(token, token_id, special=kind != USER_DEFINED)
        for token_id, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind in (UNKNOWN, CONTROL, USER_DEFINED, UNUSED)
    ]
    return tokenizer_json.byte_level_spec(
        {token: token_id for token_id, token in enumerate(tokens)},
        merges,
        added,
        splits=PRE_TOKENIZERS[pre],
        normalizer={"type": "NFC"} if "qwen" in pre else None,
        whole_words=pre in LLAMA3,
    )


def _required(metadata: Mapping[str, Any], name: str) -> Any:
    key = _KEY + name
    if key not in metadata:
        raise UserError("is missing: the file has no complete tokenizer", key=key)
    return metadata[key]


def _texts(metadata: Mapping[str, Any], name: str) -> list[str]:
    values = _required(metadata, name)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise UserError("must be an array of texts", key=_KEY + name)
    return values


def _numbers(metadata: Mapping[str, Any], name: str, count: int) -> list[Any]:
    """One number for each token; an empty list where the key is missing."""
    values = metadata.get(_KEY + name)
    if values is None:
        return []
    if isinstance(values, np.ndarray):
        values = values.tolist() if len(values) == count else values
    if not isinstance(values, list | np.ndarray) or len(values) != count:
        raise UserError(f"must be an array of {count:,} numbers, one for each token", key=_KEY + name)
    if not all(isinstance(value, int | float) for value in values):
        raise UserError("must be an array of numbers", key=_KEY + name)
    return list(values)
