"""A model in its files: everything about it is known but the weights, which are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.stored.weights import StoredWeights
from codecascade.model.weights import Device, assemble
from codecascade.tokens.tokenizer import Tokenizer

TensorCheck = Callable[[str, Tensor], None]
"""Raises UserError for a tensor, given by its name, that can't be taken."""


@dataclass(frozen=True)
class LoadedModel:
    """A model with its tokenizer.

    Attributes:
        source: what it was loaded from, as the user named it.
        generation: the content of ``generation_config.json``; empty if there is none.
        quantisation: how the weights are, or were before they were converted, quantised (``Q4_1``); None if never.
        finite: whether it was seen while they were read that all weights are numbers.
    """

    model: Llama
    tokenizer: Tokenizer
    source: str
    generation: dict[str, Any] = field(default_factory=dict)
    quantisation: str | None = None
    finite: bool = False

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
        finite_when_read: whether ``weights`` refuses values that are no numbers.
    """

    config: LlamaConfig
    tokenizer: Tokenizer
    weights: StoredWeights
    path: Path
    source: str
    generation: dict[str, Any] = field(default_factory=dict)
    quantisation: str | None = None
    finite_when_read: bool = False

    def load(
        self,
        *,
        dtype: torch.dtype | None = None,
        device: Device = "cpu",
        check: TensorCheck | None = None,
    ) -> LoadedModel:
        """The model in memory.

        Args:
            check: gets each tensor by its name, as it is stored; what it raises ends the loading.
            dtype: of the weights; None leaves them as they are stored (fp32 for a GGUF file). Matrices that are
                stored in several types get the smallest one that holds all their values, or none could be multiplied.

        Raises:
            UserError: the file is broken, or its values can't be read.
        """
        tensors = {}
        for name, tensor in self.weights.tensors():
            if check is not None:
                check(name, tensor)
            tensors[name] = tensor.to(device=device, dtype=dtype)
        multiplied = [name for name in tensors if not name.endswith("norm.weight")]
        common = reduce(torch.promote_types, {tensors[name].dtype for name in multiplied})
        tensors |= {name: tensors[name].to(common) for name in multiplied}
        model = assemble(self.config, tensors, file=self.path)
        # a number may be too large for fp16
        finite = self.finite_when_read and dtype != torch.float16
        return LoadedModel(model, self.tokenizer, self.source, self.generation, self.quantisation, finite)
