"""What a device sends in a step, and how long that takes (estimates).

All counts are of rings: of ``n`` devices each sends ``(n - 1) / n`` of what is gathered or scattered, and twice that
for a sum that all get.
"""

from __future__ import annotations

from dataclasses import dataclass

from codecascade.model.config import LlamaConfig
from codecascade.plan.devices import Device
from codecascade.plan.memory.step import micro_batches, product_bytes, reduces_once, trained_parameters
from codecascade.plan.mesh import tokens_on_device
from codecascade.recipe.settings import Stage
from codecascade.training.parallel.settings import MeshShape

UTILISATION = 0.4
"""The part of a device's speed in matrix products that training reaches (estimate). A run's log has the real one, as
MFU."""


@dataclass(frozen=True)
class Traffic:
    """Bytes that each device sends in a step, by the dimension of the mesh.

    Attributes:
        shard: weights that are gathered, and gradients that are scattered, over ``shard x context`` devices.
        replicate: sums of gradients.
        context: keys and values, and their gradients.
        tensor: parts of activations, and their gradients.
    """

    replicate: int = 0
    shard: int = 0
    context: int = 0
    tensor: int = 0

    @property
    def total(self) -> int:
        return self.replicate + self.shard + self.context + self.tensor


def traffic(config: LlamaConfig, stage: Stage, mesh: MeshShape, memory: int | None = None) -> Traffic:
    """What a device sends in a step of ``stage`` on ``mesh``.

    Args:
        memory: of a device, by which it is decided how often gradients are reduced.
    """
    width, layers = product_bytes(stage), config.num_hidden_layers
    passes = micro_batches(stage, mesh)
    tables = (1 if config.tie_word_embeddings else 2) * config.vocab_size * config.hidden_size
    in_layers = config.num_parameters() - tables
    trained = trained_parameters(config, stage)
    # layers are gathered again for the backward pass, the tables stay gathered
    gathered = width * (tables + 2 * in_layers)
    kept = 4 * trained / mesh.shards / mesh.tensor
    # Forward and backward, a layer gathers its tokens twice and shares out results twice; computed again, it need not
    # share out the last one. Keys and values are gathered, and their gradients shared out.
    tokens = passes * tokens_on_device(stage, mesh)
    again = stage.activation_checkpointing == "full"
    reductions = 1 if reduces_once(config, stage, mesh, memory) else passes
    keys = 2 * config.num_key_value_heads * config.head_dim / mesh.tensor
    # besides the layers, the embedded tokens are shared out, and the hidden states gathered for the loss
    times = layers * (8 + 3 * again) + 4
    return Traffic(
        replicate=round(2 * _others(mesh.data_replicate) * kept),
        shard=round(_others(mesh.shards) * (passes * gathered + reductions * 4 * trained) / mesh.tensor),
        context=round((mesh.context - 1) * width * tokens * layers * keys * (2 + again)),
        tensor=round(_others(mesh.tensor) * width * tokens * config.hidden_size * times),
    )


def _others(devices: int) -> float:
    return (devices - 1) / devices


def step_seconds(config: LlamaConfig, stage: Stage, mesh: MeshShape, device: Device, flops: float) -> float:
    """Seconds of a step on devices of ``flops`` FLOP/s.

    The weights of the next layer are gathered while one is computed, so only what takes longer than the computation
    counts. What tensor and context parallelism send is waited for.
    """
    computing = stage.batch_tokens * stage.flops_per_token(config) / (mesh.devices * flops * UTILISATION)
    sent = traffic(config, stage, mesh, device.memory)
    inner = mesh.tensor * mesh.context
    hidden = sent.shard / device.link(inner * mesh.data_shard) + sent.replicate / device.link(mesh.devices)
    waited = sent.tensor / device.link(mesh.tensor) + sent.context / device.link(inner)
    return max(computing, hidden) + waited
