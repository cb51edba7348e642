"""Which number format the matrix products use, chosen by asking the hardware, and said with its reason.

The right choice is a factor of 4 to 9 on a CPU with bf16 instructions; the wrong one (bf16 on a CPU without)
costs a factor of 3 to 30, because every product then runs in a fallback.
"""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import lru_cache

import torch

from codecascade.ground import choices
from codecascade.ground.errors import UserError


@dataclass(frozen=True)
class Precision:
    """Format of the matrix products; master weights, gradients' sums and the optimiser are always fp32."""

    dtype: torch.dtype
    reason: str

    def autocast(self, device: torch.device) -> AbstractContextManager[object]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(device.type, dtype=self.dtype)

    def __str__(self) -> str:
        return f"{'bf16' if self.dtype == torch.bfloat16 else 'fp32'} ({self.reason})"


def choose_precision(device: torch.device, requested: choices.Precision = "auto") -> Precision:
    """The precision for ``device``.

    Raises:
        UserError: bf16 was asked for on hardware where it is emulated.
    """
    fast, reason = _has_bf16(device)
    if requested == "fp32":
        return Precision(torch.float32, "asked for")
    if requested == "bf16" and not fast:
        raise UserError(f"{reason}: use precision = 'auto' or 'fp32'", key="precision")
    return Precision(torch.bfloat16 if fast else torch.float32, reason)


def _has_bf16(device: torch.device) -> tuple[bool, str]:
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        if torch.cuda.is_bf16_supported(including_emulation=False):
            return True, f"{name} has bf16 tensor cores"
        return False, f"{name} has no bf16 tensor cores"
    capability = torch.backends.cpu.get_cpu_capability()
    if device.type == "cpu" and torch._C._has_mkldnn:
        if torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return True, f"this CPU ({capability}) has bf16 instructions"
        return False, f"this CPU ({capability}) has no bf16 instructions, where bf16 is 3 to 30 times slower"
    return False, f"no bf16 kernels are known for {device.type}"


@lru_cache
def matmul_peak(device: torch.device, dtype: torch.dtype, *, seconds: float = 0.3) -> float:
    """FLOP/s of the fastest of several large square products, timed once for about ``seconds``: MFU's denominator.

    It is what this machine can do now, not what its data sheet promises: other processes count.
    """
    size = 8192 if device.type == "cuda" else 1536
    left, right = (torch.ones(size, size, dtype=dtype, device=device) for _ in range(2))
    best, end = float("inf"), time.perf_counter() + seconds
    torch.mm(left, right)
    while True:
        _synchronize(device)
        start = time.perf_counter()
        torch.mm(left, right)
        _synchronize(device)
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() > end:
            return 2 * size**3 / best


def _synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
