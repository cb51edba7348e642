"""Hugging Face model folders, in and out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_folder, atomic_write, write_json
from codecascade.ground.files.reading import read_object
from codecascade.ground.files.values import short, text
from codecascade.model.config import LlamaConfig
from codecascade.model.stored.model import LoadedModel, StoredModel
from codecascade.model.stored.safetensors import SafetensorsWeights
from codecascade.model.weights import Device, assemble, write_weights
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer

_CONFIG, _GENERATION = "config.json", "generation_config.json"
# Our entry of config.json: how the weights were quantised in the file that they were converted from.
_QUANTISATION = "codecascade_quantisation"
_MOST_CONFIG = 4 << 20


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

    Args:
        dtype: of the weights; None leaves them as they are stored.

    Raises:
        UserError: as :func:`open_folder`, or a weights file is broken.
    """
    return open_folder(path).load(dtype=dtype, device=device)


def open_folder(path: str | Path) -> StoredModel:
    """The model of a Hugging Face folder; its weights stay in their files until they are asked for.

    Tokens that have no row in the model are left out of its tokenizer.

    Raises:
        UserError: a file is missing, broken or of a model that is not supported.
    """
    folder = Path(path)
    config = read_config(folder)
    tokenizer = read_tokenizer(folder)
    weights = SafetensorsWeights(folder, config)
    if weights.has_own_head():
        # as transformers 5 does: the weights are the truth
        config = replace(config, tie_word_embeddings=False)
        weights = SafetensorsWeights(folder, config)
    generation = (
        read_object(folder / _GENERATION, _MOST_CONFIG) if os.path.lexists(folder / _GENERATION) else {}
    )
    return StoredModel(
        config, tokenizer, weights, folder, str(path), generation, quantisation=read_quantisation(folder)
    )


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
    check_target(path)
    tensors = model.state_dict() if isinstance(model, nn.Module) else model
    try:
        assemble(config, tensors, file="the state dict")
    except UserError as error:
        raise ValueError(str(error)) from None
    with atomic_folder(path) as folder:
        write_weights(folder, tensors, dtype=dtype, shard_bytes=shard_bytes)
        write_description(
            folder,
            config,
            tokenizer,
            dtype=dtype or next(iter(tensors.values())).dtype,
            generation=generation,
            quantisation=quantisation,
            extra_files=extra_files,
        )


def check_target(path: Path) -> None:
    """Check that a model folder may be written there.

    Raises:
        UserError: something else than a model is there already.
    """
    if path.exists() and not (path / _CONFIG).exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError("is there already and is no model folder; choose another name", file=path)


def write_description(
    folder: Path,
    config: LlamaConfig,
    tokenizer: Tokenizer,
    *,
    dtype: torch.dtype,
    generation: Mapping[str, Any] | None = None,
    quantisation: str | None = None,
    extra_files: Mapping[str, str | bytes] | None = None,
) -> None:
    """Write all files of a model folder but those of the weights; the arguments are those of :func:`save_folder`.

    Args:
        dtype: of the weights that are written beside.

    Raises:
        ValueError: configuration and tokenizer do not fit together.
    """
    if tokenizer.vocab_size > config.vocab_size:
        raise ValueError(f"{tokenizer.vocab_size} tokens do not fit into {config.vocab_size} rows")
    stored = str(dtype).removeprefix("torch.")
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
