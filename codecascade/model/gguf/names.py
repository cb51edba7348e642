"""How tensors are named in a GGUF file and in a Hugging Face folder, and how their rows are ordered.

In files of most types, the rows of the query and key projections are ordered for a rotation of neighbours (2i with
2i + 1); Hugging Face's are ordered for halves (i with i + D/2). Source: ``LLAMA_ROPE_TYPE_NORM`` and ``undo_permute``
in llama.cpp.
"""

from __future__ import annotations

import re

from torch import Tensor

from codecascade.model.config import LlamaConfig
from codecascade.model.rope import halves_of_neighbours, neighbours_of_halves

# By llama.cpp's name; a mistral model is a llama there.
ARCHITECTURES = ("llama", "qwen2", "qwen3", "granite", "smollm3")
ROTATES_NEIGHBOURS = ("llama", "mistral", "granite", "smollm3")

_TABLES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TABLES_TO_GGUF = {name: key for key, name in _TABLES.items()}
_LAYER_TO_GGUF = {name: key for key, name in _LAYER.items()}


def hf_name(name: str) -> str:
    """Hugging Face's name of a GGUF tensor; one that is not known stays as it is."""
    stem, _, kind = name.rpartition(".")
    match = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
    if match and match[2] in _LAYER:
        return f"model.layers.{match[1]}.{_LAYER[match[2]]}.{kind}"
    return f"{_TABLES[stem]}.{kind}" if stem in _TABLES else name


def gguf_name(name: str) -> str:
    """The GGUF name of one of a model's tensors."""
    stem, _, kind = name.rpartition(".")
    if match := re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem):
        return f"blk.{match[1]}.{_LAYER_TO_GGUF[match[2]]}.{kind}"
    return f"{_TABLES_TO_GGUF[stem]}.{kind}"


def rows_to_hf(name: str, weights: Tensor, config: LlamaConfig) -> Tensor:
    """A GGUF tensor's rows in Hugging Face's order; ``name`` is Hugging Face's."""
    heads = _permuted_heads(name, config)
    return weights if heads is None else halves_of_neighbours(weights, heads)


def rows_to_gguf(name: str, weights: Tensor, config: LlamaConfig) -> Tensor:
    """The inverse of :func:`rows_to_hf`."""
    heads = _permuted_heads(name, config)
    return weights if heads is None else neighbours_of_halves(weights, heads)


def _permuted_heads(name: str, config: LlamaConfig) -> int | None:
    """The heads of a tensor whose rows are permuted; None if they are not."""
    match = re.search(r"\.([qk])_proj\.", name)
    if match is None or config.model_type not in ROTATES_NEIGHBOURS:
        return None
    return config.num_attention_heads if match[1] == "q" else config.num_key_value_heads
