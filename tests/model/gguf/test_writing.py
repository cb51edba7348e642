"""A model written as a GGUF file is the same model: by our reader, by the package's, and by its keys."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from model_variants import MULTIPLIERS, VARIANTS

from codecascade.ground.errors import UserError
from codecascade.model.convert import convert
from codecascade.model.folder import load_folder, read_quantisation, save_folder
from codecascade.model.gguf import load_gguf, read_gguf_quantisation
from codecascade.model.gguf.writing import save_gguf
from codecascade.model.llama import Llama
from codecascade.model.rope_scaling import RopeScaling
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

MakeModel = Callable[..., Llama]
TORCH = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}
# What llama.cpp can't compute.
REFUSED = ("qwen3_bias", "smollm3_other_layers")


@pytest.fixture(scope="module")
def byte_tokenizer() -> Tokenizer:
    return train_tokenizer(["def add(first, second):\n    return first + second\n"] * 4, 300, kind="bytes")


def save(path: Path, model: Llama, tokenizer: Tokenizer, **options: Any) -> Path:
    save_gguf(path, model.state_dict(), model.config, tokenizer, **options)
    return path


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16"])
@pytest.mark.parametrize("name", [name for name in VARIANTS if name not in REFUSED])
def test_round_trip_is_exact(
    name: str, dtype: Any, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(**VARIANTS[name])
    path = save(tmp_path / "m.gguf", model, byte_tokenizer, dtype=dtype)
    loaded = load_gguf(path)
    config = loaded.config.__dict__ | {"model_type": model.config.model_type}
    assert config == model.config.__dict__
    # a mistral model is a llama in GGUF files
    assert loaded.config.model_type == model.config.model_type.replace("mistral", "llama")
    assert read_gguf_quantisation(path) is None
    found = loaded.model.state_dict()
    assert found.keys() == model.state_dict().keys()
    for key, tensor in model.state_dict().items():
        stored = tensor if tensor.ndim == 1 else tensor.to(TORCH[dtype]).float()
        assert torch.equal(found[key], stored), key
    if dtype == "f32":
        tokens = torch.arange(40)[None]
        assert torch.equal(loaded.model(tokens), model(tokens))


@pytest.mark.parametrize("name", ["grouped", "granite"])
def test_q8_0_is_as_near_as_its_blocks_allow(
    name: str, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Half a step of each block of 32: its largest number is 127 steps; and the fp16 rounding of the step."""
    model = make_model(**{**VARIANTS[name], "hidden_size": 64})
    path = save(tmp_path / "m.gguf", model, byte_tokenizer, dtype="q8_0")
    assert read_gguf_quantisation(path) == "Q8_0" == load_gguf(path).quantisation
    reader = gguf.GGUFReader(path)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    # rows of 80 are no multiple of 32
    assert kinds["blk.0.ffn_down.weight"] == "F16" and kinds["blk.0.attn_q.weight"] == "Q8_0"
    assert kinds["output_norm.weight"] == "F32" and kinds["token_embd.weight"] == "Q8_0"
    found = load_gguf(path).model.state_dict()
    for key, tensor in model.state_dict().items():
        if tensor.ndim == 1:
            assert torch.equal(found[key], tensor), key
        elif tensor.shape[1] % 32:
            assert torch.equal(found[key], tensor.half().float()), key
        else:
            blocks = tensor.unflatten(1, (-1, 32))
            step = blocks.abs().amax(-1, keepdim=True) / 127
            error = (found[key].unflatten(1, (-1, 32)) - blocks).abs()
            assert (error <= step * (0.5 + 127 * 2**-11) + 1e-7).all(), key


