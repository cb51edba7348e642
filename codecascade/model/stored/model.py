"""A model in its files: everything about it is known but the weights, which are read when they are asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.stored.weights import StoredWeights
from codecascade.model.weights import Device, assemble
from codecascade.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer.

    Attributes:
        source: what it was loaded from, as the user named it.
        generation: the content of ``generation_config.json``; empty if there is none.
        quantisation: how the weights are, or were before they were converted, quantised (``Q4_1``); None if never.
    """

    model: Llama
    tokenizer: Tokenizer
    source: str
    generation: dict[str, Any] = field(default_factory=dict)
    quantisation: str | None = None

    @property
    def config(self) -> LlamaConfig:
        """The model's shape as it is now."""
        return self.model.config


@dataclass(frozen=True)
class StoredModel:
    """A model in its files, which have been opened and checked as far as that needs no weight.

    Attributes:
        path: of the folder or file.
        generation, quantisation, source: see :class:`LoadedModel`.
    """

    config: LlamaConfig
    tokenizer: Tokenizer
    weights: StoredWeights
    path: Path
    source: str
    generation: dict[str, Any] = field(default_factory=dict)
    quantisation: str | None = None

    def load(self, *, dtype: torch.dtype | None = None, device: Device = "cpu") -> LoadedModel:
        """The model in memory.

        Args:
            dtype: of the weights; None leaves them as they are stored (fp32 for a GGUF file).

        Raises:
            UserError: the file is broken, or its values can't be read.
        """
        tensors = {name: tensor.to(device=device, dtype=dtype) for name, tensor in self.weights.tensors()}
        model = assemble(self.config, tensors, file=self.path)
        return LoadedModel(model, self.tokenizer, self.source, self.generation, self.quantisation)
