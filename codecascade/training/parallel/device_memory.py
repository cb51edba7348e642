"""A device that has too little memory, told as a user's mistake."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from codecascade.ground.errors import UserError


@contextmanager
def memory_errors(device: torch.device, what: str, remedy: str) -> Iterator[None]:
    """Turn PyTorch's error of an allocation that failed into a sentence.

    Args:
        what: does not fit, with its size.
        remedy: what to do.

    Raises:
        UserError: a device or the machine has no memory left.
    """
    try:
        yield
    except RuntimeError as error:
        # on a CPU it is an error without a class of its own
        if not isinstance(error, torch.OutOfMemoryError) and "can't allocate memory" not in str(error):
            raise
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else "the machine"
        raise UserError(f"{what} does not fit into the memory of {name}; {remedy}") from None
