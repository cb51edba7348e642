"""The container that a GGUF file is: keys with values, and tensors (llama.cpp's ``docs/gguf.md``, versions 2 and 3).

The package's reader believes every length that a file states, and makes objects of single numbers. This one checks
lengths against the file's end and against limits first; tensors stay where they are until they are asked for.
"""

from __future__ import annotations

import math
import mmap
import struct
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from codecascade.ground.errors import UserError, one_line
from codecascade.ground.files.reading import open_regular
from codecascade.ground.files.values import integer, short

_VERSIONS = (2, 3)
_HEADER = 24
_ALIGNMENT = 32
_STRING, _ARRAY, _BOOL = 8, 9, 7
_SCALARS = {
    0: np.uint8,
    1: np.int8,
    2: np.uint16,
    3: np.int16,
    4: np.uint32,
    5: np.int32,
    6: np.float32,
    _BOOL: np.bool_,
    10: np.uint64,
    11: np.int64,
    12: np.float64,
}
_FLOATS = {
    gguf.GGMLQuantizationType.F32: np.float32,
    gguf.GGMLQuantizationType.F16: np.float16,
}
# Limits far beyond any model's, which keep a hostile file from taking all time and memory.
_MOST_KEYS = 2**16
_MOST_TENSORS = 2**18
_LONGEST_NAME = 2**10
_MOST_STRINGS = 2**22
_MOST_DIMENSIONS = 4


@dataclass(frozen=True)
class GgufTensor:
    """Where a tensor lies: ``shape`` is in rows of columns, as in PyTorch; ``kind`` is GGML's type."""

    name: str
    shape: tuple[int, ...]
    kind: gguf.GGMLQuantizationType
    start: int
    size: int


