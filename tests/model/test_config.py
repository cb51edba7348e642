"""What is read from and written to config.json, and the numbers that follow from a shape."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, GraniteConfig, MistralConfig, Qwen2Config, Qwen3Config, SmolLM3Config
from transformers import LlamaConfig as TheirLlama

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.presets import PRESETS, build
from codecascade.model.rope_scaling import RopeScaling

MakeConfig = Callable[..., LlamaConfig]
LLAMA3 = RopeScaling("llama3", 32.0, 1.0, 4.0, 8192)
LLAMA3_HF = {
    "rope_type": "llama3",
    "factor": 32.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
OUTSIDE: dict[str, Any] = {"original_max_position_embeddings": 64}
MINIMAL: dict[str, Any] = {
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 32,
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}


def test_round_trip(make_config: MakeConfig, variant: dict[str, Any]) -> None:
    config = make_config(**variant)
    assert LlamaConfig.from_hf(json.loads(json.dumps(config.to_hf()))) == config


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_round_trip(preset: str) -> None:
    assert LlamaConfig.from_hf(PRESETS[preset].to_hf()) == PRESETS[preset]


def test_what_transformers_4_leaves_out() -> None:
    config = LlamaConfig.from_hf(MINIMAL)
    assert (config.num_key_value_heads, config.head_dim, config.rms_norm_eps) == (4, 8, 1e-6)
    assert (config.rope_theta, config.max_position_embeddings, config.rope_scaling) == (10_000.0, 2048, None)


@pytest.mark.parametrize(
    ("keys", "theta", "scaling"),
    [
        ({"rope_theta": 1_000_000}, 1e6, None),
        (
            {"rope_theta": 1e6, "rope_scaling": {"type": "linear", "factor": 4}},
            1e6,
            RopeScaling("linear", 4.0),
        ),
        ({"rope_theta": 5e5, "rope_scaling": LLAMA3_HF}, 5e5, LLAMA3),
        ({"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}}, 1e6, None),
        (
            {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e5, "factor": 2.0}},
            1e5,
            RopeScaling("linear", 2.0),
        ),
        ({"rope_parameters": {**LLAMA3_HF, "rope_theta": 5e5}}, 5e5, LLAMA3),
        ({"rope_theta": 1e6, "rope_scaling": None, "rope_parameters": None}, 1e6, None),
        # what stands outside counts for more, as for transformers 5
        (
            {"rope_scaling": {**LLAMA3_HF, "original_max_position_embeddings": 512}, **OUTSIDE},
            1e4,
            replace(LLAMA3, **OUTSIDE),
        ),
    ],
)
def test_rope_of_transformers_4_and_5(
    keys: dict[str, Any], theta: float, scaling: RopeScaling | None
) -> None:
    config = LlamaConfig.from_hf({**MINIMAL, **keys})
    assert (config.rope_theta, config.rope_scaling) == (theta, scaling)


@pytest.mark.parametrize("scaling", [None, RopeScaling("linear", 4.0), LLAMA3])
def test_rope_is_written_for_all_readers(
    make_config: MakeConfig, scaling: RopeScaling | None, tmp_path: Path
) -> None:
    written = make_config(rope_theta=1e6, rope_scaling=scaling).to_hf()
    # transformers 4, vLLM and llama.cpp's converter
    assert written["rope_theta"] == 1e6
    if scaling is None:
        assert written["rope_scaling"] is None
    else:
        assert written["rope_scaling"]["rope_type"] == written["rope_scaling"]["type"] == scaling.kind
        assert written["rope_scaling"]["factor"] == scaling.factor
    if scaling is LLAMA3:
        assert LLAMA3_HF.items() <= written["rope_scaling"].items()
    # transformers 5
    assert written["rope_parameters"]["rope_theta"] == 1e6
    (tmp_path / "config.json").write_text(json.dumps(written))
    read = AutoConfig.from_pretrained(tmp_path)
    assert read.rope_parameters["rope_theta"] == 1e6
    assert read.rope_parameters["rope_type"] == (scaling.kind if scaling else "default")
    # and what transformers 5 makes of it is read back
    read.save_pretrained(tmp_path)
    again = LlamaConfig.from_hf(json.loads((tmp_path / "config.json").read_text()))
    assert (again.rope_theta, again.rope_scaling) == (1e6, scaling)


@pytest.mark.parametrize(
    "theirs",
    [
        TheirLlama(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, head_dim=24, mlp_bias=True),
        TheirLlama(hidden_size=64, num_attention_heads=4, attention_bias=True, tie_word_embeddings=True),
        MistralConfig(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, sliding_window=None),
        Qwen2Config(hidden_size=64, num_attention_heads=4, num_key_value_heads=2),
        Qwen3Config(hidden_size=64, num_attention_heads=4, num_key_value_heads=2, attention_bias=True),
        GraniteConfig(
            hidden_size=64,
            num_attention_heads=4,
            attention_bias=True,
            embedding_multiplier=12,
            residual_multiplier=0.22,
            attention_multiplier=0.015625,
            logits_scaling=8.0,
        ),
        SmolLM3Config(hidden_size=64, num_attention_heads=4, no_rope_layer_interval=3),
        SmolLM3Config(
            hidden_size=64,
            num_attention_heads=4,
            tie_word_embeddings=False,
            mlp_bias=True,
            num_hidden_layers=8,
        ),
    ],
    ids=["head_dim", "biases", "mistral", "qwen2", "qwen3", "granite", "smollm3", "smollm3_untied"],
)
def test_what_transformers_writes_is_understood(theirs: Any, tmp_path: Path) -> None:
    theirs.save_pretrained(tmp_path)
    config = LlamaConfig.from_hf(json.loads((tmp_path / "config.json").read_text()))
    assert config.model_type == theirs.model_type
    assert config.head_dim == getattr(theirs, "head_dim", 16)
    assert config.rms_norm_eps == theirs.rms_norm_eps
    assert config.max_position_embeddings == theirs.max_position_embeddings
    assert config.tie_word_embeddings == theirs.tie_word_embeddings
    assert config.attention_bias == (theirs.model_type == "qwen2" or getattr(theirs, "attention_bias", False))
    assert config.attention_output_bias == getattr(theirs, "attention_bias", False)
    assert config.mlp_bias == getattr(theirs, "mlp_bias", False)
    assert config.num_key_value_heads == theirs.num_key_value_heads
    assert config.rope_theta == theirs.rope_parameters["rope_theta"]
    for key in ("embedding_multiplier", "residual_multiplier", "logits_scaling"):
        assert getattr(config, key) == getattr(theirs, key, 1.0), key
    assert config.attention_scale == getattr(theirs, "attention_multiplier", config.head_dim**-0.5)
    layers = range(config.num_hidden_layers)
    assert [config.rotates(layer) for layer in layers] == [
        bool(getattr(theirs, "no_rope_layers", None) is None or theirs.no_rope_layers[layer])
        for layer in layers
    ]


@pytest.mark.parametrize("model_type", ["qwen3", "granite", "smollm3"])
def test_what_a_silent_config_means_is_what_transformers_takes(model_type: str) -> None:
    sizes = {"hidden_size": 128, "intermediate_size": 80, "num_hidden_layers": 8, "num_attention_heads": 32}
    theirs = AutoConfig.for_model(model_type, **sizes)
    config = LlamaConfig.from_hf({"model_type": model_type, "vocab_size": 320, **sizes})
    written = AutoConfig.for_model(**config.to_hf(), pad_token_id=None)
    keys = ["num_key_value_heads", "tie_word_embeddings", "max_position_embeddings", "rms_norm_eps"]
    keys += ["attention_bias", "mlp_bias", "no_rope_layers", "attention_multiplier", "logits_scaling"]
    for key in keys:
        expected = getattr(theirs, key, None)
        assert getattr(written, key, None) == expected, key
    assert config.rope_theta == theirs.rope_parameters["rope_theta"]
    assert config.head_dim == getattr(theirs, "head_dim", 128 // 32)


@pytest.mark.parametrize("layers", [[1, 0, 1, 0], [1, 0, 1, 0, 1, 1]])
def test_a_list_of_layers_may_be_longer_than_the_model(layers: list[int]) -> None:
    config = LlamaConfig.from_hf(
        {**MINIMAL, "model_type": "smollm3", "num_hidden_layers": 4, "no_rope_layers": layers}
    )
    assert config.no_rope_layers == (1, 0, 1, 0)


def test_a_scale_of_the_scores_that_is_the_usual_one_is_none() -> None:
    values = {**MINIMAL, "model_type": "granite", "attention_multiplier": 8**-0.5}
    assert LlamaConfig.from_hf(values).attention_multiplier is None
    # where the file is silent, transformers multiplies by one
    assert LlamaConfig.from_hf({**MINIMAL, "model_type": "granite"}).attention_multiplier == 1.0


@pytest.mark.parametrize(
    ("changes", "key", "words"),
    [
        ({"model_type": "gpt2"}, "model_type", "'gpt2' models are not supported"),
        ({"model_type": None}, "model_type", "None"),
        (
            {"model_type": "mistral", "sliding_window": 4096, "max_position_embeddings": 32_768},
            "sliding_window",
            "4096",
        ),
        ({"model_type": "mistral"}, "sliding_window", "4096"),
        ({"is_causal": False}, "is_causal", "both directions"),
        ({"is_causal": 0}, "is_causal", "true or false"),
        ({"model_type": "qwen2", "use_sliding_window": True}, "use_sliding_window", "not supported"),
        ({"model_type": "qwen2", "layer_types": ["sliding_attention"]}, "layer_types", "full"),
        ({"model_type": "granitemoe"}, "model_type", "'granitemoe' models are not supported"),
        ({"model_type": "qwen3_moe"}, "model_type", "'qwen3_moe'"),
        ({"model_type": "qwen3", "use_sliding_window": True}, "use_sliding_window", "not supported"),
        ({"model_type": "qwen3", "layer_types": ["sliding_attention"]}, "layer_types", "full"),
        ({"model_type": "smollm3", "use_sliding_window": True}, "use_sliding_window", "not supported"),
        ({"model_type": "smollm3", "no_rope_layers": [1]}, "no_rope_layers", "each of 2 layers (got [1])"),
        ({"model_type": "smollm3", "no_rope_layers": [1, 2]}, "no_rope_layers", "0 for each"),
        ({"model_type": "smollm3", "no_rope_layers": [1, "0"]}, "no_rope_layers", "a list of 0 and 1"),
        ({"model_type": "smollm3", "no_rope_layers": 4}, "no_rope_layers", "a list of 0 and 1"),
        ({"model_type": "smollm3", "no_rope_layer_interval": 0}, "no_rope_layer_interval", "> 0"),
        ({"model_type": "granite", "logits_scaling": 0}, "logits_scaling", "at least 1e-30"),
        ({"model_type": "granite", "residual_multiplier": -1}, "residual_multiplier", "at least"),
        ({"model_type": "granite", "embedding_multiplier": "12"}, "embedding_multiplier", "number"),
        ({"model_type": "granite", "attention_multiplier": 1e9}, "attention_multiplier", "at most"),
        ({"hidden_act": "gelu"}, "hidden_act", "'gelu'"),
        ({"quantization_config": {"bits": 4}}, "quantization_config", "GGUF"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_scaling.rope_type", "'dynamic'"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters.rope_type", "'yarn'"),
        ({"rope_scaling": {"type": "linear"}}, "rope_scaling.factor", "is missing"),
        ({"rope_scaling": "linear"}, "rope_scaling", "object"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "rope_parameters", "all layers"),
        ({"rope_theta": 1e4, "rope_parameters": {"rope_theta": 1e6}}, "rope_theta", "keep one"),
        (
            {"rope_scaling": {"type": "linear", "factor": 2}, "rope_parameters": {"rope_theta": 1e4}},
            "rope_scaling",
            "keep one",
        ),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor", "not supported"),
        ({"hidden_size": None}, "hidden_size", "is missing"),
        ({"hidden_size": "32"}, "hidden_size", "an integer (got '32')"),
        ({"num_hidden_layers": 2.5}, "num_hidden_layers", "an integer (got 2.5)"),
        ({"num_attention_heads": 0}, "num_attention_heads", "> 0"),
        ({"vocab_size": -1}, "vocab_size", "> 0"),
        ({"num_key_value_heads": 3}, "num_key_value_heads", "must divide"),
        ({"head_dim": 7}, "head_dim", "even"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings", "true or false"),
    ],
)
def test_refused(changes: dict[str, Any], key: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        LlamaConfig.from_hf({**MINIMAL, **changes}, "folder/config.json")
    assert caught.value.key == key
    assert words in str(caught.value)
    assert str(caught.value).startswith(f"folder/config.json: {key}: ")


@pytest.mark.parametrize("window", [None, 4096, 2048])
def test_a_window_that_never_cuts_is_kept(window: int | None) -> None:
    changes = {"model_type": "mistral", "sliding_window": window, "max_position_embeddings": 2048}
    config = LlamaConfig.from_hf({**MINIMAL, **changes})
    assert config.model_type == "mistral" and config.to_hf()["sliding_window"] == window
    assert LlamaConfig.from_hf(config.to_hf()) == config


def test_more_positions_than_a_window_has_are_refused() -> None:
    changes = {"model_type": "mistral", "sliding_window": 2048, "max_position_embeddings": 2048}
    config = LlamaConfig.from_hf({**MINIMAL, **changes})
    config.check_window(2048)
    for use in (
        lambda: replace(config, max_position_embeddings=2049),
        lambda: config.check_window(2049, key="sliding_window"),
    ):
        with pytest.raises(UserError, match=r"its window, 2048 [(]got 2049[)]") as caught:
            use()
        assert caught.value.key == "sliding_window"
    with pytest.raises(UserError, match="only a mistral model can"):
        replace(config, model_type="llama")


def test_settings_that_a_model_type_can_not_have(make_config: MakeConfig) -> None:
    for changes in (
        {"attention_bias": True},
        {"model_type": "mistral", "mlp_bias": True},
        {"model_type": "qwen2"},
        {"model_type": "gpt2"},
        {"model_type": "qwen3", "attention_bias": True},
        {"model_type": "qwen3", "mlp_bias": True},
        {"model_type": "smollm3", "attention_output_bias": True},
        {"logits_scaling": 8.0},
        {"attention_multiplier": 0.1},
        {"no_rope_layers": (1, 0)},
        {"model_type": "smollm3", "no_rope_layers": (1,)},
    ):
        with pytest.raises(UserError):
            make_config(**changes)


def test_number_of_parameters_is_that_of_the_model(make_config: MakeConfig, variant: dict[str, Any]) -> None:
    config = make_config(**variant)
    assert config.num_parameters() == sum(parameter.numel() for parameter in Llama(config).parameters())


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        ("code-llama-7b", 6_738_546_688),
        ("code-llama-7b-instruct", 6_738_546_688),
        ("code-llama-7b-python", 6_738_415_616),
        ("code-llama-13b", 13_016_028_160),
        ("code-llama-13b-instruct", 13_016_028_160),
        ("code-llama-13b-python", 13_015_864_320),
        ("code-llama-34b", 33_743_970_304),
        ("code-llama-34b-python", 33_743_970_304),
        ("code-llama-34b-instruct", 33_743_970_304),
        ("code-llama-70b", 68_976_910_336),
        ("code-llama-70b-python", 68_976_910_336),
        ("code-llama-70b-instruct", 68_976_910_336),
        ("smollm2-135m", 134_515_008),
    ],
)
def test_presets_have_the_released_numbers_of_parameters(preset: str, parameters: int) -> None:
    model = build(PRESETS[preset], "meta")
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    assert PRESETS[preset].num_parameters() == parameters


def test_long_context_presets_are_the_paper_s() -> None:
    for name, config in PRESETS.items():
        if name.startswith("code-llama"):
            short = name in ("code-llama-70b-python", "code-llama-70b-instruct")
            expected = (1e4, 4096) if short else (1e6, 16_384)
            assert (config.rope_theta, config.max_position_embeddings) == expected, name


def test_flops_count_what_is_multiplied() -> None:
    config = PRESETS["llama-2-7b"]
    table = 32_000 * 4096
    assert config.flops_per_token(4096) == 6 * (6_738_415_616 - table + 32 * 4096 * 4096)
    tied = replace(config, tie_word_embeddings=True)
    assert tied.flops_per_token(4096) == config.flops_per_token(4096)


def test_build_leaves_nothing_undrawn_after_initialise() -> None:
    model = build(PRESETS["tiny"])
    assert all(parameter.device == torch.device("cpu") for parameter in model.parameters())
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
