"""Training small tokenizers: for models from scratch, and for tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import tokenizers
from tokenizers import Regex, models, pre_tokenizers, trainers

from codecascade.ground.choices import TokenizerKind
from codecascade.ground.errors import UserError
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.tokenizer_json import SPACE
from codecascade.tokens.tokenizer import Tokenizer

_LLAMA_CONTROL = ("<unk>", "<s>", "</s>")
_BYTES_CONTROL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_BYTE_PIECES = tuple(f"<0x{byte:02X}>" for byte in range(256))
# Control tokens, bytes, and Llama's letter for a space.
SMALLEST_VOCABULARY = 3 + 256 + 1
# Llama's pieces: a word with the space before it, single digits, runs of other signs, runs of spaces. No piece
# spans words, and a newline is always the piece of its byte.
_LLAMA_WORDS = rf"\p{{N}}|{SPACE}?\p{{L}}+|{SPACE}+(?={SPACE})|{SPACE}?[^\p{{L}}\p{{N}}{SPACE}\n]+|{SPACE}"


def train_tokenizer(texts: Iterable[str], vocabulary: int, kind: TokenizerKind = "llama") -> Tokenizer:
    """A byte-pair tokenizer of at most ``vocabulary`` ids, the same on every run.

    "llama" is laid out as Llama 2's (``<unk> <s> </s>``, 256 bytes, pieces; dummy prefix, byte fallback, BOS);
    "bytes" as SmolLM2's (three control tokens, byte level, no BOS). Both split numbers into digits.

    Raises:
        UserError: ``vocabulary`` has no room for control tokens, bytes and the space.
    """
    if vocabulary < SMALLEST_VOCABULARY:
        raise UserError(
            f"must be at least {SMALLEST_VOCABULARY} (got {vocabulary})", key="tokenizer.vocabulary"
        )
    return (_train_llama if kind == "llama" else _train_bytes)(list(texts), vocabulary)


def _train_llama(texts: list[str], vocabulary: int) -> Tokenizer:
    # A rare character is left to its bytes: at most half of the room for pieces goes to single characters.
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    pieces = sorted(counts.keys() - {" ", "\n", SPACE}, key=lambda character: (-counts[character], character))
    frequent = pieces[: (vocabulary - SMALLEST_VOCABULARY) // 2]
    model = _train(
        texts=(text.replace(" ", SPACE) for text in texts),
        pre_tokenizer=pre_tokenizers.Split(Regex(_LLAMA_WORDS), behavior="removed", invert=True),
        vocabulary=vocabulary,
        special_tokens=[*_LLAMA_CONTROL, *_BYTE_PIECES],
        alphabet=[SPACE, *frequent],
    )
    added = [tokenizer_json.added_token(name, token_id) for token_id, name in enumerate(_LLAMA_CONTROL)]
    # Words come before runs of spaces, as in Llama: the last space of an indent belongs to the word after it.
    merges = sorted(_merges_as_text(model["merges"]), key=lambda merge: set(merge) == {SPACE, " "})
    spec = tokenizer_json.sentencepiece_spec(model["vocab"], merges, added, unknown="<unk>")
    names = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    return Tokenizer(spec, {**names, "add_bos_token": True})


def _train_bytes(texts: list[str], vocabulary: int) -> Tokenizer:
    digits = {"type": "Digits", "individual_digits": True}
    model = _train(
        texts=texts,
        pre_tokenizer=pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
        ),
        vocabulary=vocabulary,
        special_tokens=list(_BYTES_CONTROL),
        alphabet=sorted(tokenizer_json.byte_alphabet()),
    )
    added = [tokenizer_json.added_token(name, token_id) for token_id, name in enumerate(_BYTES_CONTROL)]
    spec = tokenizer_json.byte_level_spec(
        model["vocab"], _merges_as_text(model["merges"]), added, splits=[digits]
    )
    return Tokenizer(spec, {"eos_token": "<|endoftext|>", "add_bos_token": False})


def _train(
    texts: Iterable[str],
    pre_tokenizer: Any,
    vocabulary: int,
    special_tokens: list[str],
    alphabet: list[str],
) -> dict[str, Any]:
    """The model part of the trained ``tokenizer.json``. Exactly ``alphabet`` become single letters: where the
    library chooses among equally frequent ones, its choice changes from run to run."""
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        show_progress=False,
        special_tokens=special_tokens,
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),
    )
    backend.train_from_iterator(texts, trainer)
    model: dict[str, Any] = json.loads(backend.to_str())["model"]
    return model


def _merges_as_text(merges: list[list[str]]) -> list[str]:
    return [" ".join(merge) for merge in merges]
