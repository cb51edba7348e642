"""The shape of a Llama-architecture model, and its translation from and to a ``config.json``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import flag, integer, number, short
from codecascade.model.rope_scaling import (
    DEFAULT_THETA,
    MOST_POSITIONS,
    MOST_THETA,
    RopeScaling,
    read_rope,
    write_rope,
)

_ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "mistral": "MistralForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "granite": "GraniteForCausalLM",
    "smollm3": "SmolLM3ForCausalLM",
}
# What transformers takes where a config.json is silent.
_POSITIONS = {
    **dict.fromkeys(("llama", "granite"), 2048),
    "mistral": 131_072,
    **dict.fromkeys(("qwen2", "qwen3", "smollm3"), 32_768),
}
_KEY_VALUE_HEADS = {"qwen3": 32, "smollm3": 4}
_HEAD_DIM = {"qwen3": 128}
_THETA = {"smollm3": 2_000_000.0}
_TIED = ("smollm3",)
_ROPE_INTERVAL = 4
_EPS = 1e-6
_MISTRAL_WINDOW = 4096

# What each type can have at all; Qwen 2 has biases of queries, keys and values always.
_TYPES_WITH_ATTENTION_BIAS = ("llama", "qwen3", "granite", "smollm3")
_TYPES_WITH_MLP_BIAS = ("llama", "granite", "smollm3")
_TYPES_WITH_WINDOW = ("mistral", "qwen2", "qwen3", "smollm3")
_MULTIPLIERS = ("embedding_multiplier", "residual_multiplier", "attention_multiplier", "logits_scaling")
_MOST_MULTIPLIER = 1e6
# The most of each value: far beyond any model, and small enough that nothing overflows or takes for ever.
LIMITS: dict[str, float] = {
    "vocab_size": 2**22,
    "hidden_size": 2**18,
    "intermediate_size": 2**22,
    "num_hidden_layers": 2**12,
    "num_attention_heads": 2**14,
    "num_key_value_heads": 2**14,
    "head_dim": 2**14,
    **dict.fromkeys(("max_position_embeddings", "sliding_window"), MOST_POSITIONS),
    "rms_norm_eps": 1.0,
    "rope_theta": MOST_THETA,
    **dict.fromkeys(_MULTIPLIERS, _MOST_MULTIPLIER),
}
_MOST_PARAMETERS = 2**45
_SMALLEST = 1e-30


@dataclass(frozen=True, kw_only=True)
class LlamaConfig:
    """The shape of a model; the fields' names are those of a Hugging Face ``config.json``.

    Attributes:
        attention_bias: of the query, key and value projections.
        attention_output_bias: of the projection after attention.
        embedding_multiplier: of the embedded tokens (Granite).
        residual_multiplier: of what each half of a layer adds to the residual stream (Granite).
        attention_multiplier: of the scores, in the place of ``head_dim ** -0.5`` (Granite); None for just that.
        logits_scaling: what the logits are divided by (Granite).
        no_rope_layers: for each layer 1 if its queries and keys are rotated, else 0 (SmolLM3, whose name it is);
            None if all are.
        sliding_window: how many tokens one attends to (Mistral); None for all. Nothing longer is computed here.

    Raises:
        UserError: the numbers do not fit together, or the model type can't have these biases, multipliers or layers.
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
    rope_theta: float = DEFAULT_THETA
    rope_scaling: RopeScaling | None = None
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    attention_output_bias: bool = False
    mlp_bias: bool = False
    embedding_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    attention_multiplier: float | None = None
    logits_scaling: float = 1.0
    no_rope_layers: tuple[int, ...] | None = None
    sliding_window: int | None = None

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if not isinstance(value, int | float) or isinstance(value, bool):
                continue
            if not value > 0:
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
        _check_model_type(self)
        self.check_window(self.max_position_embeddings, key="sliding_window")
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
        """The content of a ``config.json``, but for token ids and dtype."""
        data = asdict(self)
        del data["attention_output_bias"], data["sliding_window"]
        data |= {
            "architectures": [_ARCHITECTURES[self.model_type]],
            "hidden_act": "silu",
            "initializer_range": 0.02,
            "use_cache": True,
            **write_rope(self.rope_theta, self.rope_scaling),
            "attention_multiplier": self.attention_scale,
            "no_rope_layers": [int(self.rotates(layer)) for layer in range(self.num_hidden_layers)],
        }
        if self.model_type not in _TYPES_WITH_ATTENTION_BIAS:
            del data["attention_bias"]
        if self.model_type not in _TYPES_WITH_MLP_BIAS:
            del data["mlp_bias"]
        if self.model_type != "granite":
            for key in _MULTIPLIERS:
                del data[key]
        if self.model_type != "smollm3":
            del data["no_rope_layers"]
        if self.model_type in _TYPES_WITH_WINDOW:
            data["sliding_window"] = self.sliding_window
            if self.model_type != "mistral":
                data["use_sliding_window"] = False
        return data

    def check_window(self, positions: int, *, key: str | None = None) -> None:
        """Raise UserError, with ``key``, where the window would cut the attention in a text of so many tokens."""
        window = self.sliding_window
        if window is not None and window < positions:
            most = f"the model can have at most as many positions as its window, {window} (got {positions})"
            raise UserError(f"sliding-window attention is not supported: {most}", key=key)

    @property
    def query_key_norm(self) -> bool:
        """Whether the queries and keys of each head are normed before they are rotated (Qwen 3)."""
        return self.model_type == "qwen3"

    @property
    def attention_scale(self) -> float:
        """What the products of queries and keys are multiplied by."""
        return self.head_dim**-0.5 if self.attention_multiplier is None else self.attention_multiplier

    def rotates(self, layer: int) -> bool:
        """Whether a layer's queries and keys are rotated to their positions."""
        return self.no_rope_layers is None or self.no_rope_layers[layer] == 1

    def num_parameters(self) -> int:
        """All parameters; a tied head counts once."""
        hidden, ffn = self.hidden_size, self.intermediate_size
        query, key_value = self.num_attention_heads * self.head_dim, self.num_key_value_heads * self.head_dim
        biases = (
            self.attention_bias * (query + 2 * key_value)
            + self.attention_output_bias * hidden
            + self.mlp_bias * (2 * ffn + hidden)
        )
        norms = 2 * hidden + self.query_key_norm * 2 * self.head_dim
        layer = 2 * hidden * (query + key_value) + 3 * hidden * ffn + norms + biases
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


