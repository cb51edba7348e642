"""The shape of a Llama-architecture model, and its translation from and to a ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from codecascade.ground.errors import UserError
from codecascade.ground.values import flag, integer, number, short

_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
}
# what transformers takes where a config.json is silent
_POSITIONS = {"llama": 2048, "mistral": 131_072, "qwen2": 32_768}
_EPS = 1e-6
_THETA = 10_000.0
_MISTRAL_WINDOW = 4096
# The most of each value: far beyond any model, and small enough that nothing overflows or takes for ever.
LIMITS: dict[str, float] = {
    "vocab_size": 2**22,
    "hidden_size": 2**18,
    "intermediate_size": 2**22,
    "num_hidden_layers": 2**12,
    "num_attention_heads": 2**14,
    "num_key_value_heads": 2**14,
    "head_dim": 2**14,
    "max_position_embeddings": 2**31,
    "rms_norm_eps": 1.0,
    "rope_theta": 1e15,
}
_MOST_PARAMETERS = 2**45
_MOST_FACTOR = 1e6
_SMALLEST = 1e-30


@dataclass(frozen=True)
class RopeScaling:
    """A change of the rotary frequencies after pre-training.

    ``linear`` divides all by ``factor`` (position interpolation); ``llama3`` divides the slow ones only and blends in
    between (Llama 3.1): the last three fields are its own.
    """

    kind: Literal["linear", "llama3"]
    factor: float
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_position_embeddings: int = 8192

    def __post_init__(self) -> None:
        if self.kind == "llama3" and self.high_freq_factor <= self.low_freq_factor:
            raise UserError(
                f"must be larger than low_freq_factor, {self.low_freq_factor} (got {self.high_freq_factor})",
                key="high_freq_factor",
            )


@dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """The shape of a model; the fields' names are those of a Hugging Face ``config.json``.

    Attributes:
        attention_bias: of the query, key and value projections.
        attention_output_bias: of the projection after attention.

    Raises:
        UserError: the numbers do not fit together, or the model type can't have these biases.
    """

    model_type: str = "llama"
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int
    head_dim: int
    max_position_embeddings: int
    rms_norm_eps: float = 1e-5
    rope_theta: float = _THETA
    rope_scaling: RopeScaling | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    attention_output_bias: bool = False
    mlp_bias: bool = False

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if isinstance(value, int | float) and not isinstance(value, bool) and not value > 0:
                raise UserError(f"must be > 0 (got {value})", key=key)
            if key in LIMITS and value > LIMITS[key]:
                raise UserError(f"must be at most {LIMITS[key]:,} (got {short(value)})", key=key)
        if self.num_attention_heads % self.num_key_value_heads:
            raise UserError(
                f"must divide num_attention_heads, {self.num_attention_heads} (got {self.num_key_value_heads})",
                key="num_key_value_heads",
            )
        if self.head_dim % 2:
            raise UserError(f"must be even, for rotary positions (got {self.head_dim})", key="head_dim")
        possible = {
            "llama": self.attention_bias == self.attention_output_bias,
            "mistral": not (self.attention_bias or self.attention_output_bias or self.mlp_bias),
            "qwen2": self.attention_bias and not (self.attention_output_bias or self.mlp_bias),
        }
        if not possible.get(self.model_type):
            raise UserError(f"a {self.model_type} model can't have these biases", key="attention_bias")
        if self.num_parameters() > _MOST_PARAMETERS:
            raise UserError(
                f"the shape has {self.num_parameters():,} parameters, more than any model; see vocab_size, "
                "hidden_size, intermediate_size and num_hidden_layers"
            )

    @classmethod
    def from_hf(cls, data: Mapping[str, Any], file: str | Path | None = None) -> LlamaConfig:
        """The configuration that a ``config.json`` holds, written by transformers 4 or 5.

        Args:
            data: the file's content.
            file: its name, for messages.

        Raises:
            UserError: the model is of another architecture or uses what is not implemented here (sliding windows,
                other activations, other RoPE scalings, quantised weights), or a key is missing or wrong.
        """
        try:
            return _read(data)
        except UserError as error:
            raise UserError(error.message, file=file, key=error.key) from None

    def to_hf(self) -> dict[str, Any]:
        """The content of a ``config.json``, but for token ids and dtype.

        RoPE is written twice: as ``rope_theta`` and ``rope_scaling`` for transformers 4, vLLM and llama.cpp's
        converter, and as ``rope_parameters`` for transformers 5; each of them reads one or both.
        """
        data = asdict(self)
        del data["attention_output_bias"]
        scaling = None if self.rope_scaling is None else _write_scaling(self.rope_scaling)
        data |= {
            "architectures": [_ARCHITECTURES[self.model_type]],
            "hidden_act": "silu",
            "initializer_range": 0.02,
            "use_cache": True,
            "rope_scaling": scaling,
            "rope_parameters": {"rope_theta": self.rope_theta, **(scaling or {"rope_type": "default"})},
        }
        if self.model_type != "llama":
            del data["attention_bias"], data["mlp_bias"]
            data["sliding_window"] = None
        if self.model_type == "qwen2":
            data["use_sliding_window"] = False
        return data

    def num_parameters(self) -> int:
        """All parameters; a tied head counts once."""
        hidden, ffn = self.hidden_size, self.intermediate_size
        query, key_value = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        biases = (
            self.attention_bias * (query + 2 * key_value)
            + self.attention_output_bias * hidden
            + self.mlp_bias * (2 * ffn + hidden)
        )
        layer = 2 * hidden * (query + key_value) + 3 * hidden * ffn + 2 * hidden + biases
        tables = (2 - self.tie_word_embeddings) * self.vocab_size * hidden
        return tables + self.num_hidden_layers * layer + hidden

    def flops_per_token(self, sequence_length: int) -> float:
        """FLOPs of a training step, forward and backward, per token.

        6 for each parameter that is multiplied (the head's, but not those of the embedding, which is looked up), and
        6 x layers x width x length for attention, of whose scores the causal half counts.
        """
        looked_up = 0 if self.tie_word_embeddings else self.vocab_size * self.hidden_size
        width = self.num_attention_heads * self.head_dim
        attention = self.num_hidden_layers * width * sequence_length
        return 6.0 * (self.num_parameters() - looked_up + attention)


def _read(data: Mapping[str, Any]) -> LlamaConfig:
    model_type = data.get("model_type")
    if not isinstance(model_type, str) or model_type not in _ARCHITECTURES:
        known = ", ".join(_ARCHITECTURES)
        raise UserError(
            f"{short(model_type)} models are not supported; supported are {known}", key="model_type"
        )
    positions = _size(data, "max_position_embeddings", _POSITIONS[model_type])
    _refuse_unsupported(model_type, positions, data)
    theta, scaling = _read_rope(data, positions)
    hidden_size, heads = _size(data, "hidden_size"), _size(data, "num_attention_heads")
    if data.get("head_dim") is None and hidden_size % heads:
        raise UserError(f"must divide hidden_size, {hidden_size} (got {heads})", key="num_attention_heads")
    bias = model_type == "qwen2" or (model_type == "llama" and flag(data, "attention_bias"))
    return LlamaConfig(
        model_type=model_type,
        vocab_size=_size(data, "vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=_size(data, "intermediate_size"),
        num_hidden_layers=_size(data, "num_hidden_layers"),
        num_attention_heads=heads,
        num_key_value_heads=_size(data, "num_key_value_heads", heads),
        head_dim=_size(data, "head_dim", hidden_size // heads),
        max_position_embeddings=positions,
        rms_norm_eps=_positive(data, "rms_norm_eps", _EPS, most=LIMITS["rms_norm_eps"]),
        rope_theta=theta,
        rope_scaling=scaling,
        tie_word_embeddings=flag(data, "tie_word_embeddings"),
        attention_bias=bias,
        attention_output_bias=bias and model_type == "llama",
        mlp_bias=model_type == "llama" and flag(data, "mlp_bias"),
    )


def _refuse_unsupported(model_type: str, positions: int, data: Mapping[str, Any]) -> None:
    if data.get("quantization_config") is not None:
        raise UserError(
            "quantised folders are not supported; take the full-precision one or a GGUF file",
            key="quantization_config",
        )
    if data.get("hidden_act", "silu") not in ("silu", "swish"):
        raise UserError(f"must be 'silu' (got {short(data['hidden_act'])})", key="hidden_act")
    window = None
    if model_type == "mistral" and data.get("sliding_window", _MISTRAL_WINDOW) is not None:
        window = _size(data, "sliding_window", _MISTRAL_WINDOW, limit="max_position_embeddings")
    if window is not None and window < positions:
        raise UserError(
            f"sliding-window attention is not supported (a window of {window} in {positions} positions)",
            key="sliding_window",
        )
    if flag(data, "use_sliding_window"):
        raise UserError("sliding-window attention is not supported", key="use_sliding_window")
    kinds = data.get("layer_types") or []
    if not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds):
        raise UserError("attention must be full in every layer", key="layer_types")


def _read_rope(data: Mapping[str, Any], positions: int) -> tuple[float, RopeScaling | None]:
    """Theta and scaling from transformers 4's two keys and transformers 5's one; where both are, they must agree."""
    entries = {key: data[key] for key in ("rope_parameters", "rope_scaling") if data.get(key)}
    for key, entry in entries.items():
        if not isinstance(entry, Mapping) or any(isinstance(value, Mapping) for value in entry.values()):
            raise UserError("must be one object for all layers", key=key)
    places = (data, *entries.values())
    if any(place.get("partial_rotary_factor") not in (None, 1) for place in places):
        raise UserError("partial rotary embeddings are not supported", key="partial_rotary_factor")
    most = LIMITS["rope_theta"]
    thetas = {
        _positive(place, "rope_theta", most=most) for place in places if place.get("rope_theta") is not None
    }
    scalings = {_read_scaling(entry, key, positions) for key, entry in entries.items()}
    if len(thetas) > 1:
        raise UserError(
            f"is given as {' and as '.join(map(str, sorted(thetas)))}; keep one", key="rope_theta"
        )
    if len(scalings) > 1:
        raise UserError("differs from rope_parameters; keep one", key="rope_scaling")
    return next(iter(thetas), _THETA), next(iter(scalings), None)


def _read_scaling(entry: Mapping[str, Any], key: str, positions: int) -> RopeScaling | None:
    kind = entry.get("rope_type", entry.get("type", "default"))
    if kind == "default":
        return None
    try:
        if kind == "linear":
            return RopeScaling("linear", _positive(entry, "factor", most=_MOST_FACTOR))
        if kind == "llama3":
            return RopeScaling(
                "llama3",
                _positive(entry, "factor", most=_MOST_FACTOR),
                _positive(entry, "low_freq_factor", most=_MOST_FACTOR),
                _positive(entry, "high_freq_factor", most=_MOST_FACTOR),
                _size(entry, "original_max_position_embeddings", positions, limit="max_position_embeddings"),
            )
    except UserError as error:
        raise UserError(error.message, key=f"{key}.{error.key}") from None
    raise UserError(
        f"{short(kind)} is not supported; supported are linear and llama3", key=f"{key}.rope_type"
    )


def _write_scaling(scaling: RopeScaling) -> dict[str, Any]:
    # old readers look for "type", new ones for "rope_type"
    data: dict[str, Any] = {"rope_type": scaling.kind, "type": scaling.kind, "factor": scaling.factor}
    if scaling.kind == "llama3":
        data |= {
            "low_freq_factor": scaling.low_freq_factor,
            "high_freq_factor": scaling.high_freq_factor,
            "original_max_position_embeddings": scaling.original_max_position_embeddings,
        }
    return data


def _size(data: Mapping[str, Any], key: str, default: int | None = None, *, limit: str | None = None) -> int:
    return integer(data, key, default, least=1, most=int(LIMITS[limit or key]))


def _positive(data: Mapping[str, Any], key: str, default: float | None = None, *, most: float) -> float:
    return number(data, key, default, least=_SMALLEST, most=most)
