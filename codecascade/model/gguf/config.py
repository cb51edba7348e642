"""The shape of a model from and to the keys of a GGUF file, as llama.cpp's loader understands them.

A key that changes what the model computes is taken into account, or refused by its name; none is passed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

import gguf
import numpy as np
import torch

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import flag, integer, number, short, text
from codecascade.model.config import LIMITS, LlamaConfig, every_fourth_layer_unrotated
from codecascade.model.gguf.container import GgufFile
from codecascade.model.gguf.names import ARCHITECTURES
from codecascade.model.rope import frequencies
from codecascade.model.rope_scaling import RopeScaling

ROPE_DIVISORS = "rope_freqs.weight"
# The key "rope.scaling.factor" would have llama.cpp scale all frequencies by it.
LLAMA3_FACTOR = "rope.scaling.llama3_factor"
_THETA = 10_000.0
_MOST_FACTOR = 1e6
# Keys that are read below, and keys that say nothing about what is computed.
_READ = {
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.scale",
    "rope.freq_base",
    "rope.dimension_count",
    "rope.scaling.type",
    "rope.scaling.factor",
    "rope.scale_linear",
    "vocab_size",
    "expert_count",
    "expert_used_count",
    "embedding_length_out",
    "rope.scaling.original_context_length",
    "rope.scaling.finetuned",
    # ours, beside the divisors that they were made with; llama.cpp passes over them
    "rope.scaling.low_freq_factor",
    "rope.scaling.high_freq_factor",
    LLAMA3_FACTOR,
}
# By our names; 0 stands for "not set", but for the logits' divisor.
GRANITE_MULTIPLIERS = {
    "embedding_scale": "embedding_multiplier",
    "residual_scale": "residual_multiplier",
    "logit_scale": "logits_scaling",
    "attention.scale": "attention_multiplier",
}
# Where these have one of these values, they change nothing. Of other keys only 0 does (llama.cpp's "not set").
_NEUTRAL: dict[str, tuple[Any, ...]] = {
    "attention.causal": (True,),
    "rope.scaling.attn_factor": (1.0,),
    "rope.scaling.yarn_attn_factor": (1.0,),
    "logit_scale": (0.0, 1.0),
    "embedding_scale": (0.0, 1.0),
    "residual_scale": (0.0, 1.0),
    # llama.cpp reads every layout as the same
    "tensor_data_layout": ("Meta AI original pth", "reference"),
}
_KNOWN = {
    key.removeprefix("{arch}.")
    for group in vars(gguf.Keys).values()
    if isinstance(group, type)
    for key in vars(group).values()
    if isinstance(key, str) and key.startswith("{arch}.")
} | _NEUTRAL.keys()


def config_from_gguf(file: GgufFile) -> LlamaConfig:
    """The shape of a file's model.

    Raises:
        UserError: the model is of another architecture or uses what is not implemented here, or a key is missing or
            wrong.
    """
    architecture = text(file.metadata, "general.architecture")
    if architecture is None or architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(
            f"{short(architecture)} is not supported; supported are {known}", key="general.architecture"
        )
    prefix = f"{architecture}."
    keys = {key.removeprefix(prefix): value for key, value in file.metadata.items() if key.startswith(prefix)}
    try:
        _check_keys(keys, _READ | (GRANITE_MULTIPLIERS.keys() if architecture == "granite" else set()))
        return _config(file, architecture, keys)
    except UserError as error:
        ours = error.key is not None and (
            error.key in keys or error.key in _READ or error.key in GRANITE_MULTIPLIERS
        )
        raise UserError(error.message, key=f"{prefix}{error.key}" if ours else error.key) from None


def unknown_keys(file: GgufFile) -> list[str]:
    """The keys of a file's architecture that the format does not know, which are passed over."""
    prefix = f"{file.metadata['general.architecture']}."
    known = {prefix + key for key in _KNOWN | _READ}
    return [key for key in file.metadata if key.startswith(prefix) and key not in known]


def _check_keys(keys: Mapping[str, Any], read: Set[str]) -> None:
    if integer(keys, "expert_count", 0, least=0, most=2**20):
        raise UserError("mixtures of experts are not supported", key="expert_count")
    for key, value in keys.items():
        if key in read:
            continue
        if key not in _KNOWN:
            continue
        neutral = _NEUTRAL.get(key, (0,))
        if isinstance(value, np.ndarray | list):
            changes = any(item not in neutral for item in value)
        else:
            changes = value not in neutral
        if changes:
            raise UserError(
                f"is {short(value)}: it changes what the model computes, and is not supported", key=key
            )


