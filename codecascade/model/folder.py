"""Hugging Face model folders, in and out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_folder, atomic_write, write_json
from codecascade.ground.files.reading import read_object
from codecascade.ground.files.values import short, text
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.weights import Device, assemble, read_weights, write_weights
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer

_CONFIG, _GENERATION = "config.json", "generation_config.json"
# Our entry of config.json: how the weights were quantised in the file that they were converted from.
_QUANTISATION = "codecascade_quantisation"
_MOST_CONFIG = 4 << 20


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer.

    Attributes:
        source: what it was loaded from, as the user named it.
        generation: the content of ``generation_config.json``; empty if there is none.
        quantisation: how the weights are, or were before they were converted, quantised (``Q4_1``); None if never.
        finite: whether it was seen while they were read that all weights are numbers.
    """

    model: Llama
    tokenizer: Tokenizer
    source: str
    generation: dict[str, Any] = field(default_factory=dict)
    quantisation: str | None = None
    finite: bool = False

    @property
    def config(self) -> LlamaConfig:
        """The model's shape as it is now."""
        return self.model.config


def read_config(folder: str | Path) -> LlamaConfig:
    """The shape of a folder's model.

    Raises:
        UserError: there is no ``config.json``, or it is of a model that is not supported.
    """
    file = Path(folder) / _CONFIG
    if not os.path.lexists(file):
        raise UserError(f"is no model folder: it holds no {_CONFIG}", file=folder)
    return LlamaConfig.from_hf(read_object(file, _MOST_CONFIG), file)


def read_quantisation(folder: str | Path) -> str | None:
    """How the weights of a folder were quantised before :func:`~codecascade.model.convert.convert` made it; None if
    they were not.

    Raises:
        UserError: ``config.json`` can't be read, or its entry is no text.
    """
    file = Path(folder) / _CONFIG
    try:
        value = text(read_object(file, _MOST_CONFIG), _QUANTISATION)
    except UserError as error:
        raise UserError(error.message, file=file, key=error.key) from None
    return None if value is None else short(value).strip("'")


def load_folder(path: str | Path, *, dtype: torch.dtype | None = None, device: Device = "cpu") -> LoadedModel:
    """The model of a Hugging Face folder, memory-mapped where dtype and device allow it.

    Tokens that have no row in the model are left out of its tokenizer.

    Args:
        dtype: of the weights; None leaves them as they are stored.

    Raises:
        UserError: a file is missing, broken or of a model that is not supported.
    """
    folder = Path(path)
    config = read_config(folder)
    tokenizer = read_tokenizer(folder)
    tensors = read_weights(folder, config, dtype=dtype, device=device)
    head, table = tensors.get("lm_head.weight"), tensors.get("model.embed_tokens.weight")
    if head is not None and table is not None and config.tie_word_embeddings and not torch.equal(head, table):
        # as transformers 5 does: the weights are the truth
        config = replace(config, tie_word_embeddings=False)
    generation = (
        read_object(folder / _GENERATION, _MOST_CONFIG) if os.path.lexists(folder / _GENERATION) else {}
    )
    model = assemble(config, tensors, file=folder)
    return LoadedModel(model, tokenizer, str(path), generation, read_quantisation(folder))


def read_tokenizer(folder: str | Path) -> Tokenizer:
    """The tokenizer of a folder, with what its model's files add: which tokens have a row, which end a generation.

    The ends are those of the tokenizer, of ``config.json`` and of ``generation_config.json`` together. A folder
    without a ``config.json`` is taken for a tokenizer alone.

    Raises:
        UserError: a file can't be read, or a value in it is wrong.
    """
    folder = Path(folder)
    tokenizer = load_tokenizer(folder)
    if os.path.lexists(folder / _CONFIG):
        tokenizer = tokenizer.within(read_config(folder).vocab_size, folder)
    for name in (_CONFIG, _GENERATION):
        if os.path.lexists(folder / name):
            tokenizer = tokenizer.with_ends(_ends(folder / name), folder / name)
    return tokenizer


