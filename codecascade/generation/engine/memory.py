"""How much memory is free on the device that the cache is on."""

from __future__ import annotations

import torch

from codecascade.ground.memory import free_memory

_SHARE = 0.9
"""Of what is free, so much may be taken."""


def free_bytes(device: torch.device) -> int | None:
    """Bytes that may be allocated now; None where the system does not tell."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0] * _SHARE)
    free = free_memory()
    return int(free * _SHARE) if free else None