def _config(file: GgufFile, architecture: str, keys: Mapping[str, Any]) -> LlamaConfig:
    table = file.tensors.get("token_embd.weight")
    if table is None:
        raise UserError("lacks the tensor token_embd.weight")
    if len(table.shape) != 2:
        raise UserError(f"has the shape {table.shape}; two dimensions are wanted", key=table.name)
    layers = _size(keys, "block_count", "num_hidden_layers")
    hidden_size = _size(keys, "embedding_length", "hidden_size")
    heads = _layered(keys, "attention.head_count", "num_attention_heads", layers)
    head_dim = _head_dim(keys, hidden_size, heads)
    positions = _size(keys, "context_length", "max_position_embeddings")
    window = _check_attention(keys, head_dim, hidden_size, positions)
    multipliers = _multipliers(keys, head_dim) if architecture == "granite" else {}
    if not multipliers:
        _check_scale(keys, head_dim)
    unrotated = every_fourth_layer_unrotated(layers) if architecture == "smollm3" else (1,)
    theta = number(keys, "rope.freq_base", _THETA, least=1e-30, most=LIMITS["rope_theta"])
    eps = number(keys, "attention.layer_norm_rms_epsilon", least=1e-30, most=LIMITS["rms_norm_eps"])
    biased = any(name.endswith(".bias") for name in file.tensors)
    # llama.cpp's "llama" holds Mistral's models, too; it computes no windows, nor do these architectures have any
    windowed = architecture == "llama" and window is not None and not biased
    return LlamaConfig(
        model_type="mistral" if windowed else architecture,
        vocab_size=table.shape[0],
        hidden_size=hidden_size,
        intermediate_size=_layered(keys, "feed_forward_length", "intermediate_size", layers),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=_layered(keys, "attention.head_count_kv", "num_key_value_heads", layers, heads),
        head_dim=head_dim,
        max_position_embeddings=positions,
        rms_norm_eps=_shortest(eps),
        rope_theta=_shortest(theta),
        rope_scaling=_rope_scaling(file, keys, head_dim, theta),
        tie_word_embeddings="output.weight" not in file.tensors,
        attention_bias="blk.0.attn_q.bias" in file.tensors,
        attention_output_bias="blk.0.attn_output.bias" in file.tensors,
        mlp_bias="blk.0.ffn_up.bias" in file.tensors,
        **multipliers,
        no_rope_layers=unrotated if 0 in unrotated else None,
        sliding_window=window if windowed else None,
    )


def _multipliers(keys: Mapping[str, Any], head_dim: int) -> dict[str, Any]:
    """Granite's, by our names."""
    if not flag(keys, "rope.scaling.finetuned", default=True):
        raise UserError(
            "is false, which leaves out rotary positions; not supported", key="rope.scaling.finetuned"
        )
    values: dict[str, Any] = {}
    for key, name in GRANITE_MULTIPLIERS.items():
        needed = name == "logits_scaling"
        value = number(keys, key, None if needed else 0.0, least=1e-30 if needed else 0.0, most=LIMITS[name])
        if value:
            values[name] = _shortest(value)
    usual = "attention_multiplier" in values and _is_usual(values["attention_multiplier"], head_dim)
    return values | ({"attention_multiplier": None} if usual else {})


def _is_usual(scale: float, head_dim: int) -> bool:
    return bool(np.isclose(scale, head_dim**-0.5, rtol=1e-6))


def _check_scale(keys: Mapping[str, Any], head_dim: int) -> None:
    scale = number(keys, "attention.scale", 0.0, least=-1e30, most=1e30)
    if scale and not _is_usual(scale, head_dim):
        raise UserError(
            f"a scale of the scores is not supported (got {_shortest(scale)})", key="attention.scale"
        )


