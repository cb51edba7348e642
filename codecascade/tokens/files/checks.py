"""Checks a ``tokenizer.json`` before it is used, because anybody may have written it.

The tokenizers library panics or takes all memory where a file is wrong; here the file is refused with a sentence.
Checked: types, ids, how far the normalizer can lengthen a text, patterns that take more time than anybody has, and
that no character is without a piece.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import tokenizers

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import first_words, flag, integer, short
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.patterns import takes_too_much
from codecascade.tokens.files.tokenizer_json import Spec

MOST_TOKENS = 2**21
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_MOST_GROWTH = 256
_LONGEST_AFFIX = 64
# How many characters a step can make of one, at most. "Precompiled" is not here: a table that changes text at will.
_GROWTH = {
    "NFC": 3,
    "NFD": 4,
    "NFKC": 18,
    "NFKD": 18,
    "Lowercase": 3,
    "Strip": 1,
    "StripAccents": 1,
    "Nmt": 1,
    "Prepend": 1,
    "ByteLevel": 4,
    "BertNormalizer": 4,
}


def check_spec(spec: Any) -> None:
    """Check that the content of a ``tokenizer.json`` can be used.

    Raises:
        UserError: it can't, or its model is not a byte-pair encoding. The key is named.
    """
    model = _object(_object(spec, "the file").get("model"), "model")
    if model.get("type", "BPE") != "BPE":
        raise UserError(f"is a {short(model['type'])} model; only byte-pair encodings are supported")
    _check_vocabulary(model)
    added = spec.get("added_tokens")
    if not isinstance(added, list):
        raise UserError("must be a list", key="added_tokens")
    for index, token in enumerate(added):
        check_added_token(token, f"added_tokens[{index}]", FLAGS)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        _check_steps(spec.get(part), part)
    try:
        tokenizer_json.token_put_first(spec.get("post_processor"))
    except (LookupError, TypeError, AttributeError):
        raise UserError(
            "has a step that lacks something, or has it of another type", key="post_processor"
        ) from None
    if math.prod(map(_growth, tokenizer_json.steps(spec.get("normalizer")))) > _MOST_GROWTH:
        raise UserError(f"can make a text more than {_MOST_GROWTH} times as long", key="normalizer")
    _check_dummy_prefix(
        tokenizer_json.steps(spec.get("normalizer")), tokenizer_json.steps(spec.get("pre_tokenizer"))
    )
    for step in tokenizer_json.steps(spec.get("pre_tokenizer")):
        if step["type"] == "Split":
            _check_pattern(step.get("pattern"), "pre_tokenizer")
        if step["type"] == "FixedLength" and "length" in step:
            integer(step, "length", least=1, most=2**31 - 1)


def check_added_token(token: Any, key: str, needed: Iterable[str] = ()) -> None:
    """Check that an entry of ``added_tokens`` has a name, and an id and flags that are possible.

    Args:
        needed: the flags that have to be there.

    Raises:
        UserError: it does not; ``key`` says where.
    """
    entry = _object(token, key)
    try:
        if not _content(entry, "content"):
            raise UserError("is empty", key="content")
        integer(entry, "id", least=0, most=MOST_TOKENS - 1)
        for name in FLAGS:
            flag(entry, name)
            if entry.get(name) is None and name in needed:
                raise UserError("is missing", key=name)
    except UserError as error:
        raise UserError(error.message, key=f"{key}.{error.key}") from None


def without_missing_unknown(model: Spec) -> Spec:
    """The model without an ``unk_token`` that is not in its vocabulary: with all bytes it is never used.

    Raises:
        UserError: a character without a piece would ask for it.
    """
    unknown = model.get("unk_token")
    if unknown is None or unknown in model["vocab"]:
        return model
    complete = model.get("byte_fallback") and all(f"<0x{byte:02X}>" in model["vocab"] for byte in range(256))
    if not complete and not all(letter in model["vocab"] for letter in tokenizer_json.byte_alphabet()):
        raise UserError(f"{short(unknown)} is not in the vocabulary", key="model.unk_token")
    return {**model, "unk_token": None}


def _check_vocabulary(model: Mapping[str, Any]) -> None:
    vocab, merges = _object(model.get("vocab"), "model.vocab"), model.get("merges")
    if not vocab:
        raise UserError("is empty", key="model.vocab")
    for piece, token_id in vocab.items():
        if type(token_id) is not int or not 0 <= token_id < MOST_TOKENS:
            raise UserError(
                f"the id of {short(piece)} must be an integer from 0 to {MOST_TOKENS - 1:,} (got {short(token_id)})",
                key="model.vocab",
            )
    if not isinstance(merges, list):
        raise UserError("must be a list", key="model.merges")
    for index, merge in enumerate(merges):
        pair = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(part, str) for part in pair):
            raise UserError(f"must be two pieces (got {short(merge)})", key=f"model.merges[{index}]")
    for key in ("continuing_subword_prefix", "end_of_word_suffix"):
        if len(_content(model, key, "")) > _LONGEST_AFFIX:
            raise UserError("is longer than any such text", key=f"model.{key}")
    _content(model, "unk_token", "")
    prefix = _content(model, "continuing_subword_prefix", "")
    if any(
        not (merge.split(" ") if isinstance(merge, str) else merge)[1].startswith(prefix) for merge in merges
    ):
        raise UserError(
            "is not what the second half of every merge begins with", key="model.continuing_subword_prefix"
        )


def _check_steps(part: Any, key: str) -> None:
    """Check that a normalizer, pre-tokenizer, post-processor or decoder is a step, or a sequence of steps."""
    if part is None:
        return
    if not isinstance(part, dict) or not isinstance(part.get("type"), str):
        raise UserError(f"must be an object with a type (got {short(part)})", key=key)
    if part["type"] != "Sequence":
        return
    name = next((name for name in tokenizer_json.SEQUENCES if name in part), None)
    if name is None or not isinstance(part[name], list):
        raise UserError("is a sequence without a list of steps", key=key)
    for index, step in enumerate(part[name]):
        _check_steps(_object(step, f"{key}.{name}[{index}]"), f"{key}.{name}[{index}]")


def _growth(step: Spec) -> int:
    kind = step["type"]
    if kind == "Replace":
        pattern, content = _check_pattern(step.get("pattern"), "normalizer"), _content(step, "content")
        literal = pattern.get("String")
        if not isinstance(literal, str):
            if _matches_nothing(pattern.get("Regex")):
                raise UserError("replaces an empty text", key="normalizer")
            return len(content) + 1
        if not literal:
            raise UserError("replaces an empty text", key="normalizer")
        return max(1, -(-len(content) // len(literal)))
    if kind not in _GROWTH:
        raise UserError(f"{short(kind)} is not supported: it may change code", key="normalizer")
    return _GROWTH[kind]


def _check_dummy_prefix(normalizers: list[Spec], pre_tokenizers: list[Spec]) -> None:
    """Refuse a dummy prefix that isn't one space in front of the whole text, because only that is added here."""
    everything = normalizers + pre_tokenizers
    for index, step in enumerate(normalizers):
        if step["type"] != "Prepend":
            continue
        text = _content(step, "prepend")
        is_space = text in (" ", tokenizer_json.SPACE)
        if not is_space or _spelled(text, everything[index + 1 :]) != _spelled(" ", everything):
            raise UserError(f"prepends {short(text)} to texts; only a space is supported", key="normalizer")
    if any(tokenizer_json.puts_space_before_words(step) for step in pre_tokenizers[1:]):
        raise UserError("puts a space before every word, which is not supported", key="pre_tokenizer")


