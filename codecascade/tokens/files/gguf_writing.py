"""Writes a tokenizer as the metadata of a GGUF file (the ``tokenizer.ggml.*`` keys), which ``gguf.py`` reads."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import short
from codecascade.ground.format import listed
from codecascade.tokens import families
from codecascade.tokens.files import pre_tokenizers, tokenizer_json
from codecascade.tokens.files.sentencepiece import BYTE, CONTROL, NORMAL, UNKNOWN, UNUSED, USER_DEFINED
from codecascade.tokens.tokenizer import Tokenizer

log = logging.getLogger(__name__)
_KEY = "tokenizer.ggml."
_BYTE_PIECE = re.compile(r"<0x[0-9A-F]{2}>")
# The names that llama.cpp knows, or that stand for the same in families that it knows by other names.
_FILE_TOKENS = {
    "fim_pad": ("<|fim_pad|>", "<fim_pad>"),
    "fim_rep": ("<|repo_name|>", "<repo_name>", "<reponame>"),
    "fim_sep": ("<|file_sep|>", "<file_sep>"),
}
_END_OF_MESSAGE = "<|eom_id|>"


def tokenizer_to_gguf(tokenizer: Tokenizer, rows: int) -> dict[str, Any]:
    """The keys and values from which ``tokenizer_from_gguf`` makes the same tokenizer.

    Args:
        rows: of the model's vocabulary table.

    Ids without a token are named ``[PAD5]`` and marked as unused, because llama.cpp requires as many tokens as rows.

    Raises:
        UserError: the tokenizer does something that llama.cpp has no name for.
    """
    spec = tokenizer.spec
    byte_level = tokenizer_json.is_byte_level(spec)
    names = _names(tokenizer.vocabulary, rows)
    values: dict[str, Any] = {
        "tokens": names,
        "token_type": _kinds(tokenizer, names, byte_level=byte_level),
        "add_bos_token": tokenizer.adds_bos,
    }
    _check_normalizer(tokenizer)
    _tell_what_is_lost(spec["added_tokens"])
    if byte_level:
        values |= {"model": "gpt2", "pre": _pre_tokenizer(tokenizer), "merges": _merges(tokenizer)}
    else:
        values |= {
            "model": "llama",
            "pre": "default",
            "scores": _scores(tokenizer, names, values["token_type"]),
            "add_space_prefix": tokenizer_json.dummy_prefix(spec) is not None,
        }
    values |= {f"{key}_token_id": token_id for key, token_id in _special_ids(tokenizer).items()}
    metadata = {_KEY + key: value for key, value in values.items()}
    template = tokenizer.config.get("chat_template")
    if isinstance(template, str):
        metadata["tokenizer.chat_template"] = template
    return metadata


def _names(vocabulary: Mapping[str, int], rows: int) -> list[str]:
    by_id = {token_id: name for name, token_id in vocabulary.items()}
    names = []
    for token_id in range(rows):
        name = by_id.get(token_id, f"[PAD{token_id}]")
        while token_id not in by_id and name in vocabulary:
            name = f"[{name}]"
        names.append(name)
    return names


def _kinds(tokenizer: Tokenizer, names: list[str], *, byte_level: bool) -> list[int]:
    known = set(tokenizer.vocabulary.values())
    added = {token["id"] for token in tokenizer.spec["added_tokens"]}
    unknown = None if byte_level else tokenizer.config.get("unk_token")
    kinds = []
    for token_id, name in enumerate(names):
        if token_id not in known:
            kinds.append(UNUSED)
        elif name == unknown:
            kinds.append(UNKNOWN)
        elif token_id in tokenizer.special_ids:
            kinds.append(CONTROL)
        elif token_id in added:
            kinds.append(USER_DEFINED)
        else:
            kinds.append(BYTE if not byte_level and _BYTE_PIECE.fullmatch(name) else NORMAL)
    return kinds


def _check_normalizer(tokenizer: Tokenizer) -> None:
    """Refuse what changes texts before they are cut; llama.cpp leaves out NFC, which code hardly ever needs."""
    for step in tokenizer_json.steps(tokenizer.spec["normalizer"]):
        spaces = step["type"] == "Replace" and step.get("content") == tokenizer_json.SPACE
        if step["type"] not in ("Prepend", "NFC") and not spaces:
            raise UserError(
                f"the tokenizer changes texts by {short(step['type'])}, which llama.cpp does not",
                key="normalizer",
            )


def _tell_what_is_lost(added: Sequence[Mapping[str, Any]]) -> None:
    flags = ("lstrip", "rstrip", "single_word")
    names = [short(token["content"]) for token in added if any(token[flag] for flag in flags)]
    if names:
        log.warning(
            "a GGUF file has no place for tokens that take the white space beside them or are found as whole words "
            "only; there they are found everywhere, without it: %s",
            listed(names),
        )


def _pre_tokenizer(tokenizer: Tokenizer) -> str:
    name = pre_tokenizers.name_of(tokenizer.spec)
    if name is None:
        raise UserError(
            "the tokenizer cuts texts into words in a way that has no name in GGUF files", key="pre_tokenizer"
        )
    return name


def _merges(tokenizer: Tokenizer) -> list[str]:
    merges = tokenizer.spec["model"]["merges"]
    return [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]


def _scores(tokenizer: Tokenizer, names: list[str], kinds: list[int]) -> list[float]:
    """SentencePiece's scores: of two pieces, the one that is merged first has the higher one.

    llama.cpp merges any two neighbours that make a piece, while a ``tokenizer.json`` lists the pairs. For Llama's and
    Mistral's vocabularies this is the same; where it is not, a warning says so.
    """
    normal = {name for name, kind in zip(names, kinds, strict=True) if kind == NORMAL}
    pairs = [tuple(merge.split(" ")) for merge in _merges(tokenizer)]
    pairs = [pair for pair in pairs if "".join(pair) in normal]
    ranks: dict[str, int] = {}
    for pair in pairs:
        ranks.setdefault("".join(pair), len(ranks))
    scores = {name: -float(ranks.get(name, len(ranks))) for name in normal}
    ours = tokenizer_json.merges_from_scores(scores)
    if {tuple(merge.split(" ")) for merge in ours} != set(pairs):
        log.warning(
            "the vocabulary lists which pairs are merged; llama.cpp merges all pairs that make a token, "
            "so that it will cut some texts into other tokens"
        )
    return [scores.get(name, 0.0) for name in names]


def _special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """By llama.cpp's names; with those of the ends of a generation as far as there are names for them."""
    control = {name: i for name, i in tokenizer.vocabulary.items() if i in tokenizer.special_ids}
    unknown = tokenizer.config.get("unk_token")
    found: dict[str, int | None] = {
        "bos": tokenizer.bos_id,
        "eos": tokenizer.end_of_document_id if tokenizer.eos_id is None else tokenizer.eos_id,
        "unknown": None if unknown is None else tokenizer.vocabulary[unknown],
        "padding": tokenizer.pad_id,
    }
    for key, candidates in _FILE_TOKENS.items():
        found[key] = next(iter(families.ids_of(candidates, control)), None)
    infilling = tokenizer.infilling
    if infilling is not None:
        found |= {"fim_pre": infilling.prefix, "fim_suf": infilling.suffix, "fim_mid": infilling.middle}
    ended = {found[key] for key in ("eos", *_FILE_TOKENS)}
    ends = [token_id for token_id in tokenizer.stop_ids if token_id not in ended]
    found |= _ends(ends, control, None if infilling is None else infilling.end)
    return {key: token_id for key, token_id in found.items() if token_id is not None}


def _ends(ids: Sequence[int], control: Mapping[str, int], infilling: int | None) -> dict[str, int | None]:
    """The two ids for ``eot`` and ``eom``: first those that readers do not recognise by their names."""
    recognised = set(families.stop_ids(control)) | {control.get(name) for name in families.DOCUMENT_ENDS}
    # llama.cpp does not know the name of Code Llama's end of infilling
    unnamed = [token_id for token_id in ids if token_id == infilling or token_id not in recognised]
    message = control.get(_END_OF_MESSAGE)
    places = [*unnamed, *(token_id for token_id in ids if token_id not in (*unnamed, message))]
    eot = next(iter(places), message if message in ids else None)
    others = [token_id for token_id in unnamed if token_id != eot]
    if len(others) > 1:
        left_out = ", ".join(map(str, others[1:]))
        log.warning("a GGUF file has no place for all ends of a generation; left out: %s", left_out)
    if others:
        return {"eot": eot, "eom": others[0]}
    return {"eot": eot, "eom": message if message in ids and message != eot else None}
