"""The memory that a stage's training takes on a device (estimate), and what would make it less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codecascade.model.config import LlamaConfig
from codecascade.recipe.settings import Stage


def _width(stage: Stage) -> int:
    """Bytes of a number in the products; what ``auto`` finds is a machine's affair, and a GPU finds bf16."""
    return 4 if stage.precision == "fp32" else 2


def state_bytes(config: LlamaConfig, stage: Stage, devices: int) -> int:
    """Weights, gradients and both moments in fp32, shared out over the devices; beside them, where there are
    several, a layer and the next one as they are gathered for use, and the vocabulary tables."""
    total, trained, frozen = config.num_parameters(), config.num_parameters(), 0
    if stage.train == "lora":
        inputs = 3 * config.hidden_size + config.num_attention_heads * config.head_dim  # q, k, v and o
        outputs = (
            config.hidden_size
            + (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
        )
        feed_forward = 3 * (config.hidden_size + config.intermediate_size)
        trained = config.num_hidden_layers * stage.lora_rank * (inputs + outputs + feed_forward)
        frozen = _width(stage) * total
    state = (16 * trained + frozen) / devices
    if devices > 1:
        tables = (1 if config.tie_word_embeddings else 2) * config.vocab_size * config.hidden_size
        state += _width(stage) * (tables + 2 * (total - tables) / config.num_hidden_layers)
    return round(state)


def activation_bytes(config: LlamaConfig, stage: Stage, devices: int) -> int:
    """What the backward pass keeps of a micro-batch: per layer the residual stream in fp32 and the products' inputs,
    or with checkpointing its input alone and one layer whole; and the logits of a chunk."""
    tokens = min(stage.micro_batch_rows, stage.rows // devices) * stage.sequence_length
    hidden, width = config.hidden_size, _width(stage)
    queries = config.num_attention_heads * config.head_dim
    keys = 2 * config.num_key_value_heads * config.head_dim
    layer = 8 * hidden + width * (2 * hidden + 3 * queries + 2 * keys + 4 * config.intermediate_size)
    if config.query_key_norm:
        layer += width * (queries + keys // 2)
    kept = 4 * hidden * config.num_hidden_layers + layer
    if not stage.activation_checkpointing:
        kept = layer * config.num_hidden_layers
    logits = min(stage.loss_chunk_tokens or 1024, tokens) * config.vocab_size * 10
    return tokens * kept + logits


def memory_bytes(config: LlamaConfig, stage: Stage, devices: int) -> int:
    """Of each of ``devices``: state and activations."""
    return state_bytes(config, stage, devices) + activation_bytes(config, stage, devices)


Settings = dict[str, Any]


@dataclass(frozen=True)
class Remedy:
    """Settings of a stage that are to be another, and a number of devices if that is to be another."""

    settings: Mapping[str, Any]
    devices: int | None = None

    def __str__(self) -> str:
        values = [
            f"{key} = {'true' if value is True else repr(value)}" for key, value in self.settings.items()
        ]
        changes = [f"set {' and '.join(values)}"] if values else []
        return " and ".join([f"use {self.devices} devices"] * (self.devices is not None) + changes)


def remedies(config: LlamaConfig, stage: Stage, devices: int, available: int, shared: int) -> list[Remedy]:
    """What makes ``stage`` fit into ``available`` bytes of each device, by the count of :func:`memory_bytes`.

    Nothing that is set already, and nothing that would not be enough. First what changes neither devices nor what is
    trained, each setting alone or both together; then the fewest devices; then LoRA.

    Args:
        shared: a number of devices must divide it.
    """

    def fits(settings: Mapping[str, Any], number: int = devices) -> bool:
        return memory_bytes(config, stage.model_copy(update=dict(settings)), number) <= available

    rows = min(stage.micro_batch_rows, stage.rows // devices)
    checkpointing: Settings = {} if stage.activation_checkpointing else {"activation_checkpointing": True}
    fewer: list[Settings] = [{"micro_batch_rows": count} for count in range(rows - 1, 0, -1)]
    if checkpointing and fits(checkpointing):
        sparing = [checkpointing]
    else:  # it leaves room for more rows than fewer rows alone
        both = ({**checkpointing, **one} for one in fewer)
        sparing = [next(filter(fits, both), {})] if checkpointing else []
    sparing.append(next(filter(fits, fewer), {}))
    found = [Remedy(settings) for settings in sparing if settings]

    all_that_spares: Settings = {**checkpointing, **(fewer[-1] if fewer else {})}
    numbers = [number for number in range(devices + 1, shared + 1) if shared % number == 0]
    for settings in ({}, all_that_spares):
        if (number := next((one for one in numbers if fits(settings, one)), None)) is not None:
            found.append(Remedy(settings, number))
            break
    if stage.train == "all":
        lora = ({"train": "lora", **settings} for settings in ({}, all_that_spares))
        found += [Remedy(settings) for settings in lora if fits(settings)][:1]
    return found