def _ends(file: Path) -> list[int]:
    """The ids of a file's ``eos_token_id``: one, several or none."""
    value = read_object(file, _MOST_CONFIG).get("eos_token_id")
    ids = [] if value is None else value if isinstance(value, list) else [value]
    for token_id in ids:
        if isinstance(token_id, bool) or not isinstance(token_id, int):
            raise UserError(
                f"must be an id or a list of ids (got {short(value)})", file=file, key="eos_token_id"
            )
    return ids


def save_folder(
    path: str | Path,
    model: nn.Module | Mapping[str, Tensor],
    config: LlamaConfig,
    tokenizer: Tokenizer,
    *,
    shard_bytes: float = 5e9,
    dtype: torch.dtype | None = None,
    generation: Mapping[str, Any] | None = None,
    quantisation: str | None = None,
    extra_files: Mapping[str, str | bytes] | None = None,
) -> None:
    """Write a folder that transformers 4 and 5, vLLM and llama.cpp's converter read, completely or not at all.

    A model folder of that name is replaced. ``eos_token_id`` of ``generation_config.json`` lists every token that
    ends a generation.

    Args:
        model: a model, or its state dict by Hugging Face's names.
        shard_bytes: the most bytes of a weights file.
        dtype: of the weights; None leaves them as they are.
        generation: more entries of ``generation_config.json``.
        quantisation: how the weights were quantised before; it is noted in ``config.json``.
        extra_files: more files, by name.

    Raises:
        UserError: the folder can't be written, or is there already and holds something else than a model.
        ValueError: weights, configuration and tokenizer do not fit together.
    """
    path = Path(path)
    if path.exists() and not (path / _CONFIG).exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError("is there already and is no model folder; choose another name", file=path)
    tensors = model.state_dict() if isinstance(model, nn.Module) else model
    try:
        assemble(config, tensors, file="the state dict")
    except UserError as error:
        raise ValueError(str(error)) from None
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(f"{tokenizer.vocab_size} tokens do not fit into {config.vocab_size} rows")
    with atomic_folder(path) as folder:
        write_weights(folder, tensors, dtype=dtype, shard_bytes=shard_bytes)
        stored = str(dtype or next(iter(tensors.values())).dtype).removeprefix("torch.")
        ids = {"bos_token_id": tokenizer.bos_id, "pad_token_id": tokenizer.pad_id}
        end = tokenizer.end_of_document_id if tokenizer.eos_id is None else tokenizer.eos_id
        # transformers 4 knows torch_dtype, transformers 5 dtype
        dtypes = {"torch_dtype": stored, "dtype": stored}
        note = {} if quantisation is None else {_QUANTISATION: quantisation}
        write_json(folder / _CONFIG, {**config.to_hf(), **ids, "eos_token_id": end, **dtypes, **note})
        stops = {"eos_token_id": list(tokenizer.stop_ids)}
        write_json(folder / _GENERATION, {**(generation or {}), **ids, **stops})
        tokenizer.save(folder)
        for name, content in (extra_files or {}).items():
            atomic_write(folder / name, content)


@torch.no_grad()
def resize_embeddings(model: Llama, rows: int) -> None:
    """Give the vocabulary tables (both, if the head is untied) ``rows`` rows, in place.

    The last rows are cut off, or new ones are added that are the mean of the old ones. The mean does the least harm
    until the rows are initialised for their tokens.
    """
    for table in (model.model.embed_tokens, *(() if model.config.tie_word_embeddings else (model.lm_head,))):
        old = table.weight
        new = old.mean(0, dtype=torch.float32).to(old.dtype).repeat(rows, 1)
        kept = min(rows, len(old))
        new[:kept] = old[:kept]
        table.weight = nn.Parameter(new, requires_grad=old.requires_grad)
    model.model.embed_tokens.num_embeddings = rows
    if not model.config.tie_word_embeddings:
        model.lm_head.out_features = rows
    model.config = replace(model.config, vocab_size=rows)
