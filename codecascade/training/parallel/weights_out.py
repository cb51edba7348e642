"""The weights of a trained model that is sharded over the ranks."""

from __future__ import annotations

import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from codecascade.training.lora import merge_lora
from codecascade.training.settings import TrainingSettings


def final_state_dict(model: nn.Module, settings: TrainingSettings) -> dict[str, Tensor]:
    """The trained weights as an ordinary model's, on rank 0: unsharded, on the CPU, LoRA merged. Elsewhere empty.

    Tensors may share the model's memory. All ranks must call this, because each tensor is gathered.
    """
    first = not dist.is_initialized() or dist.get_rank() == 0
    state = {}
    for name, tensor in model.state_dict().items():
        full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        if first:
            state[name] = full.detach().cpu()
    return merge_lora(state, settings.lora_alpha / settings.lora_rank)
