"""Reads GGUF files (llama.cpp's format): weights, shape and tokenizer in one.

What differs from a Hugging Face folder: tensors have other names and may be quantised in blocks, some rows are in
another order (``names.py``), and Llama 3's rotary scaling is stored as a tensor of divisors.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codecascade.ground.errors import UserError
from codecascade.ground.format import listed
from codecascade.model.config import LlamaConfig
from codecascade.model.gguf.config import ROPE_DIVISORS, config_from_gguf, unknown_keys
from codecascade.model.gguf.container import GgufFile, GgufTensor
from codecascade.model.gguf.names import hf_name, rows_to_hf
from codecascade.model.stored.model import LoadedModel, StoredModel
from codecascade.model.stored.weights import Part
from codecascade.model.weights import Device, check_shapes, hf_names, model_names
from codecascade.tokens.files.gguf import tokenizer_from_gguf
from codecascade.tokens.tokenizer import Tokenizer

log = logging.getLogger(__name__)
_UNQUANTISED = ("F16", "F32", "F64", "BF16")


def load_gguf(path: str | Path, *, dtype: torch.dtype | None = None, device: Device = "cpu") -> LoadedModel:
    """The model and the tokenizer of a GGUF file.

    Args:
        dtype: that the weights are turned to; None is fp32, which holds every quantised value exactly.

    Raises:
        UserError: as :func:`open_gguf`, or a weight is not finite.
    """
    return open_gguf(path).load(dtype=dtype, device=device)


def open_gguf(path: str | Path) -> StoredModel:
    """The model and the tokenizer of a GGUF file; its weights stay there until they are asked for.

    Raises:
        UserError: the file is missing, broken or in parts, or its model, its tokenizer or a tensor's type is unknown.
    """
    file = GgufFile(Path(path))
    with _naming(path):
        config = config_from_gguf(file)
        if unknown := unknown_keys(file):
            log.warning("%s: these keys are not known, and are passed over: %s", path, listed(unknown))
        names = hf_names((name for name in file.tensors if name != ROPE_DIVISORS), hf_name)
    shapes = {hf: file.tensors[name].shape for name, hf in names.items()}
    check_shapes(config, shapes, file=path)
    with _naming(path):
        tokenizer = tokenizer_from_gguf(file.metadata).within(config.vocab_size, path)
    stored = {hf: file.tensors[name] for name, hf in names.items()}
    weights = GgufWeights(
        file, config, {name: stored[hf] for name, hf in model_names(config, shapes).items()}
    )
    return StoredModel(
        config,
        tokenizer,
        weights,
        Path(path),
        str(path),
        quantisation=_quantisation(file),
        finite_when_read=True,
    )


class GgufWeights:
    """The dequantised weights (fp32) of a GGUF file, by Hugging Face's names.

    Only the rows that are asked for are dequantised, so that is the memory that a part takes, whatever its columns.
    """

    def __init__(self, file: GgufFile, config: LlamaConfig, tensors: Mapping[str, GgufTensor]) -> None:
        self._file, self._config, self._tensors = file, config, tensors
        self.shapes = {name: tensor.shape for name, tensor in tensors.items()}

    def read(self, name: str, part: Part = ()) -> Tensor:
        tensor = self._tensors[name]
        # the file's rows in Hugging Face's order
        order = rows_to_hf(name, torch.arange(tensor.shape[0]), self._config).numpy()
        rows = order[part[0]] if part else order
        with _naming(self._file.path):
            # a copy: the file's memory is read-only
            with np.errstate(invalid="ignore", over="ignore"):
                weights = torch.from_numpy(np.array(self._file.rows(tensor, rows), dtype=np.float32))
            # a sum takes no memory, and is as finite as what it adds up, but for huge numbers
            if not weights.sum().isfinite() and not weights.isfinite().all():
                raise UserError("holds values that are no numbers (NaN or infinite)", key=tensor.name)
        return weights[(slice(None), *part[1:])]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, self.read(name)) for name in self._tensors)


def read_gguf_config(path: str | Path) -> LlamaConfig:
    """The shape of a GGUF file's model; its weights are not read. Raises as :func:`load_gguf`."""
    file = GgufFile(Path(path))
    with _naming(path):
        return config_from_gguf(file)


def read_gguf_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer of a GGUF file, without its weights. Raises as :func:`load_gguf`."""
    file = GgufFile(Path(path))
    with _naming(path):
        tokenizer = tokenizer_from_gguf(file.metadata)
        table = file.tensors.get("token_embd.weight")
        return tokenizer if table is None or not table.shape else tokenizer.within(table.shape[0], path)


def read_gguf_quantisation(path: str | Path) -> str | None:
    """How a GGUF file's weights are quantised, most of those that are (``Q4_1``); None if none is.

    Raises as :func:`load_gguf`.
    """
    return _quantisation(GgufFile(Path(path)))


def _quantisation(file: GgufFile) -> str | None:
    counts: Counter[str] = Counter()
    for tensor in file.tensors.values():
        if tensor.kind.name not in _UNQUANTISED:
            counts[tensor.kind.name] += math.prod(tensor.shape)
    return max(counts, key=counts.__getitem__, default=None)


@contextmanager
def _naming(path: str | Path) -> Iterator[None]:
    """Errors within it name the file."""
    try:
        yield
    except UserError as error:
        raise UserError(error.message, file=path, key=error.key) from None
