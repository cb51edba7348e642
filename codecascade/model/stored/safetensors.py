"""The weights of a Hugging Face folder, read part by part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from codecascade.model.config import LlamaConfig
from codecascade.model.stored.weights import Part
from codecascade.model.weights import (
    HEAD,
    TABLE,
    check_shapes,
    header_shapes,
    model_names,
    safetensors_errors,
    weight_files,
)


class SafetensorsWeights:
    """What is read is memory-mapped: only what is then used comes from the disk.

    The files' headers are compared with ``config`` first.

    Raises:
        UserError: no safetensors are there, a file is missing or broken, its tensors are quantised, or their names or
            shapes are not those of ``config``.
    """

    def __init__(self, folder: Path, config: LlamaConfig) -> None:
        found: dict[str, tuple[Path, tuple[int, ...]]] = {}
        for file in weight_files(folder):
            found |= {name: (file, shape) for name, shape in header_shapes(file).items()}
        shapes = {name: shape for name, (_, shape) in found.items()}
        check_shapes(config, shapes, file=folder)
        self._both_tables = config.tie_word_embeddings and {TABLE, HEAD} <= shapes.keys()
        self._head_file = found[HEAD][0] if HEAD in found else None
        self._stored = model_names(config, shapes)
        self._files = {name: found[stored][0] for name, stored in self._stored.items()}
        self.shapes = {name: shapes[stored] for name, stored in self._stored.items()}

    def has_own_head(self) -> bool:
        """Whether the head of a model that should be tied is stored too, and is another matrix than the table."""
        if self._head_file is None or not self._both_tables:
            return False
        with safetensors_errors(self._head_file), safe_open(self._head_file, framework="pt") as opened:
            head = opened.get_tensor(HEAD)
        table = self.read(TABLE)
        common = torch.promote_types(head.dtype, table.dtype)
        return not torch.equal(head.to(common), table.to(common))

    def read(self, name: str, part: Part = ()) -> Tensor:
        # Opened each time: the memory that a file's pages take in this process is given back with the tensor.
        file, stored = self._files[name], self._stored[name]
        with safetensors_errors(file), safe_open(file, framework="pt") as opened:
            tensor: Tensor = opened.get_slice(stored)[part] if part else opened.get_tensor(stored)
        return tensor

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for file in sorted(set(self._files.values())):
            with safetensors_errors(file), safe_open(file, framework="pt") as opened:
                for name, stored in self._stored.items():
                    if self._files[name] == file:
                        yield name, opened.get_tensor(stored)
