"""Writes GGUF files that llama.cpp loads: one tensor is in memory at a time, and the file is whole or absent."""

from __future__ import annotations

import errno
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Kind
from torch import Tensor

from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_file, remove_abandoned
from codecascade.model.config import LlamaConfig, every_fourth_layer_unrotated
from codecascade.model.gguf.config import GRANITE_MULTIPLIERS, LLAMA3_FACTOR, ROPE_DIVISORS, rope_divisors
from codecascade.model.gguf.names import gguf_name, rows_to_gguf
from codecascade.model.weights import check_numbers, expected_shapes
from codecascade.tokens.files.gguf_writing import tokenizer_to_gguf
from codecascade.tokens.tokenizer import Tokenizer

log = logging.getLogger(__name__)

GgufDtype = Literal["f32", "f16", "bf16", "q8_0"]
_KINDS: dict[str, Kind] = {"f32": Kind.F32, "f16": Kind.F16, "bf16": Kind.BF16, "q8_0": Kind.Q8_0}
_FILE_TYPES = {
    Kind.F32: gguf.LlamaFileType.ALL_F32,
    Kind.F16: gguf.LlamaFileType.MOSTLY_F16,
    Kind.BF16: gguf.LlamaFileType.MOSTLY_BF16,
    Kind.Q8_0: gguf.LlamaFileType.MOSTLY_Q8_0,
}
_STORED = {torch.float32: Kind.F32, torch.float16: Kind.F16, torch.bfloat16: Kind.BF16}
_HALVES = {Kind.F16: torch.float16, Kind.BF16: torch.bfloat16}


def save_gguf(
    path: str | Path,
    tensors: Mapping[str, Tensor],
    config: LlamaConfig,
    tokenizer: Tokenizer,
    *,
    dtype: GgufDtype | None = None,
    name: str | None = None,
) -> None:
    """Write a model and its tokenizer; a file of that name is replaced.

    Vectors (norms, biases) are written in fp32, as llama.cpp wants them. With ``q8_0`` (blocks of 32 values, 8 bits
    each, and a scale) a matrix whose rows are no multiple of 32 long is written in fp16.

    Args:
        tensors: a model's state dict, by Hugging Face's names.
        dtype: of the matrices; None leaves each as it is stored.
        name: what the file says that the model is called.

    Raises:
        UserError: llama.cpp can't compute the model or read its tokenizer, a weight is not finite or too large for
            its type, or the file can't be written.
    """
    shapes = dict(expected_shapes(config))
    stored = {name: _STORED.get(tensor.dtype, Kind.F32) for name, tensor in tensors.items()}
    kinds = {
        name: _kind_of(shape, _KINDS[dtype] if dtype else stored[name]) for name, shape in shapes.items()
    }
    remove_abandoned(path)
    metadata: dict[str, Any] = config_to_gguf(config)
    metadata |= {
        "general.name": name or Path(path).stem,
        "general.file_type": int(_FILE_TYPES[_KINDS[dtype] if dtype else next(iter(stored.values()))]),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
        **tokenizer_to_gguf(tokenizer, config.vocab_size),
    }
    with atomic_file(path) as temporary:
        writer = gguf.GGUFWriter(temporary, metadata.pop("general.architecture"))
        try:
            for key, value in metadata.items():
                _add(writer, key, value)
            divisors = _divisors(config)
            if divisors is not None:
                writer.add_tensor_info(ROPE_DIVISORS, divisors.shape, divisors.dtype, divisors.nbytes)
            for name, shape in shapes.items():
                _announce(writer, gguf_name(name), shape, kinds[name])
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_ti_data_to_file()
            if divisors is not None:
                _write(writer, divisors)
            for name in shapes:
                _write(writer, _encoded(name, rows_to_gguf(name, tensors[name], config), kinds[name]))
        finally:
            writer.close()


def _kind_of(shape: tuple[int, ...], kind: Kind) -> Kind:
    if len(shape) == 1:
        return Kind.F32
    if kind == Kind.Q8_0 and shape[-1] % gguf.GGML_QUANT_SIZES[kind][0]:
        return Kind.F16
    return kind


