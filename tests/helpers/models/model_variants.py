"""Settings of tiny models of every kind that is supported."""

from __future__ import annotations

from typing import Any

from codecascade.model.rope_scaling import RopeScaling

LLAMA3 = RopeScaling("llama3", 8.0, 1.0, 4.0, 64)

# None of them a power of two, so that a multiplier in a wrong place is seen.
MULTIPLIERS = {
    "embedding_multiplier": 6.5,
    "residual_multiplier": 0.4,
    "attention_multiplier": 0.11,
    "logits_scaling": 3.0,
}
VARIANTS: dict[str, dict[str, Any]] = {
    "multi_head": {"num_key_value_heads": 4},
    "grouped": {},
    "multi_query": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "head_dim": {"head_dim": 12},
    "attention_bias": {"attention_bias": True, "attention_output_bias": True},
    "mlp_bias": {"mlp_bias": True},
    "eps": {"rms_norm_eps": 1e-3},
    "theta": {"rope_theta": 1e6},
    "linear": {"rope_scaling": RopeScaling("linear", 4.0), "rope_theta": 1e6},
    "llama3": {"rope_scaling": LLAMA3, "rope_theta": 500_000.0},
    "mistral": {"model_type": "mistral", "head_dim": 16},
    "qwen2": {"model_type": "qwen2", "attention_bias": True, "tie_word_embeddings": True},
    "qwen3": {"model_type": "qwen3", "head_dim": 12, "tie_word_embeddings": True},
    "qwen3_bias": {"model_type": "qwen3", "attention_bias": True, "attention_output_bias": True},
    "granite": {"model_type": "granite", "tie_word_embeddings": True, **MULTIPLIERS},
    "granite_biases": {
        "model_type": "granite",
        "head_dim": 12,
        **MULTIPLIERS,
        "attention_bias": True,
        "attention_output_bias": True,
        "mlp_bias": True,
    },
    "smollm3": {
        "model_type": "smollm3",
        "num_hidden_layers": 4,
        "no_rope_layers": (1, 1, 1, 0),
        "tie_word_embeddings": True,
        "rope_theta": 5e6,
    },
    "smollm3_other_layers": {
        "model_type": "smollm3",
        "no_rope_layers": (0, 1),
        "rope_scaling": LLAMA3,
        "attention_bias": True,
        "attention_output_bias": True,
        "mlp_bias": True,
    },
}
