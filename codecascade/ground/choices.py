"""The allowed values of settings that commands, recipes and functions share.

They have a module of their own so that the command line can name them before torch is imported.
"""

from __future__ import annotations

from typing import Literal

Precision = Literal["auto", "fp32", "bf16"]
"""The number format of computation; ``auto`` tries both on the device and takes the faster one."""

Backend = Literal["torch", "llama.cpp"]
"""The library whose kernels compute a model."""

Weights = Literal["auto", "bf16", "fp32", "int8", "int4"]
"""How a model that is used holds its weights; ``int8`` and ``int4`` are quantised as it is loaded."""

WeightType = Literal["f32", "bf16"]
"""The number format in which a model folder stores its weights."""

ConvertedWeightType = Literal["f32", "f16", "bf16", "q8_0"]
"""What the weights of a converted model are stored as; ``q8_0``: quantised to 8 bits, in GGUF files alone."""

ModelFormat = Literal["hf", "gguf"]
"""How a model is stored: as a Hugging Face folder, or as a GGUF file."""

SandboxMode = Literal["strict", "weak"]
"""Whether programs run on a machine that can't confine them: ``strict`` refuses, ``weak`` runs them anyway."""

ChatUse = Literal["auto", "always", "never"]
"""When a model is asked in its chat format; ``auto``: if it has one."""

InfillingFormat = Literal["psm", "spm"]
"""The order of an infilling prompt: prefix first (PSM) or suffix first (SPM)."""

Licences = Literal["auto", "all", "permissive"]
"""Which files a corpus takes; ``auto``: only permissive ones, except that a user's own folders are taken whole."""

TokenizerKind = Literal["llama", "bytes"]
"""The layout of a new tokenizer: like Llama 2's, or byte-level like SmolLM2's."""

Selection = Literal["first_passing", "agreement"]
"""Which solution self-instruct keeps: the first that passes all tests, or one of a group that agrees with them."""

PromptForm = Literal["auto", "chat", "plain"]
"""How self-instruct asks: in a chat format, by a text that is continued, or in the chat format if there is one."""