@pytest.mark.parametrize(
    "name", ["multi_query", "qwen2", "qwen3", "granite", "smollm3", "llama3", "linear", "mistral"]
)
def test_the_package_s_reader_finds_what_llama_cpp_looks_for(
    name: str, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(**VARIANTS[name])
    path = save(tmp_path / "m.gguf", model, byte_tokenizer, dtype="bf16", name="tiny")
    reader = gguf.GGUFReader(path)
    keys = {key: entry.contents() for key, entry in reader.fields.items()}
    architecture = model.config.model_type.replace("mistral", "llama")
    kind = next(kind for kind, found in gguf.MODEL_ARCH_NAMES.items() if found == architecture)
    possible = {gguf.TENSOR_NAMES[tensor] for tensor in gguf.MODEL_TENSORS[kind]}
    for tensor in reader.tensors:
        stem = tensor.name.rpartition(".")[0]
        layer = stem.split(".")[1] if stem.startswith("blk.") else ""
        assert stem.replace(f"blk.{layer}.", "blk.{bid}.") in possible, tensor.name
    config = model.config
    expected = {
        "general.architecture": architecture,
        "general.name": "tiny",
        "general.file_type": gguf.LlamaFileType.MOSTLY_BF16,
        f"{architecture}.vocab_size": config.vocab_size,
        f"{architecture}.context_length": config.max_position_embeddings,
        f"{architecture}.embedding_length": config.hidden_size,
        f"{architecture}.block_count": config.num_hidden_layers,
        f"{architecture}.feed_forward_length": config.intermediate_size,
        f"{architecture}.attention.head_count": config.num_attention_heads,
        f"{architecture}.attention.head_count_kv": config.num_key_value_heads,
        f"{architecture}.attention.key_length": config.head_dim,
        f"{architecture}.rope.dimension_count": config.head_dim,
        f"{architecture}.rope.freq_base": config.rope_theta,
    }
    assert {key: keys.get(key) for key in expected} == expected
    if name == "granite":
        written = {
            "embedding_multiplier": "embedding_scale",
            "residual_multiplier": "residual_scale",
            "attention_multiplier": "attention.scale",
            "logits_scaling": "logit_scale",
        }
        for field, key in written.items():
            assert keys[f"granite.{key}"] == pytest.approx(MULTIPLIERS[field], rel=1e-6)
    if name == "linear":
        assert (keys["llama.rope.scaling.type"], keys["llama.rope.scaling.factor"]) == ("linear", 4.0)
    assert ("rope_freqs.weight" in [tensor.name for tensor in reader.tensors]) == (name == "llama3")
    assert len(keys["tokenizer.ggml.tokens"]) == config.vocab_size


@pytest.mark.parametrize(
    "scaling",
    [
        RopeScaling("llama3", 8.0, 1.0, 4.0, 8192),
        RopeScaling("llama3", 32.0, 1.0, 4.0, 8192),
        RopeScaling("llama3", 4.0, 0.5, 2.5, 1024),
        RopeScaling("llama3", 8.0, 1.0, 4.0, 2**24),  # even the slowest wave fits into that
        RopeScaling("llama3", 0.5, 1.0, 4.0, 8192),
        RopeScaling("llama3", 3.14159, 1.0, 4.0, 8192),
        RopeScaling("linear", 3.3),
    ],
)
def test_scalings_come_back(
    scaling: RopeScaling, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(rope_scaling=scaling, rope_theta=5e5, head_dim=64)
    assert load_gguf(save(tmp_path / "m.gguf", model, byte_tokenizer)).config == model.config


@pytest.mark.parametrize(
    ("name", "key"),
    [("qwen3_bias", "attention_bias"), ("smollm3_other_layers", "rope_scaling")],
)
def test_what_llama_cpp_does_not_compute_is_refused(
    name: str, key: str, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"llama\.cpp does not") as caught:
        save(tmp_path / "m.gguf", make_model(**VARIANTS[name]), byte_tokenizer)
    assert caught.value.key == key and list(tmp_path.iterdir()) == []


def test_other_unrotated_layers_than_every_fourth_are_refused(
    make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    for layers in ((1, 1, 0, 1), None):
        model = make_model(model_type="smollm3", num_hidden_layers=4, no_rope_layers=layers)
        with pytest.raises(UserError, match="every fourth layer"):
            save(tmp_path / "m.gguf", model, byte_tokenizer)


def test_weights_beyond_fp16_are_refused(
    make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] = 1e5
    with pytest.raises(UserError, match="too large for f16") as caught:
        save(tmp_path / "m.gguf", model, byte_tokenizer, dtype="f16")
    assert caught.value.key == "model.layers.1.mlp.up_proj.weight" and list(tmp_path.iterdir()) == []
    save(tmp_path / "m.gguf", model, byte_tokenizer, dtype="bf16")


def test_a_file_is_whole_or_absent(
    make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = 0

    def write(self: gguf.GGUFWriter, tensor: np.ndarray) -> None:
        nonlocal written
        written += 1
        if written == 5:
            raise OSError("1000 requested and 100 written")

    monkeypatch.setattr(gguf.GGUFWriter, "write_tensor_data", write)
    with pytest.raises(UserError, match="the disk is full") as caught:
        save(tmp_path / "m.gguf", make_model(), byte_tokenizer)
    cause = caught.value.__cause__
    assert isinstance(cause, OSError) and cause.errno == errno.ENOSPC
    assert list(tmp_path.iterdir()) == []


def test_one_tensor_is_encoded_at_a_time(
    make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is given to the writer to keep."""

    def keep(*_: Any, **__: Any) -> None:
        raise AssertionError("add_tensor keeps all tensors until the end")

    monkeypatch.setattr(gguf.GGUFWriter, "add_tensor", keep)
    save(tmp_path / "m.gguf", make_model(), byte_tokenizer, dtype="q8_0")


@pytest.mark.parametrize("dtype", ["f32", "bf16"])
def test_convert_leaves_weights_as_they_are_stored(
    dtype: str, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model()
    save_folder(tmp_path / "hf", model, model.config, byte_tokenizer, dtype=TORCH[dtype])
    convert(str(tmp_path / "hf"), tmp_path / "m.gguf", to="gguf")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert kinds["token_embd.weight"] == kinds["blk.1.ffn_up.weight"] == dtype.upper()
    convert(str(tmp_path / "m.gguf"), tmp_path / "again")
    before, after = load_folder(tmp_path / "hf"), load_folder(tmp_path / "again")
    assert after.config == before.config and after.quantisation is None
    for key, tensor in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[key], tensor.float()), key
    assert set(after.tokenizer.stop_ids) == set(before.tokenizer.stop_ids)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"out": "m.gguf", "dtype": "q8_0"}, "dtype: q8_0 is a type of GGUF files"),
        ({"out": "m.bin", "to": "gguf"}, r"m\.bin: must end in \.gguf"),
        ({"out": "there.gguf", "to": "gguf"}, "is there already"),
        ({"out": "folder.gguf", "to": "gguf"}, "is there already"),
        ({"out": "m.gguf", "to": "gguf", "dtype": "q4_0"}, "'q4_0'"),
    ],
)
def test_conversions_that_are_refused(
    arguments: dict[str, Any], words: str, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "there.gguf").touch()
    (tmp_path / "folder.gguf").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UserError, match=words):
        convert(str(folder), **{**arguments, "out": tmp_path / arguments["out"]})
    assert sorted(tmp_path.iterdir()) == before


def test_a_converted_quantised_file_keeps_the_mark(
    make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = save(tmp_path / "m.gguf", make_model(hidden_size=64), byte_tokenizer, dtype="q8_0")
    convert(str(path), tmp_path / "hf")
    assert read_quantisation(tmp_path / "hf") == load_folder(tmp_path / "hf").quantisation == "Q8_0"
    convert(str(tmp_path / "hf"), tmp_path / "again")
    assert read_quantisation(tmp_path / "again") == "Q8_0"


@pytest.mark.parametrize("kind", ["f32", "q8_0"])
def test_permissions_are_the_umask_s(
    kind: Any, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    path = save(tmp_path / "m.gguf", make_model(hidden_size=64), byte_tokenizer, dtype=kind)
    save_folder(tmp_path / "hf", make_model(), make_model().config, byte_tokenizer)
    (tmp_path / "plain").touch()
    expected = (tmp_path / "plain").stat().st_mode
    for file in (path, *(tmp_path / "hf").iterdir()):
        assert file.stat().st_mode == expected, file


@pytest.mark.parametrize("dtype", ["f32", "f16", "bf16", "q8_0"])
def test_weights_that_are_no_numbers_are_not_written(
    dtype: Any, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model()
    model.model.layers[1].mlp.up_proj.weight.data[3, 5] = torch.nan
    with pytest.raises(UserError, match=r"up_proj.weight: holds values that are no numbers"):
        save(tmp_path / "m.gguf", model, byte_tokenizer, dtype=dtype)
    assert list(tmp_path.iterdir()) == []


def test_without_a_dtype_each_matrix_stays_as_it_is_stored(
    make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model()
    model.model.embed_tokens.bfloat16()
    model.model.layers[0].mlp.half()
    path = save(tmp_path / "m.gguf", model, byte_tokenizer)
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(path).tensors}
    assert kinds["token_embd.weight"] == "BF16" and kinds["blk.0.ffn_up.weight"] == "F16"
    assert kinds["blk.1.ffn_up.weight"] == kinds["output_norm.weight"] == "F32"
    for name, tensor in load_gguf(path).model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name].float()), name


def test_what_a_killed_process_left_is_removed(
    make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    (tmp_path / ".m.gguf.abcd1_23").touch()
    path = save(tmp_path / "m.gguf", make_model(), byte_tokenizer)
    assert list(tmp_path.iterdir()) == [path]


def test_heads_of_qwen2_are_as_wide_as_the_model(
    make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """llama.cpp does not load others; those of the other types it does."""
    for head_dim in (4, 16):
        model = make_model(**{**VARIANTS["qwen2"], "head_dim": head_dim})
        with pytest.raises(UserError, match=f"head_dim: llama.cpp wants .* 32, and not {4 * head_dim}, "):
            save(tmp_path / "m.gguf", model, byte_tokenizer)
        save(tmp_path / "m.gguf", make_model(head_dim=head_dim), byte_tokenizer)
