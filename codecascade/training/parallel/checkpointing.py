"""Selective activation checkpointing: which results of a layer are kept for the backward pass.

Kept are what is dear to compute again for the memory that it takes: attention, what was gathered from other ranks,
and every second matrix product (as in torchtitan). All else, elementwise work for the most part, is computed again.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)

# Ops by name, because builds of PyTorch differ in which they have.
_KEPT = (
    "aten._scaled_dot_product_flash_attention.default",
    "aten._scaled_dot_product_flash_attention_for_cpu.default",
    "aten._scaled_dot_product_efficient_attention.default",
    "aten._scaled_dot_product_cudnn_attention.default",
    "torch_attn._varlen_attn.default",
    "_c10d_functional.all_gather_into_tensor.default",
    "_c10d_functional.reduce_scatter_tensor.default",
)
_PRODUCTS = (torch.ops.aten.mm.default, torch.ops.aten.addmm.default)


def keep_some_activations(forward: Callable[..., Any], *arguments: Any) -> Any:
    """``forward(*arguments)``, of whose results only those that are dear are kept for the backward pass."""
    return checkpoint(
        forward, *arguments, use_reentrant=False, context_fn=_contexts, preserve_rng_state=False
    )


def _contexts() -> Any:
    policy = partial(_policy, {False: 0, True: 0})
    return create_selective_checkpoint_contexts(policy)  # type: ignore[no-untyped-call]


def _policy(
    products: dict[bool, int], context: SelectiveCheckpointContext, op: Any, *args: Any, **kwargs: Any
) -> CheckpointPolicy:
    """Whether the result of ``op`` is kept. ``products`` counts them, in the first pass and in the second."""
    if op in _PRODUCTS:
        again = context.is_recompute
        products[again] += 1
        kept = products[again] % 2 == 1
    else:
        kept = str(op) in _KEPT
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE
