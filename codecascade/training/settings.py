"""Settings of a training run: the optimiser's, and the loop's.

Defaults are the paper's (section 2.6). Weight decay and clipping, which it does not state, are Llama 2's.
"""

from __future__ import annotations

import math
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from codecascade.ground.choices import Precision
from codecascade.ground.settings import Settings
from codecascade.model.config import LlamaConfig
from codecascade.training.parallel.settings import Checkpointing, ParallelSettings


class OptimizerSettings(Settings):
    """AdamW and its schedule: linear warm-up, then a cosine from the peak rate down to ``min_ratio`` of it."""

    learning_rate: float = Field(
        gt=0, description="peak learning rate of every weight without a rate of its own"
    )
    embedding_learning_rate: float | None = Field(
        None,
        gt=0,
        description="peak rate of the vocabulary tables (embedding and head); default: learning_rate",
    )
    new_token_learning_rate: float | None = Field(
        None, gt=0, description="peak rate of the rows of newly added tokens; default: the tables' rate"
    )
    warmup_steps: int | None = Field(
        None, ge=0, description="steps of linear warm-up; default: 2 % of the steps, at most 1,000"
    )
    min_ratio: float = Field(1 / 30, ge=0, le=1, description="the last step's rate as a fraction of the peak")
    beta1: float = Field(0.9, ge=0, lt=1)
    beta2: float = Field(0.95, ge=0, lt=1)
    weight_decay: float = Field(
        0.1, ge=0, description="of matrices; never of norms, biases and vocabulary tables"
    )
    gradient_clip: float = Field(1.0, gt=0, description="largest L2 norm of the whole gradient")


class TrainingSettings(OptimizerSettings):
    """One training run. Its length is given by exactly one of ``steps``, ``tokens`` and ``minutes``."""

    steps: int | None = Field(None, gt=0, description="optimiser steps")
    tokens: int | None = Field(None, gt=0, description="tokens, rounded up to whole steps")
    minutes: float | None = Field(
        None, gt=0, le=1e9, description="of training on this machine, from timed steps"
    )
    sequence_length: int = Field(gt=0, description="tokens predicted per row")
    batch_tokens: int = Field(gt=0, description="tokens per optimiser step over all ranks")
    micro_batch_rows: int = Field(1, gt=0, description="rows in one forward and backward pass of one rank")
    document_masks: bool = Field(False, description="attention stays inside a document of a packed row")
    precision: Precision = Field(
        "auto", description="of matrix products; master weights, their sums and the optimiser stay fp32"
    )
    compile: bool = Field(False, description="torch.compile each layer: minutes of compiling, faster steps")
    activation_checkpointing: Checkpointing = Field(
        "none",
        description="activations that the backward pass computes again, which saves memory: none; all of a layer "
        "(full), which is a third more work; or all but attention and every second product (selective). true is full",
    )
    loss_chunk_tokens: int | None = Field(
        None, gt=0, description="tokens whose logits exist at a time; default: the model decides"
    )
    parallel: ParallelSettings | None = Field(
        None,
        description="how ranks share the work; default: the recipe's [parallel], or else what `codecascade plan` "
        "chooses for GPUs; on CPUs all ranks shard weights",
    )
    train: Literal["all", "lora"] = Field(
        "all", description="all weights, or low-rank updates of the linear layers"
    )
    lora_rank: int = Field(16, gt=0, le=65_536)
    lora_alpha: float = Field(32.0, gt=0, description="updates are scaled by lora_alpha / lora_rank")
    lora_merge: float = Field(
        1.0,
        gt=0,
        le=1,
        description="what of the updates the written model gets; with less it gains less and forgets less",
    )
    checkpoint_every: int = Field(500, gt=0, description="steps between checkpoints (one more at the end)")
    async_checkpoints: bool = Field(
        True,
        description="train on while a checkpoint is written from a copy, if the host has memory for the copy",
    )
    step_timeout: float | None = Field(
        None,
        gt=0,
        le=1e7,
        description="seconds of a step of several ranks, after which the run ends and names the rank that hangs; "
        "a process's first step may take 10 times as long; default: from measured steps, at least 300",
    )
    skip_spikes: bool = Field(
        False,
        description="leave out the update of a step whose loss is a spike, or whose loss or gradient is not finite",
    )
    stream_workers: int = Field(
        1, ge=0, le=1024, description="threads that prepare batches ahead of the training"
    )
    seed: int = Field(0, ge=0, description="of everything drawn here: LoRA's first matrices")

    @field_validator("activation_checkpointing", mode="before")
    @classmethod
    def _switch(cls, value: Any) -> Any:
        return {True: "full", False: "none"}[value] if isinstance(value, bool) else value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        lengths = [name for name in ("steps", "tokens", "minutes") if getattr(self, name) is not None]
        if len(lengths) != 1:
            raise ValueError(
                f"give exactly one of steps, tokens and minutes (got {', '.join(lengths) or 'none'})"
            )
        if self.train != "lora" and self.lora_merge != 1:
            raise ValueError(f"lora_merge ({self.lora_merge:g}) is of low-rank updates; set train = 'lora'")
        for name in ("lora_rank", "lora_alpha"):
            value = getattr(self, name)
            # who says `train = "all"` knows it: a stage that is like another, or one from the command line
            if "train" not in self.model_fields_set and value != type(self).model_fields[name].default:
                raise ValueError(
                    f"{name} ({value:g}) is of low-rank updates; set train = 'lora' (or 'all', to train all weights)"
                )
        if self.batch_tokens % self.sequence_length:
            raise ValueError(
                f"batch_tokens ({self.batch_tokens:,}) must be a multiple of sequence_length "
                f"({self.sequence_length:,})"
            )
        total = self.total_steps
        if total and self.warmup_steps is not None and self.warmup_steps >= total:
            raise ValueError(
                f"warmup_steps ({self.warmup_steps:,}) must be less than the {total:,} steps of the run"
            )
        return self

    @property
    def merge_scale(self) -> float:
        """What the product of LoRA's factors is multiplied by where it is merged into a layer's weights.

        Between none and all of the updates lies a weighted mean of the weights before and after training (Wortsman
        et al. 2022, "Robust fine-tuning of zero-shot models").
        """
        return self.lora_merge * self.lora_alpha / self.lora_rank

    @property
    def sharing(self) -> ParallelSettings:
        """How ranks share the work: ``parallel``, or its defaults."""
        return self.parallel or ParallelSettings()

    @property
    def rows(self) -> int:
        """Rows of one step, over all ranks."""
        return self.batch_tokens // self.sequence_length

    @property
    def total_steps(self) -> int | None:
        """Optimiser steps of the run; None for a budget in minutes, which :meth:`with_step_seconds` resolves."""
        if self.tokens is not None:
            return math.ceil(self.tokens / self.batch_tokens)
        return self.steps

    def flops_per_token(self, config: LlamaConfig) -> float:
        """FLOPs of one token's products, forward and backward. Frozen weights need no gradient."""
        share = 2 / 3 if self.train == "lora" else 1
        return share * config.flops_per_token(self.sequence_length)

    def with_step_seconds(self, seconds: float) -> Self:
        """The same run with ``minutes`` turned into ``steps``, for a machine that needs ``seconds`` for a step."""
        if self.minutes is None:
            return self
        steps = max(1, int(self.minutes * 60 / seconds))
        warmup = None if self.warmup_steps is None else min(self.warmup_steps, steps - 1)
        return self.model_copy(update={"steps": steps, "minutes": None, "warmup_steps": warmup})
