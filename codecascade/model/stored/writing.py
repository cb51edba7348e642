"""Safetensors files of a folder, written piece by piece, in any order.

The library writes tensors that are whole in memory. These files are written before anybody has a whole tensor: their
names, shapes and so their places are known from the start. The bytes are those that the library writes (format:
https://github.com/huggingface/safetensors).
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import torch
from torch import Tensor

from codecascade.ground.files.atomic import write_json
from codecascade.model.weights import INDEX, shard_names, share_out

_KINDS = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}
# Of the library, which aligns the numbers so.
_ALIGNMENT = 8


@dataclass(frozen=True)
class FilePlan:
    """One safetensors file: which tensors it has, and where.

    Attributes:
        header: all that comes before the numbers.
        starts: of each tensor's first byte, counted from the file's first.
    """

    name: str
    header: bytes
    starts: dict[str, int]


@dataclass(frozen=True)
class WeightsPlan:
    """The safetensors files of one model, all of one ``dtype``, and their index if they are several."""

    files: tuple[FilePlan, ...]
    shapes: dict[str, tuple[int, ...]]
    dtype: torch.dtype

    @classmethod
    def of(
        cls, shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype, shard_bytes: float = 5e9
    ) -> WeightsPlan:
        """As :func:`~codecascade.model.weights.write_weights` lays out such tensors in this order."""
        sizes = {name: math.prod(shape) * dtype.itemsize for name, shape in shapes.items()}
        shards = share_out(sizes, shard_bytes)
        files = [
            _plan(name, names, shapes, dtype)
            for name, names in zip(shard_names(len(shards)), shards, strict=True)
        ]
        return cls(tuple(files), dict(shapes), dtype)

    def write_index(self, folder: Path) -> None:
        """Write the index, if there is more than one file.

        Raises:
            OSError: of the file system, such as a full disk.
        """
        if len(self.files) == 1:
            return
        place = {name: file.name for file in self.files for name in file.starts}
        total = sum(math.prod(shape) * self.dtype.itemsize for shape in self.shapes.values())
        weight_map = {name: place[name] for name in self.shapes}
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": weight_map})


def _plan(
    name: str, names: Sequence[str], shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype
) -> FilePlan:
    # transformers refuses a file without this entry
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    starts, at = {}, 0
    for tensor in sorted(names, key=str.encode):
        size = math.prod(shapes[tensor]) * dtype.itemsize
        entries[tensor] = {
            "dtype": _KINDS[dtype],
            "shape": list(shapes[tensor]),
            "data_offsets": [at, at + size],
        }
        starts[tensor] = at
        at += size
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    header = len(text).to_bytes(8, "little") + text
    starts = {tensor: start + len(header) for tensor, start in starts.items()}
    return FilePlan(name, header, starts)


def write_in_turn(
    folder: Path,
    shapes: Mapping[str, tuple[int, ...]],
    tensors: Iterable[tuple[str, Tensor]],
    dtype: torch.dtype,
    *,
    shard_bytes: float = 5e9,
) -> None:
    """Write weights that are made one after the other, in any order; only one tensor needs to be there at a time.

    Args:
        shapes: of all tensors, in the order of :func:`~codecascade.model.weights.write_weights`.

    Raises:
        OSError: of the file system, such as a full disk.
    """
    plan = WeightsPlan.of(shapes, dtype, shard_bytes)
    with ExitStack() as stack:
        opened = [(file, stack.enter_context(WeightsFile(folder, plan, file))) for file in plan.files]
        files = {name: weights_file for file, weights_file in opened for name in file.starts}
        for name, tensor in tensors:
            files[name].write(name, (0,) * tensor.ndim, tensor.to(device="cpu", dtype=dtype).contiguous())
    plan.write_index(folder)


class WeightsFile:
    """A file of a plan, being written. It is whole once every part of every tensor is written.

    Only one process may write it: those of several machines would not see each other's bytes on every file system.

    Raises:
        OSError: of the file system, such as a full disk; so do its methods.
    """

    def __init__(self, folder: Path, plan: WeightsPlan, file: FilePlan) -> None:
        self._plan, self._file = plan, file
        self._descriptor = os.open(folder / file.name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        try:
            self._write(memoryview(file.header), 0)
        except BaseException:
            os.close(self._descriptor)
            raise

    def write(self, name: str, offset: Sequence[int], values: Tensor) -> None:
        """Write a part of a tensor.

        Args:
            offset: of its first element in the tensor, one number a dimension.
            values: contiguous, on the CPU, of the plan's dtype.
        """
        start, shape, width = self._file.starts[name], self._plan.shapes[name], values.element_size()
        content = values.reshape(-1).view(torch.uint8).numpy().data
        if values.ndim < 2 or values.shape[1:] == shape[1:]:
            row = math.prod(shape[1:])
            self._write(content, start + width * row * (offset[0] if offset else 0))
            return
        rows, columns = values.shape
        for number in range(rows):
            place = (offset[0] + number) * shape[1] + offset[1]
            one = content[number * columns * width : (number + 1) * columns * width]
            self._write(one, start + width * place)

    def __enter__(self) -> WeightsFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            # here, because on another machine the kernel has nothing of it to flush
            if error is None:
                os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)

    def _write(self, content: memoryview, start: int) -> None:
        while content:
            written = os.pwrite(self._descriptor, content, start)
            content, start = content[written:], start + written