def _announce(writer: gguf.GGUFWriter, name: str, shape: tuple[int, ...], kind: Kind) -> None:
    per_block, width = gguf.GGML_QUANT_SIZES[kind]
    size = int(np.prod(shape)) // per_block * width
    # the writer takes the shape in bytes where the type is not NumPy's own
    raw = kind in (Kind.BF16, Kind.Q8_0)
    announced = (*shape[:-1], shape[-1] // per_block * width) if raw else shape
    dtype = np.dtype(np.uint8 if raw else np.float16 if kind == Kind.F16 else np.float32)
    writer.add_tensor_info(name, announced, dtype, size, raw_dtype=kind)


def _encoded(name: str, tensor: Tensor, kind: Kind) -> np.ndarray:
    tensor = tensor.detach().cpu().contiguous()
    check_numbers(name, tensor, _HALVES.get(kind, torch.float32), kind.name.lower())
    if kind == Kind.Q8_0:  # a block's scale is in fp16
        check_numbers(name, tensor.abs().max().float() / 127, torch.float16, "q8_0")
    if kind == Kind.BF16:
        return tensor.bfloat16().view(torch.uint8).numpy()
    if kind == Kind.F16:
        return tensor.half().numpy()
    array = tensor.float().numpy()
    encoded: np.ndarray = gguf.quants.quantize(array, kind) if kind == Kind.Q8_0 else array
    return encoded


def _write(writer: gguf.GGUFWriter, array: np.ndarray) -> None:
    try:
        writer.write_tensor_data(array)
    except OSError as error:
        # NumPy does not tell why it wrote less than it was asked to
        raise error if error.errno else OSError(errno.ENOSPC, str(error)) from error


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    match value:
        case bool():
            writer.add_bool(key, value)
        case int():
            writer.add_uint32(key, value)
        case float():
            writer.add_float32(key, value)
        case str():
            writer.add_string(key, value)
        case _:
            writer.add_array(key, value)


def _divisors(config: LlamaConfig) -> np.ndarray | None:
    scaling = config.rope_scaling
    if scaling is None or scaling.kind != "llama3":
        return None
    return rope_divisors(config.head_dim, config.rope_theta, scaling)


def config_to_gguf(config: LlamaConfig) -> dict[str, Any]:
    """The keys of a file that holds a model of this shape, without the tokenizer's.

    Raises:
        UserError: llama.cpp's architecture does not compute something of it.
    """
    architecture = "llama" if config.model_type == "mistral" else config.model_type
    _refuse_what_llama_cpp_lacks(config, architecture)
    keys: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        "rope.dimension_count": config.head_dim,
        "rope.freq_base": float(config.rope_theta),
    }
    if config.sliding_window is not None:
        # llama.cpp passes over it, and computes full attention
        keys["attention.sliding_window"] = config.sliding_window
    scaling = config.rope_scaling
    if scaling is not None and scaling.kind == "linear":
        keys |= {"rope.scaling.type": "linear", "rope.scaling.factor": float(scaling.factor)}
    elif scaling is not None:
        keys |= {
            LLAMA3_FACTOR: float(scaling.factor),
            "rope.scaling.low_freq_factor": float(scaling.low_freq_factor),
            "rope.scaling.high_freq_factor": float(scaling.high_freq_factor),
            "rope.scaling.original_context_length": scaling.original_max_position_embeddings,
        }
    if architecture == "granite":
        values = {key: float(getattr(config, name) or 0.0) for key, name in GRANITE_MULTIPLIERS.items()}
        keys |= values | {"attention.scale": float(config.attention_scale)}
    return {
        "general.architecture": architecture,
        **{f"{architecture}.{key}": value for key, value in keys.items()},
    }


def _refuse_what_llama_cpp_lacks(config: LlamaConfig, architecture: str) -> None:
    tail = f"so that a GGUF file of a {architecture} model can't have it"
    if architecture not in ("llama", "granite"):
        if config.rope_scaling is not None and config.rope_scaling.kind == "llama3":
            raise UserError(f"llama.cpp does not compute Llama 3's scaling there, {tail}", key="rope_scaling")
        if config.attention_output_bias or config.mlp_bias:
            key = "mlp_bias" if config.mlp_bias else "attention_bias"
            raise UserError(f"llama.cpp does not add these biases, {tail}", key=key)
    width = config.num_attention_heads * config.head_dim
    if architecture == "qwen2" and width != config.hidden_size:
        raise UserError(
            f"llama.cpp wants all heads together as wide as the model, {config.hidden_size}, and not {width}, {tail}",
            key="head_dim",
        )
    if architecture == "smollm3":
        expected = every_fourth_layer_unrotated(config.num_hidden_layers)
        if [config.rotates(layer) for layer in range(config.num_hidden_layers)] != list(map(bool, expected)):
            raise UserError(
                f"llama.cpp leaves just every fourth layer unrotated, {tail}", key="no_rope_layers"
            )
