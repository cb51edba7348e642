"""GGUF files that the test writes block by block, and SmolLM2's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf_blocks import BLOCKS, Type, quantised
from model_variants import MULTIPLIERS, VARIANTS
from raw_gguf import gguf_name
from stored_parts import assert_parts
from transformers import AutoModelForCausalLM, AutoTokenizer

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.model.convert import convert
from codecascade.model.folder import load_folder
from codecascade.model.gguf import load_gguf, open_gguf, read_gguf_config, read_gguf_quantisation
from codecascade.model.llama import Llama
from codecascade.model.presets import PRESETS
from codecascade.model.rope_scaling import RopeScaling
from codecascade.model.sources import load, resolve
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

MakeModel = Callable[..., Llama]


SHAPE = {
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 1,
    "head_dim": 64,
}  # K-quants want 256


@pytest.fixture(scope="module")
def byte_tokenizer() -> Tokenizer:
    return train_tokenizer(["def add(first, second):\n    return first + second\n"] * 4, 300, kind="bytes")


# ---------------------------------------------------------------- writing a file


def interleaved(weights: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to the rows of queries and keys: halves become neighbours."""
    size = len(weights) // heads
    order = [
        head * size + part * (size // 2) + row
        for head in range(heads)
        for row in range(size // 2)
        for part in (0, 1)
    ]
    return weights[order]


def write(
    path: Path,
    config: LlamaConfig,
    tensors: dict[str, np.ndarray],
    tokenizer: Tokenizer,
    *,
    types: dict[str, Type] | None = None,
    keys: dict[str, Any] | None = None,
    extra: dict[str, np.ndarray] | None = None,
    architecture: str | None = None,
) -> Path:
    """``tensors`` by Hugging Face's names, already quantised where ``types`` names a type."""
    architecture = architecture or config.model_type
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(config.head_dim)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    for key, value in (keys or {}).items():
        (writer.add_string if isinstance(value, str) else writer.add_float32)(key, value)
    model = tokenizer.spec["model"]
    names = sorted(tokenizer.vocabulary, key=tokenizer.vocabulary.__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(names)
    writer.add_token_types(
        [3 if tokenizer.vocabulary[name] in tokenizer.special_ids else 1 for name in names]
    )
    writer.add_token_merges(
        [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    )
    writer.add_eos_token_id(tokenizer.eos_id)
    for name, tensor in tensors.items():
        for part, heads in (
            (".q_proj.", config.num_attention_heads),
            (".k_proj.", config.num_key_value_heads),
        ):
            if part in name and architecture in ("llama", "granite", "smollm3"):
                tensor = interleaved(tensor, heads)
        writer.add_tensor(gguf_name(name), np.ascontiguousarray(tensor), raw_dtype=(types or {}).get(name))
    for name, tensor in (extra or {}).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def arrays(model: Llama) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


# ---------------------------------------------------------------- reading it


@pytest.mark.parametrize("kind", BLOCKS, ids=lambda kind: kind.name)
def test_quantised_blocks(
    kind: Type, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(**SHAPE)
    tensors, expected, types = arrays(model), dict(model.state_dict()), {}
    for seed, name in enumerate(tensors):
        if any(part in name for part in ("embed_tokens", "q_proj", "k_proj")):
            rows, columns = tensors[name].shape
            tensors[name], expected[name] = quantised(kind, rows, columns, seed)
            types[name] = kind
    path = write(tmp_path / "m.gguf", model.config, tensors, byte_tokenizer, types=types)
    assert read_gguf_quantisation(path) == kind.name
    loaded = load_gguf(path)
    assert loaded.config == model.config
    for name, tensor in loaded.model.state_dict().items():
        torch.testing.assert_close(tensor, expected[name], atol=1e-6, rtol=1e-6, msg=name)
    assert_parts(open_gguf(path).weights)


@pytest.mark.parametrize("kind", [Type.F32, Type.F16, Type.BF16], ids=lambda kind: kind.name)
@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_float_types(
    kind: Type, dtype: torch.dtype | None, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model()
    stored = {Type.F32: torch.float32, Type.F16: torch.float16, Type.BF16: torch.bfloat16}[kind]
    expected = {name: tensor.to(stored).float() for name, tensor in model.state_dict().items()}
    tensors = {
        name: value.bfloat16().view(torch.uint8).numpy() if kind == Type.BF16 else value.to(stored).numpy()
        for name, value in expected.items()
    }
    path = write(
        tmp_path / "m.gguf", model.config, tensors, byte_tokenizer, types=dict.fromkeys(tensors, kind)
    )
    assert read_gguf_quantisation(path) is None
    for name, tensor in load_gguf(path, dtype=dtype).model.state_dict().items():
        assert torch.equal(tensor, expected[name].to(dtype or torch.float32)), name
    assert_parts(open_gguf(path).weights)


@pytest.mark.parametrize(
    "changes",
    [
        {"tie_word_embeddings": True, "rope_theta": 1e6, "rms_norm_eps": 1e-6},
        {"head_dim": 12, "num_key_value_heads": 1},
        {"attention_bias": True, "attention_output_bias": True, "mlp_bias": True},
        {"model_type": "qwen2", "attention_bias": True},
        {"rope_scaling": RopeScaling("linear", 4.0)},
        {"rope_scaling": RopeScaling("llama3", 32.0), "rope_theta": 5e5, "head_dim": 64},
        VARIANTS["qwen3"],
        VARIANTS["granite"],
        VARIANTS["granite_biases"],
        VARIANTS["smollm3"],
    ],
    ids=[
        *("tied", "head_dim", "biases", "qwen2", "linear", "llama3"),
        *("qwen3", "granite", "granite_biases", "smollm3"),
    ],
)
def test_the_same_model_as_was_written(
    changes: dict[str, Any], make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(**changes)
    keys: dict[str, Any] = {}
    extra: dict[str, np.ndarray] = {}
    scaling = model.config.rope_scaling
    if model.config.model_type == "granite":
        keys = {
            "granite.embedding_scale": MULTIPLIERS["embedding_multiplier"],
            "granite.residual_scale": MULTIPLIERS["residual_multiplier"],
            "granite.attention.scale": MULTIPLIERS["attention_multiplier"],
            "granite.logit_scale": MULTIPLIERS["logits_scaling"],
        }
    if scaling and scaling.kind == "linear":
        keys = {"llama.rope.scaling.type": "linear", "llama.rope.scaling.factor": scaling.factor}
    elif scaling:
        extra = {
            "rope_freqs.weight": llama3_divisors(
                model.config.rope_theta, model.config.head_dim, scaling.factor
            )
        }
    path = write(tmp_path / "m.gguf", model.config, arrays(model), byte_tokenizer, keys=keys, extra=extra)
    loaded = load_gguf(path)
    assert loaded.config == read_gguf_config(path) == model.config
    assert all(
        torch.equal(value, model.state_dict()[name]) for name, value in loaded.model.state_dict().items()
    )
    tokens = torch.tensor([byte_tokenizer.encode("def add(first)")])
    assert torch.equal(loaded.model(tokens), model(tokens))
    assert loaded.tokenizer.encode("def add(first)\n\n  é") == byte_tokenizer.encode("def add(first)\n\n  é")
    convert(str(path), tmp_path / "folder")
    again = load_folder(tmp_path / "folder")
    assert again.config == model.config
    assert all(
        torch.equal(value, model.state_dict()[name]) for name, value in again.model.state_dict().items()
    )


def llama3_divisors(theta: float, head_dim: int, factor: float) -> np.ndarray:
    """As llama.cpp's converter makes them, from wavelengths."""
    divisors = []
    for index in range(0, head_dim, 2):
        wavelength = 2 * np.pi * theta ** (index / head_dim)
        smooth = (8192 / wavelength - 1.0) / (4.0 - 1.0)
        if wavelength < 8192 / 4.0:
            divisors.append(1.0)
        elif wavelength > 8192 / 1.0:
            divisors.append(factor)
        else:
            divisors.append(1 / ((1 - smooth) / factor + smooth))
    return np.array(divisors, dtype=np.float32)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"architecture": "gpt2"}, "general.architecture: 'gpt2' is not supported"),
        ({"keys": {"llama.rope.scaling.type": "yarn"}}, "llama.rope.scaling.type: 'yarn'"),
        ({"keys": {"llama.expert_count": 8.0}}, "experts"),
        (
            {"extra": {"rope_freqs.weight": np.array([1, 2, 3, 9], dtype=np.float32)}},
            "rope_freqs.weight: holds rotary",
        ),
        ({"extra": {"blk.0.attn_q_norm.weight": np.ones(8, dtype=np.float32)}}, "self_attn.q_norm"),
    ],
)
def test_refused(
    options: dict[str, Any], words: str, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model()
    path = write(tmp_path / "m.gguf", model.config, arrays(model), byte_tokenizer, **options)
    with pytest.raises(UserError) as caught:
        load_gguf(path)
    assert words in str(caught.value) and str(caught.value).startswith(str(path))


def test_broken_files(make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = make_model()
    whole = write(tmp_path / "m.gguf", model.config, arrays(model), byte_tokenizer).read_bytes()
    for number, data in enumerate((b"", b"GGUF", b"nothing of the kind", whole[:400], whole[:-40_000])):
        path = tmp_path / f"{number}.gguf"
        path.write_bytes(data)
        with pytest.raises(UserError, match=f"{number}.gguf: is not a whole GGUF file"):
            load_gguf(path)
    with pytest.raises(UserError, match="no such file"):
        load_gguf(tmp_path / "absent.gguf")


def test_missing_tensor(make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = make_model()
    tensors = arrays(model)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    path = write(tmp_path / "m.gguf", model.config, tensors, byte_tokenizer)
    with pytest.raises(UserError, match=r"lacks the tensors model\.layers\.1\.mlp\.up_proj\.weight"):
        load_gguf(path)


class _Reader(gguf.GGUFReader):
    """The package's reader, several times as fast: a memmap is slow to slice, and it is sliced for every token."""

    @property
    def data(self) -> np.ndarray:
        return self._data

    @data.setter
    def data(self, memory: np.memmap) -> None:
        self._data = memory.view(np.ndarray)


@pytest.mark.smollm2
@pytest.mark.slow
def test_smollm2_is_what_transformers_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "GGUFReader", _Reader)  # transformers opens the file three times
    path = resolve("smollm2-135m-instruct").path
    assert path is not None
    ours = load("smollm2-135m-instruct")
    theirs = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).state_dict()
    assert ours.config == PRESETS["smollm2-135m"] and ours.source == "smollm2-135m-instruct"
    assert theirs.keys() - ours.model.state_dict().keys() == {"lm_head.weight"}
    for name, tensor in ours.model.state_dict().items():
        assert torch.equal(tensor, theirs[name]), name
    reference = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    text = (
        "def naïve(x: int) -> str:\n    \treturn f'{x:>10}'  # 1234567 — 漢字 🙂\n\n\n"
        + Path(__file__).read_text()
    )
    assert ours.tokenizer.encode(text) == reference(text).input_ids
    assert (ours.tokenizer.bos_id, ours.tokenizer.eos_id) == (reference.bos_token_id, reference.eos_token_id)
