"""Settings of a few values that commands, recipes and functions share: each is spelled out here, once.

They stand apart from what they choose between, so that the command line can name them before torch is imported.
"""

from __future__ import annotations

from typing import Literal

Precision = Literal["auto", "fp32", "bf16"]
"""What is computed in; ``auto`` tries both on the device and takes the faster."""

WeightType = Literal["f32", "bf16"]
"""What the weights of a model folder are stored as."""

ConvertedWeightType = Literal["f32", "f16", "bf16", "q8_0"]
"""What the weights of a converted model are stored as; ``q8_0``: quantised to 8 bits, in GGUF files alone."""

ModelFormat = Literal["hf", "gguf"]
"""How a model is stored: as a Hugging Face folder, or as a GGUF file."""

SandboxMode = Literal["strict", "weak"]
"""Whether programs run where the machine can't confine them: never, or even so."""

ChatUse = Literal["auto", "always", "never"]
"""When a model is asked in its chat format; ``auto``: where it has one."""

InfillingFormat = Literal["psm", "spm"]
"""What a model sees first of a gap: the text before it, or the text behind it."""

Licences = Literal["auto", "all", "permissive"]
"""Which files a corpus takes; ``auto``: permissive ones, but all of the user's own folders."""

TokenizerKind = Literal["llama", "bytes"]
"""How a new tokenizer is laid out: as Llama 2's, or as SmolLM2's."""
