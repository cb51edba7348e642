"""Keys of a GGUF file that change what a model computes: they count, or the file is refused by their name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from raw_gguf import I32, Raw, RawGguf, RawTensor, array, plain

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.model.gguf.config import _KNOWN, _READ, config_from_gguf
from codecascade.model.gguf.container import GgufFile
from codecascade.model.gguf.writing import config_to_gguf
from codecascade.model.rope_scaling import MOST_POSITIONS, RopeScaling

ConfigOf = Callable[..., LlamaConfig]
SHAPE: dict[str, Any] = {
    "general.architecture": "llama",
    "llama.context_length": 256,
    "llama.embedding_length": 32,
    "llama.block_count": 2,
    "llama.feed_forward_length": 80,
    "llama.attention.head_count": 4,
    "llama.attention.layer_norm_rms_epsilon": 1e-5,
}
LINEAR = RopeScaling("linear", 4.0)


@pytest.fixture
def config_of(tmp_path: Path) -> ConfigOf:
    """The shape that a file with these keys has, named without their prefix."""

    def config_of(keys: dict[str, Any], *tensors: RawTensor) -> LlamaConfig:
        named = {**SHAPE, **{f"llama.{key}": content for key, content in keys.items()}}
        raw = {key: content if isinstance(content, Raw) else plain(content) for key, content in named.items()}
        table = RawTensor.of("token_embd.weight", np.zeros((9, 32)))
        path = tmp_path / "m.gguf"
        path.write_bytes(RawGguf(raw, [table, *tensors]).to_bytes())
        return config_from_gguf(GgufFile(path))

    return config_of


@pytest.mark.parametrize(
    ("keys", "scaling"),
    [
        ({}, None),
        ({"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}, LINEAR),
        ({"rope.scaling.factor": 4.0}, LINEAR),
        ({"rope.scale_linear": 4.0}, LINEAR),
        ({"rope.scaling.factor": 4.0, "rope.scale_linear": 2.0}, LINEAR),
        ({"rope.scaling.type": "none", "rope.scaling.factor": 4.0}, None),
        ({"rope.scaling.type": "none", "rope.scale_linear": 4.0}, None),
        ({"rope.scaling.type": "linear"}, None),
        ({"rope.scaling.factor": 1.0}, None),
        ({"rope.scaling.factor": 0.0}, None),
    ],
)
def test_scaling_is_what_llama_cpp_makes_of_it(
    keys: dict[str, Any], scaling: RopeScaling | None, config_of: ConfigOf
) -> None:
    assert config_of(keys).rope_scaling == scaling


@pytest.mark.parametrize("kind", ["yarn", "longrope", "llama3", "dynamic"])
def test_other_scalings_are_refused_by_name(kind: str, config_of: ConfigOf) -> None:
    with pytest.raises(UserError, match=f"'{kind}'") as caught:
        config_of({"rope.scaling.type": kind, "rope.scaling.factor": 4.0})
    assert caught.value.key == "llama.rope.scaling.type"


@pytest.mark.parametrize(
    ("key", "neutral", "other"),
    [
        ("rope.dimension_count", 8, 4),
        ("attention.value_length", 8, 16),
        ("attention.sliding_window", 0, 1),
        ("attention.scale", 8**-0.5, 0.1),
        ("attention.scale", 0.0, 1.0),
        ("attention.causal", True, False),
        ("attention.clamp_kqv", 0.0, 8.0),
        ("attention.max_alibi_bias", 0.0, 8.0),
        ("attention.layer_norm_epsilon", 0.0, 1e-5),
        ("attn_logit_softcapping", 0.0, 50.0),
        ("final_logit_softcapping", 0.0, 30.0),
        ("logit_scale", 1.0, 0.0625),
        ("embedding_scale", 1.0, 12.0),
        ("residual_scale", 0.0, 0.22),
        ("rope.scaling.attn_factor", 1.0, 1.2),
        ("rope.scaling.yarn_log_multiplier", 0.0, 0.1),
        ("rope.dimension_sections", array(I32, [0, 0, 0, 0]), array(I32, [16, 24, 24, 0])),
        ("use_parallel_residual", False, True),
        ("tensor_data_layout", "Meta AI original pth", "columns"),
        ("tensor_data_layout", "reference", "x"),
        ("expert_count", 0, 8),
        ("expert_shared_count", 0, 1),
        ("leading_dense_block_count", 0, 1),
        ("pooling_type", 0, 2),
        ("swin_norm", False, True),
        ("ssm.state_size", 0, 16),
        ("attention.q_lora_rank", 0, 8),
    ],
)
def test_what_changes_the_function_is_refused_by_name(
    key: str, neutral: Any, other: Any, config_of: ConfigOf
) -> None:
    assert config_of({key: neutral}) == config_of({})
    with pytest.raises(UserError) as caught:
        config_of({key: other})
    assert caught.value.key == f"llama.{key}"


def test_a_window_makes_a_llama_a_mistral(config_of: ConfigOf) -> None:
    """llama.cpp has one name for both; only one of them may have a window in Hugging Face's format."""
    config = config_of({"attention.sliding_window": 256})
    assert (config.model_type, config.sliding_window) == ("mistral", 256)
    assert config_to_gguf(config)["llama.attention.sliding_window"] == 256
    with pytest.raises(UserError, match="a window of 128 in 256"):
        config_of({"attention.sliding_window": 128})
    assert config_of({"attention.sliding_window": 2**32 - 1}).sliding_window == MOST_POSITIONS


def test_every_key_of_the_format_is_decided_upon(config_of: ConfigOf) -> None:
    """A key that the format's package knows is read, or refused where it is not neutral: none is passed over."""
    for key in sorted(_KNOWN - _READ):
        with pytest.raises(UserError) as caught:
            config_of({key: 77.5})
        assert caught.value.key == f"llama.{key}", key


def test_unknown_keys_are_passed_over(config_of: ConfigOf) -> None:
    assert config_of({"new.thing": 5}) == config_of({})


@pytest.mark.parametrize("key", ["attention.head_count_kv", "attention.head_count", "feed_forward_length"])
def test_one_number_a_layer(key: str, config_of: ConfigOf) -> None:
    size = {"feed_forward_length": 80}.get(key, 4)
    assert config_of({key: array(I32, [size, size])}) == config_of({key: size})
    for wrong in ([size, size * 2], [size], [size] * 3):
        with pytest.raises(UserError, match="must be the same in each of 2 layers") as caught:
            config_of({key: array(I32, wrong)})
        assert caught.value.key == f"llama.{key}"


def test_divisors_of_one_are_no_scaling(config_of: ConfigOf) -> None:
    ones = RawTensor.of("rope_freqs.weight", np.ones(4))
    assert config_of({}, ones).rope_scaling is None
    with pytest.raises(UserError, match=r"rope_freqs.weight: can't go together with rope.scaling.factor"):
        config_of({"rope.scaling.factor": 4.0}, ones)