def _spelled(text: str, steps: Iterable[Spec]) -> str:
    """What steps that spell spaces in another way make of a text."""
    for step in steps:
        if step["type"] == "Replace":
            pattern = step["pattern"]
            pattern = tokenizers.Regex(pattern["Regex"]) if "Regex" in pattern else pattern["String"]
            text = tokenizers.normalizers.Replace(pattern, step["content"]).normalize_str(text)
        elif step["type"] == "Metaspace":
            text = text.replace(" ", tokenizer_json.SPACE)
    return text


def _check_pattern(pattern: Any, key: str) -> Mapping[str, Any]:
    entry = _object(pattern, f"{key}.pattern")
    expression = entry.get("Regex")
    if isinstance(expression, str) and takes_too_much(expression):
        raise UserError(
            f"has a pattern that can take endless time or much memory ({short(expression)}); "
            "write it with fewer choices and repetitions, and none inside another",
            key=key,
        )
    return entry


def _matches_nothing(pattern: Any) -> bool:
    """Whether a regular expression matches the empty text between characters, where the library panics."""
    sign = "\0"
    try:
        replace = tokenizers.normalizers.Replace(tokenizers.Regex(pattern), "x")
    except Exception as error:
        raise UserError(
            f"has a pattern that can't be read ({first_words(error)})", key="normalizer"
        ) from None
    return len(replace.normalize_str(sign)) > len(sign)


def _content(entry: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = entry.get(key)
    value = default if value is None else value
    if not isinstance(value, str):
        raise UserError(f"must be text (got {short(value)})", key=key)
    return value


def _object(value: Any, key: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise UserError(f"is not a tokenizer that can be read: {key} must be an object (got {short(value)})")
    return value