class GgufFile:
    """A file's ``metadata`` (numeric arrays are NumPy's, of the file's own memory) and ``tensors`` by name.

    Raises:
        UserError: the file is missing, no regular file, broken, or a part of several.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with open_regular(path) as file:
            try:
                self._memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            except (ValueError, OSError) as error:
                raise _truncated(path, str(error)) from None
        self.metadata: dict[str, Any] = {}
        self.tensors: dict[str, GgufTensor] = {}
        self._at = self._strings = 0
        try:
            self._read()
        except _Truncated as error:
            raise _truncated(path, str(error)) from None
        except UnicodeDecodeError:
            raise UserError(f"holds text that is not UTF-8, near byte {self._at:,}", file=path) from None
        except UserError as error:
            raise UserError(error.message, file=path, key=error.key) from None

    def values(self, tensor: GgufTensor) -> np.ndarray:
        """A tensor's numbers, fp32, in its shape; a new array, or the file's memory where it holds fp32.

        Raises:
            UserError: its type can't be read.
        """
        return self._dequantised(tensor, self._by_rows(tensor))

    def rows(self, tensor: GgufTensor, rows: np.ndarray) -> np.ndarray:
        """The numbers of some rows, given by their indices; of a tensor with one dimension, its numbers there.

        Raises:
            UserError: its type can't be read.
        """
        if len(tensor.shape) == 1:
            numbers: np.ndarray = self.values(tensor)[rows]
            return numbers
        if not len(rows):
            # gguf can't dequantise nothing, which is the part of a rank that has more company than there are rows
            return np.empty((0, *tensor.shape[1:]), np.float32)
        return self._dequantised(tensor, self._by_rows(tensor)[rows])

    def _by_rows(self, tensor: GgufTensor) -> np.ndarray:
        """The bytes of a tensor, one row of blocks after the other."""
        data = np.frombuffer(self._memory, np.uint8, tensor.size, tensor.start)
        if kind := _FLOATS.get(tensor.kind):
            data = data.view(kind)
        return data.reshape((*tensor.shape[:-1], -1) if tensor.shape else ())

    def _dequantised(self, tensor: GgufTensor, data: np.ndarray) -> np.ndarray:
        try:
            values: np.ndarray = gguf.quants.dequantize(data, tensor.kind)
        except NotImplementedError:
            raise UserError(
                f"is of type {tensor.kind.name}, which is not supported", key=tensor.name
            ) from None
        return values

    def _read(self) -> None:
        if len(self._memory) < _HEADER or self._memory[:4] != b"GGUF":
            raise _Truncated("it does not begin as one")
        self._at = 4
        version = self._number("<I")
        if version not in _VERSIONS:
            big = " (it may be written for machines of the other byte order)" if version & 0xFFFF == 0 else ""
            raise UserError(f"is of GGUF version {version}{big}; known are 2 and 3")
        tensors, keys = self._number("<Q"), self._number("<Q")
        for count, most, what in ((tensors, _MOST_TENSORS, "tensors"), (keys, _MOST_KEYS, "keys")):
            if count > most:
                raise UserError(f"claims to hold {count:,} {what}; at most {most:,} are read")
        for _ in range(keys):
            key = self._text(_LONGEST_NAME)
            if key in self.metadata:
                raise UserError("is there twice", key=key)
            self.metadata[key] = self._value(self._number("<I"), key)
        if integer(self.metadata, "split.count", 1, least=0, most=_MOST_KEYS) > 1:
            raise UserError("is one of several parts; merge them with llama.cpp's llama-gguf-split first")
        found = [self._tensor() for _ in range(tensors)]
        alignment = integer(self.metadata, "general.alignment", _ALIGNMENT, least=1, most=2**20)
        if alignment & (alignment - 1):
            raise UserError(f"must be a power of two (got {alignment})", key="general.alignment")
        begin = -(-self._at // alignment) * alignment
        for name, shape, kind, offset in found:
            self._locate(name, shape, kind, begin + offset)
        # or a small file would become a large model
        in_order = sorted((each for each in self.tensors.values() if each.size), key=lambda each: each.start)
        for each, following in pairwise(in_order):
            if following.start < each.start + each.size:
                raise UserError(f"shares bytes of the file with {short(each.name)}", key=following.name)

    def _locate(self, name: str, shape: tuple[int, ...], number: int, start: int) -> None:
        if name in self.tensors:
            raise UserError("is there twice", key=name)
        try:
            kind = gguf.GGMLQuantizationType(number)
        except ValueError:
            raise UserError(f"is of type {number}, which is not known here", key=name) from None
        per_block, width = gguf.GGML_QUANT_SIZES[kind]
        columns = shape[-1] if shape else 1
        if columns % per_block:
            raise UserError(
                f"has rows of {columns} values, but {kind.name} takes {per_block} at a time", key=name
            )
        size = math.prod(shape) // per_block * width
        if start + size > len(self._memory):
            raise _Truncated(f"{name} goes on after its end")
        self.tensors[name] = GgufTensor(name, shape, kind, start, size)

    def _tensor(self) -> tuple[str, tuple[int, ...], int, int]:
        name = self._text(_LONGEST_NAME)
        dimensions = self._number("<I")
        if dimensions > _MOST_DIMENSIONS:
            raise UserError(
                f"has {dimensions:,} dimensions; at most {_MOST_DIMENSIONS} are possible", key=name
            )
        shape = [self._number("<Q") for _ in range(dimensions)]
        return name, tuple(reversed(shape)), self._number("<I"), self._number("<Q")

    def _value(self, kind: int, key: str) -> Any:
        if kind == _STRING:
            return self._text()
        if kind == _ARRAY:
            return self._array(key)
        return self._scalars(kind, 1, key)[0].item()

    def _array(self, key: str) -> Any:
        kind, count = self._number("<I"), self._number("<Q")
        if kind == _ARRAY:
            raise UserError("is an array of arrays, which no known key is", key=key)
        if kind != _STRING:
            return self._scalars(kind, count, key)
        self._strings += count
        # a text takes 8 bytes for its length at least
        if count * 8 > len(self._memory) - self._at:
            raise _Truncated(f"{key} goes on after its end")
        if self._strings > _MOST_STRINGS:
            raise UserError(f"is the {self._strings:,}th text; at most {_MOST_STRINGS:,} are read", key=key)
        return self._texts(count, key)

    def _texts(self, count: int, key: str) -> list[str]:
        """As :meth:`_text` does, in one loop, because a vocabulary has hundreds of thousands of tokens."""
        memory, end, at = self._memory, len(self._memory), self._at
        length_at = struct.Struct("<Q").unpack_from
        texts = []
        for _ in range(count):
            if at + 8 > end:
                raise _Truncated(f"{key} goes on after its end")
            start = at + 8
            at = start + length_at(memory, at)[0]
            if at > end:
                raise _Truncated(f"{key} goes on after its end")
            texts.append(memory[start:at].decode())
        self._at = at
        return texts

    def _scalars(self, kind: int, count: int, key: str) -> np.ndarray:
        if kind not in _SCALARS:
            raise UserError(f"has a value of type {kind}, which is not known here", key=key)
        dtype = np.dtype(_SCALARS[kind])
        start = self._take(dtype.itemsize * count)
        if kind == _BOOL:
            flags: np.ndarray = np.frombuffer(self._memory, np.uint8, count, start) != 0
            return flags
        return np.frombuffer(self._memory, dtype, count, start)

    def _text(self, most: int | None = None) -> str:
        length = self._number("<Q")
        if most is not None and length > most:
            raise UserError(f"holds a name of {length:,} bytes, near byte {self._at:,}")
        start = self._take(length)
        return self._memory[start : start + length].decode()

    def _number(self, form: str) -> int:
        value: int = struct.unpack_from(form, self._memory, self._take(struct.calcsize(form)))[0]
        return value

    def _take(self, size: int) -> int:
        """Where the next ``size`` bytes begin; the reader goes on after them."""
        start = self._at
        if start + size > len(self._memory):
            raise _Truncated(f"it ends within {short(size)} bytes from byte {start:,}")
        self._at += size
        return start


class _Truncated(Exception):
    """The file ends before something that it says it contains."""


def _truncated(path: Path, cause: str) -> UserError:
    return UserError(f"is not a whole GGUF file ({one_line(cause)}); fetch it again", file=path)
