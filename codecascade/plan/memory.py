"""The memory that a stage's training takes on each device, and which settings would make it less.

All figures are estimates in bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from codecascade.model.config import LlamaConfig
from codecascade.recipe.settings import Stage


def _product_bytes(stage: Stage) -> int:
    """Bytes of one number in the matrix products. ``auto`` is counted as bf16, which it is on every GPU."""
    return 4 if stage.precision == "fp32" else 2


def state_bytes(config: LlamaConfig, stage: Stage, devices: int) -> int:
    """Bytes of weights, gradients and AdamW's two moments in fp32, shared out over the devices.

    Several devices also hold what is gathered for use: the layer that is computed, the next one, and the vocabulary
    tables.
    """
    total, trained, frozen = config.num_parameters(), config.num_parameters(), 0
    if stage.train == "lora":
        # of the projections q, k, v and o
        inputs = 3 * config.hidden_size + config.num_attention_heads * config.head_dim
        outputs = (
            config.hidden_size
            + (config.num_attention_heads + 2 * config.num_key_value_heads) * config.head_dim
        )
        feed_forward = 3 * (config.hidden_size + config.intermediate_size)
        trained = config.num_hidden_layers * stage.lora_rank * (inputs + outputs + feed_forward)
        frozen = _product_bytes(stage) * total
    state = (16 * trained + frozen) / devices
    if devices > 1:
        tables = (1 if config.tie_word_embeddings else 2) * config.vocab_size * config.hidden_size
        state += _product_bytes(stage) * (tables + 2 * (total - tables) / config.num_hidden_layers)
    return round(state)


def activation_bytes(config: LlamaConfig, stage: Stage, devices: int) -> int:
    """Bytes that the backward pass needs of a micro-batch.

    Each layer keeps the residual stream in fp32 and the inputs of its products. With activation checkpointing it
    keeps its own input only, and one layer at a time is computed again. The logits of one chunk come on top.
    """
    tokens = min(stage.micro_batch_rows, stage.rows // devices) * stage.sequence_length
    hidden, width = config.hidden_size, _product_bytes(stage)
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
    """Bytes that each of ``devices`` needs: state and activations."""
    return state_bytes(config, stage, devices) + activation_bytes(config, stage, devices)


Changes = dict[str, Any]
"""New values of a stage's settings, by key."""


@dataclass(frozen=True)
class Remedy:
    """What makes a stage fit: new values of its settings, and a new number of devices (None: the same)."""

    settings: Mapping[str, Any]
    devices: int | None = None

    def __str__(self) -> str:
        values = [
            f"{key} = {'true' if value is True else repr(value)}" for key, value in self.settings.items()
        ]
        changes = [f"set {' and '.join(values)}"] if values else []
        return " and ".join([f"use {self.devices} devices"] * (self.devices is not None) + changes)


def remedies(config: LlamaConfig, stage: Stage, devices: int, available: int, shared: int) -> list[Remedy]:
    """What makes ``stage`` fit into ``available`` bytes of each device, as :func:`memory_bytes` counts.

    The order is: settings that change neither the devices nor what is trained, then the fewest devices, then LoRA.
    Settings that have the value already, and remedies that would not be enough, are left out.

    Args:
        shared: a possible number of devices divides this number.
    """

    def fits(changes: Mapping[str, Any], number: int = devices) -> bool:
        return memory_bytes(config, stage.model_copy(update=dict(changes)), number) <= available

    rows = min(stage.micro_batch_rows, stage.rows // devices)
    checkpointing: Changes = {} if stage.activation_checkpointing else {"activation_checkpointing": True}
    fewer_rows: list[Changes] = [{"micro_batch_rows": count} for count in range(rows - 1, 0, -1)]
    if checkpointing and fits(checkpointing):
        sparing = [checkpointing]
    else:
        # with checkpointing more rows fit than without
        both = ({**checkpointing, **fewer} for fewer in fewer_rows)
        sparing = [next(filter(fits, both), {})] if checkpointing else []
    sparing.append(next(filter(fits, fewer_rows), {}))
    found = [Remedy(changes) for changes in sparing if changes]

    most_sparing: Changes = {**checkpointing, **(fewer_rows[-1] if fewer_rows else {})}
    numbers = [number for number in range(devices + 1, shared + 1) if shared % number == 0]
    for changes in ({}, most_sparing):
        enough = next((number for number in numbers if fits(changes, number)), None)
        if enough is not None:
            found.append(Remedy(changes, enough))
            break
    if stage.train == "all":
        lora = ({"train": "lora", **changes} for changes in ({}, most_sparing))
        found += [Remedy(changes) for changes in lora if fits(changes)][:1]
    return found