def _check_model_type(config: LlamaConfig) -> None:
    """Whether transformers' model of this type can compute what ``config`` says."""
    model_type = config.model_type
    if model_type not in _ARCHITECTURES:
        raise _unknown(model_type)
    both = config.attention_bias == config.attention_output_bias
    if model_type == "qwen2":
        possible = config.attention_bias and not config.attention_output_bias
    else:
        possible = both and (model_type in _TYPES_WITH_ATTENTION_BIAS or not config.attention_bias)
    if not possible or (config.mlp_bias and model_type not in _TYPES_WITH_MLP_BIAS):
        raise UserError(f"a {model_type} model can't have these biases", key="attention_bias")
    if config.sliding_window is not None and model_type != "mistral":
        raise UserError(f"a {model_type} model can't have it; only a mistral model can", key="sliding_window")
    for key, value in ((key, getattr(config, key)) for key in _MULTIPLIERS):
        if model_type != "granite" and value not in (None, 1.0):
            raise UserError(f"a {model_type} model can't have it; only a granite model can", key=key)
    if config.no_rope_layers is not None:
        if model_type != "smollm3":
            raise UserError(
                f"a {model_type} model can't have it; only a smollm3 model can", key="no_rope_layers"
            )
        _check_rope_layers(config.no_rope_layers, config.num_hidden_layers)


def _check_rope_layers(values: Any, layers: int) -> None:
    if not isinstance(values, list | tuple) or any(type(value) is not int for value in values):
        raise UserError(f"must be a list of 0 and 1 (got {short(values)})", key="no_rope_layers")
    if len(values) < layers or not set(values) <= {0, 1}:
        raise UserError(
            f"must hold 1 (rotated) or 0 for each of {layers:,} layers (got {short(list(values))})",
            key="no_rope_layers",
        )


