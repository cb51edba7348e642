"""Reads GGUF files (llama.cpp's format): weights, shape and tokenizer in one.

What differs from a Hugging Face folder: tensors have other names and may be quantised in blocks; the rows of the
query and key projections of architecture ``llama`` are ordered for a rotation of neighbours (2i with 2i + 1) in place
of halves (i with i + D/2); and Llama 3's rotary scaling is stored as a tensor of divisors.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from torch import Tensor

from codecascade.errors import UserError
from codecascade.model.config import LlamaConfig, RopeScaling
from codecascade.model.folder import LoadedModel
from codecascade.model.rope import frequencies
from codecascade.model.weights import Device, assemble
from codecascade.tokens.gguf import tokenizer_from_gguf
from codecascade.tokens.tokenizer import Tokenizer

_ARCHITECTURES = ("llama", "qwen2")
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
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_WHOLE = ("F16", "F32", "F64", "BF16")
_ROPE_DIVISORS = "rope_freqs.weight"


def load_gguf(path: str | Path, *, dtype: torch.dtype | None = None, device: Device = "cpu") -> LoadedModel:
    """The model and the tokenizer of a GGUF file.

    Args:
        dtype: that the weights are turned to; None is fp32, which holds every quantised value exactly.

    Raises:
        UserError: the file is missing, broken or in parts, or its model, its tokenizer or a tensor's type is unknown.
    """
    reader, metadata = _open(Path(path))
    try:
        config = _config(reader, metadata)
        tokenizer = tokenizer_from_gguf(metadata)
        tensors = dict(_tensors(reader, config, dtype or torch.float32, device))
    except UserError as error:
        raise UserError(error.message, file=path, key=error.key) from None
    return LoadedModel(assemble(config, tensors, file=path), tokenizer, str(path))


def read_gguf_config(path: str | Path) -> LlamaConfig:
    """The shape of a GGUF file's model; its weights are not read. Raises as :func:`load_gguf`."""
    reader, metadata = _open(Path(path))
    try:
        return _config(reader, metadata)
    except UserError as error:
        raise UserError(error.message, file=path, key=error.key) from None


class _Reader(gguf.GGUFReader):  # type: ignore[misc]
    """The package's reader, several times as fast: a memmap is slow to slice, and it is sliced for every token."""

    @property
    def data(self) -> np.ndarray:
        return self._data

    @data.setter
    def data(self, memory: np.memmap) -> None:
        self._data = memory.view(np.ndarray)


def read_gguf_tokenizer(path: str | Path) -> Tokenizer:
    """The tokenizer of a GGUF file, without its weights. Raises as :func:`load_gguf`."""
    return tokenizer_from_gguf(_open(Path(path))[1])


def read_gguf_quantisation(path: str | Path) -> str | None:
    """How a GGUF file's weights are quantised, most of those that are (``Q4_1``); None if all are whole.

    Raises as :func:`load_gguf`.
    """
    counts: Counter[str] = Counter()
    for tensor in _open(Path(path))[0].tensors:
        if tensor.tensor_type.name not in _WHOLE:
            counts[tensor.tensor_type.name] += int(tensor.n_elements)
    return max(counts, key=counts.__getitem__, default=None)


def _open(path: Path) -> tuple[gguf.GGUFReader, dict[str, Any]]:
    try:
        reader = _Reader(path)
        metadata = {key: field.contents() for key, field in reader.fields.items()}
    except FileNotFoundError:
        raise UserError("there is no such file", file=path) from None
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(f"is not a whole GGUF file ({error}); fetch it again", file=path) from None
    if metadata.get("split.count", 1) > 1:
        raise UserError(
            "is one of several parts; merge them with llama.cpp's llama-gguf-split first", file=path
        )
    return reader, metadata


