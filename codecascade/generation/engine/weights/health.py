"""Whether a model gives numbers: its weights may hold NaN or infinite values, or what it computes may overflow.

Logits that are no numbers have no likeliest token. Whatever is chosen from them is no text of the model's, so what
asked for it ends with an error.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codecascade.ground.errors import UserError


def check_weights(model: nn.Module, file: str | None = None) -> None:
    """Whether all weights of a model are numbers.

    Args:
        model: as it was loaded; of weights in a kernel's own layout nothing is seen.
        file: where they come from, for the message.

    Raises:
        UserError: a weight is none; names the tensor.
    """
    for name, tensor in model.named_parameters():
        if not _is_finite(tensor):
            raise UserError(
                "holds values that are no numbers (NaN or infinite); fetch or save the model again",
                file=file,
                key=name,
            )


def no_numbers(model: nn.Module) -> UserError:
    """Why ``model`` gave what is no number, as far as its weights tell."""
    try:
        check_weights(model)
    except UserError as error:
        return error
    return overflow("what it computes overflows; try --weights fp32")


def overflow(reason: str) -> UserError:
    """The error where a model gives no numbers though its weights seem to be some."""
    return UserError(f"the model gives no numbers (NaN) for this prompt: {reason}")


def _is_finite(tensor: Tensor) -> bool:
    # a sum takes no memory, and is as finite as what it adds up, but for huge numbers
    return bool(tensor.detach().sum(dtype=torch.float32).isfinite()) or bool(tensor.isfinite().all())
