"""The weights of a Hugging Face folder, read part by part."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import short
from codecascade.model.config import LlamaConfig
from codecascade.model.stored.weights import Part
from codecascade.model.weights import (
    HEAD,
    TABLE,
    check_shapes,
    header_shapes,
    model_names,
    safetensors_errors,
    usual_name,
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
        found: dict[str, tuple[Path, str]] = {}
        shapes: dict[str, tuple[int, ...]] = {}
        for file in weight_files(folder):
            for stored, shape in header_shapes(file).items():
                name = usual_name(stored)
                if found.get(name, (file, stored))[1] != stored:
                    other = short(found[name][1])
                    raise UserError(
                        f"stands for {short(name)}, as {other} does", file=file, key=short(stored)
                    )
                found[name], shapes[name] = (file, stored), shape
        check_shapes(config, shapes, file=folder)
        self._both_tables = config.tie_word_embeddings and {TABLE, HEAD} <= shapes.keys()
        self._head = found.get(HEAD)
        # the file of each tensor, and its name there
        names = model_names(config, shapes)
        self._places = {name: found[usual] for name, usual in names.items()}
        self.shapes = {name: shapes[usual] for name, usual in names.items()}

    def has_own_head(self) -> bool:
        """Whether the head of a model that should be tied is stored too, and is another matrix than the table."""
        if self._head is None or not self._both_tables:
            return False
        file, stored = self._head
        with safetensors_errors(file), safe_open(file, framework="pt") as opened:
            head = opened.get_tensor(stored)
        table = self.read(TABLE)
        common = torch.promote_types(head.dtype, table.dtype)
        return not torch.equal(head.to(common), table.to(common))

    def read(self, name: str, part: Part = ()) -> Tensor:
        # Opened each time: the memory that a file's pages take in this process is given back with the tensor.
        file, stored = self._places[name]
        with safetensors_errors(file), safe_open(file, framework="pt") as opened:
            tensor: Tensor = opened.get_slice(stored)[part] if part else opened.get_tensor(stored)
        return tensor

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        for file in sorted({file for file, _ in self._places.values()}):
            with safetensors_errors(file), safe_open(file, framework="pt") as opened:
                for name, (place, stored) in self._places.items():
                    if place == file:
                        yield name, opened.get_tensor(stored)
