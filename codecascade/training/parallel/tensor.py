"""Tensor parallelism (Shoeybi et al. 2019) with sequence-parallel norms (Korthikanti et al. 2022).

The ranks of a group share the matrices of every layer. Queries, keys, values, gate and up are split by their outputs,
so that each rank has whole heads; the products that follow them are split by their inputs, and their results are sums
over the ranks. The vocabulary's tables are split by rows.

Between the products the ranks share the tokens of the rows: the residual stream is (B, T / ranks, H). Hidden states
are gathered before a product that needs all tokens, and added up and shared out again after one that gives sums. This
sends as much as to add them up for all ranks would, and norms and the stream take a part of the memory.

Everything is a DTensor on the ranks of the group, with the placements that say this; what is computed of several of
them, and gradients, follow from the placements. The modules stay those of the plain model: what crosses between local
tensors and DTensors is in hooks of theirs. The loss on the split head is vocabulary_loss.py's.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from types import MethodType
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Placement, Replicate, Shard, distribute_tensor

from codecascade.model.llama import Layer, Llama
from codecascade.training.parallel.slices import local_rows

# At each norm of the gradient and each save it says that a collective on two dimensions of a mesh is two collectives.
logging.getLogger("torch.distributed.tensor._redistribute").setLevel(logging.ERROR)

TOKENS = Shard(1)
"""The placement of (B, T, ...) between products."""

# By outputs: out rows of the weight, and of LoRA's second matrix. By inputs: the columns, and those of the first.
_BY_OUTPUTS: Mapping[str, Placement] = {"weight": Shard(0), "bias": Shard(0), "lora_b": Shard(0)}
_BY_INPUTS: Mapping[str, Placement] = {"weight": Shard(1), "lora_a": Shard(1)}
_VOCABULARY: Mapping[str, Placement] = {"weight": Shard(0), "original": Shard(0)}


def apply_tensor_parallel(model: Llama, mesh: DeviceMesh) -> None:
    """Split ``model`` over the ranks of ``mesh``, in place; it may be on the meta device.

    Afterwards tokens go in as ever, and hidden states (B, T, H) come out as a DTensor that is split by tokens.
    """
    _split_embedding(model.model.embed_tokens, mesh)
    for layer in cast(Iterable[Layer], model.model.layers):
        _norm_of_tokens(layer.input_layernorm, mesh)
        attention = layer.self_attn
        attention.register_forward_pre_hook(_gather_tokens)
        for projection in (attention.q_proj, attention.k_proj, attention.v_proj):
            _split_by_outputs(projection, mesh)
        _split_by_inputs(attention.o_proj, mesh)
        for name in ("q_norm", "k_norm"):
            if hasattr(attention, name):
                _norm_of_heads(getattr(attention, name), mesh)
        _norm_of_tokens(layer.post_attention_layernorm, mesh)
        layer.mlp.register_forward_pre_hook(_gather_tokens)
        for projection in (layer.mlp.gate_proj, layer.mlp.up_proj):
            _split_by_outputs(projection, mesh)
        _split_by_inputs(layer.mlp.down_proj, mesh)
    _norm_of_tokens(model.model.norm, mesh)
    if not model.config.tie_word_embeddings:
        # never called: the loss multiplies with its weight
        _place(model.lm_head, mesh, _VOCABULARY)


def _place(module: nn.Module, mesh: DeviceMesh, placements: Mapping[str, Placement]) -> None:
    """Make all parameters of ``module`` DTensors; those that are not named in ``placements`` are on every rank."""
    for part in module.modules():
        for name, parameter in list(part.named_parameters(recurse=False)):
            placement = placements.get(name, Replicate())
            # every rank has the whole tensor, so none is sent
            split = distribute_tensor(parameter.detach(), mesh, [placement], src_data_rank=None)
            part.register_parameter(name, nn.Parameter(split, requires_grad=parameter.requires_grad))


def _local(tensor: Any) -> Any:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _gather_tokens(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    """A hook: the first input, split by tokens, is gathered once for all the products of it."""
    return (inputs[0].redistribute(placements=[Replicate()]), *inputs[1:])


def _split_by_outputs(linear: nn.Module, mesh: DeviceMesh) -> None:
    """Of all tokens (B, T, in) make this rank's outputs (B, T, out / ranks), a local tensor."""
    _place(linear, mesh, _BY_OUTPUTS)
    linear.register_forward_hook(lambda module, inputs, output: _local(output))


def _split_by_inputs(linear: nn.Module, mesh: DeviceMesh) -> None:
    """Of this rank's inputs (B, T, in / ranks) make the outputs of its tokens (B, T / ranks, out)."""
    _place(linear, mesh, _BY_INPUTS)

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (DTensor.from_local(inputs[0], mesh, [Shard(-1)], run_check=False), *inputs[1:])

    def after(module: nn.Module, inputs: tuple[Any, ...], output: DTensor) -> Tensor:
        return output.redistribute(placements=[TOKENS]).to_local()

    linear.register_forward_pre_hook(before)
    linear.register_forward_hook(after)


def _norm_of_tokens(norm: nn.Module, mesh: DeviceMesh) -> None:
    """Norm this rank's tokens; the output is a DTensor, split by tokens."""
    _place(norm, mesh, {})
    norm.register_forward_pre_hook(_as_split(mesh, TOKENS))


def _norm_of_heads(norm: nn.Module, mesh: DeviceMesh) -> None:
    """Norm the queries or keys (B, T, heads, D) of this rank's heads."""
    _place(norm, mesh, {})
    norm.register_forward_pre_hook(_as_split(mesh, Shard(2)))
    norm.register_forward_hook(lambda module, inputs, output: _local(output))


def _as_split(mesh: DeviceMesh, placement: Placement) -> Any:
    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (DTensor.from_local(inputs[0], mesh, [placement], run_check=False), *inputs[1:])

    return before


def _split_embedding(embedding: nn.Module, mesh: DeviceMesh) -> None:
    """Of tokens (B, T) make the embedded tokens of this rank (B, T / ranks, H).

    DTensor's own embedding gives the gradient of all rows on every rank, and splits it afterwards. Here each rank
    looks up the tokens whose rows it has, and has their gradient alone.
    """
    _place(embedding, mesh, _VOCABULARY)

    def forward(module: nn.Module, tokens: Tensor) -> Tensor:
        table = module.weight
        assert isinstance(table, DTensor)
        own = local_rows(table)
        index = tokens - own.start
        inside = (index >= 0) & (index < len(own))
        found = F.embedding(torch.where(inside, index, 0), table.to_local())
        found = torch.where(inside[..., None], found, 0)
        summed = DTensor.from_local(found, mesh, [Partial()], run_check=False)
        return summed.redistribute(placements=[TOKENS]).to_local()

    embedding.forward = MethodType(forward, embedding)