def _head_dim(keys: Mapping[str, Any], hidden_size: int, heads: int) -> int:
    if keys.get("attention.key_length") is None and hidden_size % heads:
        raise UserError(f"must divide the width, {hidden_size} (got {heads})", key="attention.head_count")
    return _size(keys, "attention.key_length", "head_dim", hidden_size // heads)


def _check_attention(keys: Mapping[str, Any], head_dim: int, hidden_size: int, positions: int) -> int | None:
    """Refuse what makes attention another one; the window of a model whose positions it does not cut."""
    for key, expected, what in (
        ("attention.value_length", head_dim, "values of another length than keys"),
        ("rope.dimension_count", head_dim, "rotary positions in a part of a head's dimensions"),
        ("embedding_length_out", hidden_size, "an output of another width"),
    ):
        value = integer(keys, key, expected, least=0, most=2**31)
        if value != expected:
            raise UserError(f"{what} are not supported ({value} in place of {expected})", key=key)
    window = integer(keys, "attention.sliding_window", 0, least=0, most=2**32)
    if 0 < window < positions:
        raise UserError(
            f"sliding-window attention is not supported (a window of {window} in {positions} positions)",
            key="attention.sliding_window",
        )
    return min(window, int(LIMITS["sliding_window"])) or None


def _rope_scaling(file: GgufFile, keys: Mapping[str, Any], head_dim: int, theta: float) -> RopeScaling | None:
    # llama.cpp takes linear scaling where a file names a factor alone, and reads the key of 2023, too
    kind = text(keys, "rope.scaling.type") or "linear"
    key = "rope.scaling.factor" if "rope.scaling.factor" in keys else "rope.scale_linear"
    factor = number(keys, key, 0.0, least=0.0, most=_MOST_FACTOR)
    divisors = file.tensors.get(ROPE_DIVISORS)
    if kind not in ("none", "linear") and not (kind == "llama3" and divisors is not None):
        raise UserError(f"{short(kind)} is not supported; supported is linear", key="rope.scaling.type")
    linear = kind == "linear" and factor not in (0.0, 1.0)
    if divisors is not None:
        if linear:
            raise UserError(f"can't go together with {key}", key=ROPE_DIVISORS)
        return _llama3(file, keys, head_dim, theta)
    return RopeScaling("linear", _shortest(factor)) if linear else None


def _llama3(file: GgufFile, keys: Mapping[str, Any], head_dim: int, theta: float) -> RopeScaling | None:
    """Llama 3's scaling from its divisors; where no keys say otherwise, all but the factor are as in Llama 3.1."""
    tensor = file.tensors[ROPE_DIVISORS]
    problem = UserError("holds rotary scaling that is not Llama 3's", key=ROPE_DIVISORS)
    if tensor.shape != (head_dim // 2,):
        raise problem
    divisors = file.values(tensor)
    if not np.isfinite(divisors).all() or not 0.0 < divisors.min() <= divisors.max() <= _MOST_FACTOR:
        raise problem
    if LLAMA3_FACTOR not in keys and np.allclose(divisors, 1.0):
        return None
    # the slowest wave's, which is the factor unless even that one fits into the original context
    slowest = float(divisors[-1])
    rounded = round(slowest, 3)
    usual = rounded if rounded and np.isclose(rounded, slowest, rtol=1e-6, atol=0.0) else slowest
    low, high, factor = (
        _shortest(number(keys, key, default, least=1e-30, most=_MOST_FACTOR))
        for key, default in (
            ("rope.scaling.low_freq_factor", 1.0),
            ("rope.scaling.high_freq_factor", 4.0),
            (LLAMA3_FACTOR, usual),
        )
    )
    most = int(LIMITS["max_position_embeddings"])
    original = integer(keys, "rope.scaling.original_context_length", 8192, least=1, most=most)
    scaling = RopeScaling("llama3", factor, low, high, original)
    if not np.allclose(rope_divisors(head_dim, theta, scaling), divisors, rtol=1e-3, atol=0.0):
        raise problem
    return scaling


def rope_divisors(head_dim: int, theta: float, scaling: RopeScaling) -> np.ndarray:
    """What each of ``head_dim / 2`` rotary frequencies is divided by: the tensor ``rope_freqs.weight``, fp32."""
    cpu = torch.device("cpu")
    divisors = frequencies(head_dim, theta, None, cpu) / frequencies(head_dim, theta, scaling, cpu)
    array: np.ndarray = divisors.numpy().astype(np.float32)
    return array


def _size(keys: Mapping[str, Any], key: str, limit: str, default: int | None = None) -> int:
    return integer(keys, key, default, least=1, most=int(LIMITS[limit]))


def _layered(keys: Mapping[str, Any], key: str, limit: str, layers: int, default: int | None = None) -> int:
    """A number, or one for each layer, which have to be equal."""
    value = keys.get(key)
    if not isinstance(value, np.ndarray):
        return _size(keys, key, limit, default)
    if len(value) != layers or any(value != value[0]):
        raise UserError(
            f"must be the same in each of {layers:,} layers (got {short(value[:9].tolist())})", key=key
        )
    return _size({key: value[0].item()}, key, limit)


def _shortest(value: float) -> float:
    """The number that was meant by an fp32 one: 1e-5, not 9.999999747378752e-06."""
    return float(str(np.float32(value)))