def _config(reader: gguf.GGUFReader, metadata: Mapping[str, Any]) -> LlamaConfig:
    architecture = metadata.get("general.architecture")
    if architecture not in _ARCHITECTURES:
        known = " and ".join(_ARCHITECTURES)
        raise UserError(
            f"{architecture!r} is not supported; supported are {known}", key="general.architecture"
        )

    def get(key: str, default: Any = None) -> Any:
        value = metadata.get(f"{architecture}.{key}", default)
        if value is None:
            raise UserError("is missing", key=f"{architecture}.{key}")
        return value

    if get("expert_count", 0):
        raise UserError("mixtures of experts are not supported", key=f"{architecture}.expert_count")
    shapes = {tensor.name: tensor.shape for tensor in reader.tensors}
    if "token_embd.weight" not in shapes:
        raise UserError("lacks the tensor token_embd.weight")
    hidden_size, heads = get("embedding_length"), get("attention.head_count")
    theta, head_dim = get("rope.freq_base", 10_000.0), get("attention.key_length", hidden_size // heads)
    return LlamaConfig(
        model_type=architecture,
        vocab_size=int(shapes["token_embd.weight"][1]),
        hidden_size=hidden_size,
        intermediate_size=get("feed_forward_length"),
        num_hidden_layers=get("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=get("attention.head_count_kv", heads),
        head_dim=head_dim,
        max_position_embeddings=get("context_length"),
        rms_norm_eps=_shortest(get("attention.layer_norm_rms_epsilon")),
        rope_theta=_shortest(theta),
        rope_scaling=_rope_scaling(reader, metadata, architecture, head_dim, theta),
        tie_word_embeddings="output.weight" not in shapes,
        attention_bias="blk.0.attn_q.bias" in shapes,
        attention_output_bias="blk.0.attn_output.bias" in shapes,
        mlp_bias="blk.0.ffn_up.bias" in shapes,
    )


def _shortest(value: float) -> float:
    """The number that was meant by an fp32 one: 1e-5, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))


def _rope_scaling(
    reader: gguf.GGUFReader, metadata: Mapping[str, Any], architecture: str, head_dim: int, theta: float
) -> RopeScaling | None:
    key = f"{architecture}.rope.scaling"
    kind = metadata.get(f"{key}.type", "none")
    divisors = next((tensor.data for tensor in reader.tensors if tensor.name == _ROPE_DIVISORS), None)
    if divisors is not None:
        # the file holds no parameters; all models that have this tensor were made with the same, but for the factor
        scaling = RopeScaling("llama3", float(np.round(divisors.max(), 3)))
        cpu = torch.device("cpu")
        ours = frequencies(head_dim, theta, None, cpu) / frequencies(head_dim, theta, scaling, cpu)
        if kind != "none" or not np.allclose(ours.numpy(), divisors, rtol=1e-3):
            raise UserError("holds rotary scaling that is not Llama 3's", key=_ROPE_DIVISORS)
        return scaling
    if kind == "linear":
        return RopeScaling("linear", metadata.get(f"{key}.factor", 1.0))
    if kind != "none":
        raise UserError(f"{kind!r} is not supported; supported is linear", key=f"{key}.type")
    return None


def _tensors(
    reader: gguf.GGUFReader, config: LlamaConfig, dtype: torch.dtype, device: Device
) -> Iterator[tuple[str, Tensor]]:
    """Dequantised tensors by Hugging Face's names."""
    for tensor in reader.tensors:
        if tensor.name == _ROPE_DIVISORS:
            continue
        try:
            values = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        except NotImplementedError:
            raise UserError(
                f"is of type {tensor.tensor_type.name}, which is not supported", key=tensor.name
            ) from None
        weights = torch.from_numpy(
            np.array(values, dtype=np.float32)
        )  # a copy: the file's memory is read-only
        name = _name(tensor.name)
        if config.model_type == "llama" and (match := re.search(r"\.([qk])_proj\.", name)):
            heads = config.num_attention_heads if match[1] == "q" else config.num_key_value_heads
            weights = _halves(weights, heads)
        yield name, weights.to(device=device, dtype=dtype)


def _name(name: str) -> str:
    stem, _, kind = name.rpartition(".")
    if match := re.fullmatch(r"blk\.(\d+)\.(\w+)", stem):
        return f"model.layers.{match[1]}.{_LAYER.get(match[2], match[2])}.{kind}"
    return f"{_TABLES.get(stem, stem)}.{kind}"


def _halves(weights: Tensor, heads: int) -> Tensor:
    """(heads x D, ...) with each head's rows 0, 1, 2, 3 ... as 0, 2, 4 ... 1, 3, 5 ..."""
    return weights.view(heads, -1, 2, *weights.shape[1:]).transpose(1, 2).reshape(weights.shape)
