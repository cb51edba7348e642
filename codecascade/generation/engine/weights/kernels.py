"""PyTorch's own CPU kernels for products with weights of 8 and 4 bits, and whether they are there and right.

The activations are bf16: with fp32 ones the kernels run in plain loops, 10 to 30 times slower. Shapes: B rows, O out
features, I in features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from codecascade.generation.engine.weights.gptq import quantise_by_products
from codecascade.generation.engine.weights.quantise import (
    GROUP_SIZE,
    dequantise_int4,
    dequantise_int8,
    quantise_int4,
    quantise_int8,
)
from codecascade.ground.errors import UserError

QuantisedType = Literal["int8", "int4"]

INT8_COLUMNS = 16
"""In features that the int8 kernel reads at a time. It does not look where a row ends, and reads beyond it."""
# Out features that the int4 kernel's fastest layout has in a block.
_INT4_ROWS = 64
_TOLERANCE = 0.02  # of the largest output; the kernels are within 0.006


class QuantisedWeight(Protocol):
    """A weight (O, I) in fewer bits.

    Attributes:
        shape: (O, I).
        nbytes: memory of it.
    """

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def nbytes(self) -> int: ...

    def product(self, x: Tensor) -> Tensor:
        """(B, I) to (B, O), both bf16: ``x`` times the transposed weight."""
        ...

    def dequantise(self, dtype: torch.dtype) -> Tensor:
        """The weight that the products are with, (O, I)."""
        ...


def quantise(
    weight: Tensor, kind: QuantisedType, name: str = "weight", moments: Tensor | None = None
) -> QuantisedWeight:
    """A weight (O, I) in the kernels' layout.

    Args:
        name: what errors call it.
        moments: of the layer's inputs, to which an int4 weight is fitted then; see
            :func:`~codecascade.generation.engine.weights.gptq.quantise_by_products`.

    Raises:
        UserError: the kernel can't take a weight of this shape, or it has weights that are no numbers.
    """
    check_columns(weight.shape[1], kind, name)
    return Int8Weight.of(weight) if kind == "int8" else Int4Weight.of(weight, moments)


def check_columns(columns: int, kind: QuantisedType, name: str) -> None:
    """Whether a weight of so many columns can be held so.

    Raises:
        UserError: it can't.
    """
    needed = INT8_COLUMNS if kind == "int8" else GROUP_SIZE
    if columns % needed:
        what = "groups" if kind == "int4" else "steps"
        other = "int8, bf16 or fp32" if kind == "int4" and not columns % INT8_COLUMNS else "bf16 or fp32"
        raise UserError(
            f"{name} has {columns:,} columns, which {what} of {needed} do not divide, so it can't be held "
            f"in {kind}; take {other}",
            key="weights",
        )


@dataclass(frozen=True)
class Int8Weight:
    """int8 with a scale for each out feature.

    Attributes:
        values: (O, I) int8.
        scales: (O) bf16.
    """

    values: Tensor
    scales: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> Int8Weight:
        return cls(*quantise_int8(weight.detach()))

    @property
    def shape(self) -> tuple[int, int]:
        return self.values.shape[0], self.values.shape[1]

    @property
    def nbytes(self) -> int:
        return self.values.nbytes + self.scales.nbytes

    def product(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.aten._weight_int8pack_mm(x, self.values, self.scales)
        return out

    def dequantise(self, dtype: torch.dtype) -> Tensor:
        return dequantise_int8(self.values, self.scales, dtype)

    def rows(self, indices: Tensor, dtype: torch.dtype) -> Tensor:
        """Rows of the weight, (..., I)."""
        return self.values[indices].to(dtype).mul_(self.scales[indices].to(dtype)[..., None])


@dataclass(frozen=True)
class Int4Weight:
    """int4 with a scale and a zero for each group of columns of each out feature.

    Attributes:
        packed: the values, in a layout of the kernel's own; rows are filled up to a multiple of 64.
        scales_and_zeros: (I / group size, O rounded up, 2) bf16.
        out_features: O.
    """

    packed: Tensor
    scales_and_zeros: Tensor
    out_features: int

    @classmethod
    def of(cls, weight: Tensor, moments: Tensor | None = None) -> Int4Weight:
        if moments is None:
            values, scales, zeros = quantise_int4(weight.detach())
        else:
            values, scales, zeros = quantise_by_products(weight.detach(), moments)
        missing = -values.shape[0] % _INT4_ROWS
        values, scales, zeros = (F.pad(part, (0, 0, 0, missing)) for part in (values, scales, zeros))
        return cls(
            _pack_int4(values), torch.stack((scales, zeros), -1).transpose(0, 1).contiguous(), weight.shape[0]
        )

    @property
    def shape(self) -> tuple[int, int]:
        return self.out_features, 2 * self.packed.shape[1]

    @property
    def nbytes(self) -> int:
        return self.packed.nbytes + self.scales_and_zeros.nbytes

    def product(self, x: Tensor) -> Tensor:
        out: Tensor = torch.ops.aten._weight_int4pack_mm_for_cpu(
            x, self.packed, GROUP_SIZE, self.scales_and_zeros
        )
        return out[:, : self.out_features]

    def dequantise(self, dtype: torch.dtype) -> Tensor:
        scales, zeros = self.scales_and_zeros.transpose(0, 1).unbind(-1)
        return dequantise_int4(self._values(), scales, zeros, dtype)[: self.out_features]

    def _values(self) -> Tensor:
        """(O rounded up, I) uint8."""
        order = _int4_order()
        out, half = self.packed.shape
        blocks = self.packed.view(-1, 2 * half, len(order) // 2)
        nibbles = torch.stack((blocks & 15, blocks >> 4), -1).flatten(2)
        return nibbles[..., order].transpose(1, 2).reshape(out, 2 * half)


def _pack_int4(values: Tensor) -> Tensor:
    packed: Tensor = torch.ops.aten._convert_weight_to_int4pack_for_cpu(values.to(torch.int32), 1)
    return packed


@lru_cache
def _int4_order() -> Tensor:
    """Where the kernel's layout has the rows of a block, found by packing their numbers.

    The layout is one of the processor's: blocks of 64 rows or of 32, column after column, two rows a byte.

    Raises:
        RuntimeError: the layout is another one.
    """
    for size in (64, 32):
        numbers = torch.arange(size)
        # Digit by digit, as a packed value has 4 bits. The kernel takes an even number of columns.
        low, high = (
            _pack_int4(digit[:, None].expand(size, GROUP_SIZE).contiguous()).view(GROUP_SIZE, -1)[0]
            for digit in (numbers % 16, numbers // 16)
        )
        low, high = (torch.stack((digit & 15, digit >> 4), -1).flatten() for digit in (low, high))
        order = torch.argsort(low.long() + 16 * high.long())
        sample = (torch.arange(128 * GROUP_SIZE).view(128, GROUP_SIZE) * 7 % 11).to(torch.uint8)
        blocks = _pack_int4(sample).view(-1, GROUP_SIZE, size // 2)
        nibbles = torch.stack((blocks & 15, blocks >> 4), -1).flatten(2)
        if torch.equal(nibbles[..., order].transpose(1, 2).reshape(128, GROUP_SIZE), sample):
            return order
    raise RuntimeError("PyTorch packs int4 weights in a layout that is not known")


@lru_cache
def why_not(kind: QuantisedType) -> str | None:
    """Why this machine's PyTorch can't compute with such weights on the CPU; None if it can.

    Small products are compared with those of the weights that are meant.
    """
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(72, 2 * GROUP_SIZE, generator=generator)
    try:
        quantised = quantise(weight, kind)
        meant = quantised.dequantise(torch.float32)
        if (meant - weight).abs().mean() > 0.2:
            return f"this PyTorch unpacks {kind} weights wrongly"
        for rows in (1, 3, 8, 33):
            x = torch.randn(rows, weight.shape[1], generator=generator).bfloat16()
            expected = x.float() @ meant.T
            if (quantised.product(x).float() - expected).abs().max() > _TOLERANCE * expected.abs().max():
                return f"this PyTorch's {kind} kernel gives wrong products on this processor"
    except (AttributeError, NotImplementedError, RuntimeError) as error:
        return f"this PyTorch has no {kind} kernel for this processor ({str(error).splitlines()[0]})"
    return None
