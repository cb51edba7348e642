"""A document, a function or a dialogue in ids: what training packs into rows.

A plain document is [BOS] text, end of document. A filled one is prefix, suffix and middle in the family's layout
(:mod:`codecascade.tokens.infilling`); it ends in the end-of-infilling token and nothing comes after. A dialogue is
trained on its answers alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codecascade.tokens.chat import Message, encode_dialogue
from codecascade.tokens.infilling import infilling_example, split_document
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.settings import InfillingSettings


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """What one draw from a source gives.

    ``weights[i]`` is the loss weight of predicting ``ids[i]``. An item that is ``whole`` must not be cut: half an
    infilling teaches nothing of infilling, and an answer needs its question.
    """

    ids: NDArray[np.int32]
    weights: NDArray[np.float32]
    id: str = ""
    whole: bool = False
    infilled: bool = False
    truncated: bool = False

    def __len__(self) -> int:
        return len(self.ids)


def training_item(
    tokenizer: Tokenizer,
    text: str,
    rng: random.Random,
    settings: InfillingSettings | None,
    *,
    context: int,
    document_id: str,
) -> Item:
    """The text filled at ``settings.rate``, if it then fits into ``context`` tokens; else plain."""
    if settings is not None and rng.random() < settings.rate:
        item = infilled_item(tokenizer, text, rng, settings, document_id=document_id)
        if len(item) <= context:
            return item
    return plain_item(tokenizer, text, document_id=document_id)


def plain_item(tokenizer: Tokenizer, text: str, *, document_id: str = "") -> Item:
    """[BOS] text, end of document; every token has weight 1."""
    ids = np.array([*tokenizer.encode(text, bos=True), tokenizer.end_of_document_id], np.int32)
    return Item(ids, np.broadcast_to(np.float32(1), ids.shape), document_id)


def infilled_item(
    tokenizer: Tokenizer,
    text: str,
    rng: random.Random,
    settings: InfillingSettings = InfillingSettings(),  # noqa: B008  (immutable)
    *,
    document_id: str = "",
) -> Item:
    """The text split and laid out as ``rng`` draws it; a family that knows one layout alone gets that one.

    Raises:
        UserError: the tokenizer has no infilling tokens.
    """
    layout = "spm" if rng.random() < settings.spm_share else "psm"
    if tokenizer.infilling is not None and layout not in tokenizer.infilling.formats:
        layout = tokenizer.infilling.formats[0]
    prefix, middle, suffix = split(text, rng, settings)
    example = infilling_example(tokenizer, prefix, middle, suffix, format=layout)
    weights = np.full(len(example.ids), settings.rest_weight, np.float32)
    weights[example.middle_start :] = settings.middle_weight
    return Item(np.array(example.ids, np.int32), weights, document_id, whole=True, infilled=True)


def split(text: str, rng: random.Random, settings: InfillingSettings) -> tuple[str, str, str]:
    """``(prefix, middle, suffix)``; their sum is the text."""
    whole_line = rng.random() < settings.whole_line_share
    if not whole_line and settings.level == "character":
        return split_document(text, rng)
    lines = text.split("\n")
    lines = [line + "\n" for line in lines[:-1]] + lines[-1:]
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if whole_line and filled:
        first = rng.choice(filled)
        last = first + 1
    else:
        first, last = sorted((rng.randint(0, len(lines)), rng.randint(0, len(lines))))
    return "".join(lines[:first]), "".join(lines[first:last]), "".join(lines[last:])


def dialogue_item(
    tokenizer: Tokenizer, messages: Sequence[Message], *, context: int, document_id: str
) -> Item:
    """A dialogue with weight 1 on its answers (their end included) and 0 elsewhere, cut after ``context`` tokens."""
    ids, is_answer = encode_dialogue(tokenizer, messages)
    return Item(
        np.array(ids[:context], np.int32),
        np.array(is_answer[:context], np.float32),
        document_id,
        whole=True,
        truncated=len(ids) > context,
    )