def _read(data: Mapping[str, Any]) -> LlamaConfig:
    model_type = data.get("model_type")
    if not isinstance(model_type, str) or model_type not in _ARCHITECTURES:
        raise _unknown(model_type)
    positions = _size(data, "max_position_embeddings", _POSITIONS[model_type])
    _refuse_unsupported(data)
    theta, scaling = read_rope(data, positions, _THETA.get(model_type, DEFAULT_THETA))
    hidden_size, heads = _size(data, "hidden_size"), _size(data, "num_attention_heads")
    layers = _size(data, "num_hidden_layers")
    if data.get("head_dim") is None and model_type not in _HEAD_DIM and hidden_size % heads:
        raise UserError(f"must divide hidden_size, {hidden_size} (got {heads})", key="num_attention_heads")
    head_dim = _size(data, "head_dim", _HEAD_DIM.get(model_type, hidden_size // heads))
    # null stands for as many as there are query heads, a missing key for the type's own number
    key_value_heads = heads if "num_key_value_heads" in data else _KEY_VALUE_HEADS.get(model_type, heads)
    bias = model_type in _TYPES_WITH_ATTENTION_BIAS and flag(data, "attention_bias")
    return LlamaConfig(
        model_type=model_type,
        vocab_size=_size(data, "vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=_size(data, "intermediate_size"),
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=_size(data, "num_key_value_heads", key_value_heads),
        head_dim=head_dim,
        max_position_embeddings=positions,
        rms_norm_eps=_positive(data, "rms_norm_eps", _EPS),
        rope_theta=theta,
        rope_scaling=scaling,
        tie_word_embeddings=flag(data, "tie_word_embeddings", default=model_type in _TIED),
        attention_bias=bias or model_type == "qwen2",
        attention_output_bias=bias,
        mlp_bias=model_type in _TYPES_WITH_MLP_BIAS and flag(data, "mlp_bias"),
        **(_read_multipliers(data, head_dim) if model_type == "granite" else {}),
        no_rope_layers=_read_rope_layers(data, layers) if model_type == "smollm3" else None,
        sliding_window=_read_window(data) if model_type == "mistral" else None,
    )


def _read_multipliers(data: Mapping[str, Any], head_dim: int) -> dict[str, Any]:
    values = {key: _positive(data, key, 1.0) for key in _MULTIPLIERS}
    plain = values["attention_multiplier"] == head_dim**-0.5
    return values | ({"attention_multiplier": None} if plain else {})


def _read_rope_layers(data: Mapping[str, Any], layers: int) -> tuple[int, ...] | None:
    values = data.get("no_rope_layers")
    if values is None:
        interval = integer(data, "no_rope_layer_interval", _ROPE_INTERVAL, least=1, most=2**31)
        values = every_fourth_layer_unrotated(layers, interval)
    _check_rope_layers(values, layers)
    return tuple(values[:layers]) if 0 in values[:layers] else None


def every_fourth_layer_unrotated(layers: int, interval: int = _ROPE_INTERVAL) -> tuple[int, ...]:
    """SmolLM3's ``no_rope_layers`` where nothing else is said: every ``interval``-th layer is not rotated."""
    return tuple(int((layer + 1) % interval != 0) for layer in range(layers))


def _unknown(model_type: Any) -> UserError:
    known = ", ".join(_ARCHITECTURES)
    return UserError(f"{short(model_type)} models are not supported; supported are {known}", key="model_type")


def _read_window(data: Mapping[str, Any]) -> int | None:
    has_none = data.get("sliding_window", _MISTRAL_WINDOW) is None
    return None if has_none else _size(data, "sliding_window", _MISTRAL_WINDOW)


def _refuse_unsupported(data: Mapping[str, Any]) -> None:
    if data.get("quantization_config") is not None:
        raise UserError(
            "quantised folders are not supported; take the full-precision one or a GGUF file",
            key="quantization_config",
        )
    if data.get("hidden_act", "silu") not in ("silu", "swish"):
        raise UserError(f"must be 'silu' (got {short(data['hidden_act'])})", key="hidden_act")
    if flag(data, "use_sliding_window"):
        raise UserError("sliding-window attention is not supported", key="use_sliding_window")
    if not flag(data, "is_causal", default=True):
        raise UserError("attention in both directions is not supported", key="is_causal")
    kinds = data.get("layer_types") or []
    if not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds):
        raise UserError("attention must be full in every layer", key="layer_types")


def _size(data: Mapping[str, Any], key: str, default: int | None = None) -> int:
    return integer(data, key, default, least=1, most=int(LIMITS[key]))


def _positive(data: Mapping[str, Any], key: str, default: float | None = None) -> float:
    return number(data, key, default, least=_SMALLEST, most=LIMITS[key])
