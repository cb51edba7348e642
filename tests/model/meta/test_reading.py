"""Models in Meta's form: the same model from one, two and four shards."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from stored_parts import assert_parts

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.model.convert import convert
from codecascade.model.folder import load_folder
from codecascade.model.llama import Llama
from codecascade.model.meta import load_meta, open_meta, read_meta_config
from codecascade.model.presets import PRESETS
from codecascade.model.rope_scaling import RopeScaling
from codecascade.model.sources import files_of, load, resolve, tokenizer_of
from codecascade.tokens.tokenizer import Tokenizer

MakeModel = Callable[..., Llama]
NAMES = {
    "self_attn.q_proj": ("attention.wq", 0),
    "self_attn.k_proj": ("attention.wk", 0),
    "self_attn.v_proj": ("attention.wv", 0),
    "self_attn.o_proj": ("attention.wo", 1),
    "mlp.gate_proj": ("feed_forward.w1", 0),
    "mlp.down_proj": ("feed_forward.w2", 1),
    "mlp.up_proj": ("feed_forward.w3", 0),
    "input_layernorm": ("attention_norm", None),
    "post_attention_layernorm": ("ffn_norm", None),
    "lm_head": ("output", 0),
    "norm": ("norm", None),
}
SHAPE = {"num_attention_heads": 8, "num_key_value_heads": 4, "hidden_size": 64, "intermediate_size": 192}
PARAMS = {"dim": 64, "n_layers": 2, "n_heads": 8, "n_kv_heads": 4, "vocab_size": -1, "multiple_of": 64}


def interleaved(weights: torch.Tensor, heads: int) -> torch.Tensor:
    """The rows of each head as Meta has them: those that are rotated together are neighbours."""
    size = len(weights) // heads
    order = [
        head * size + part * (size // 2) + row
        for head in range(heads)
        for row in range(size // 2)
        for part in (0, 1)
    ]
    return weights[order]


def write(
    folder: Path,
    model: Llama,
    tokenizer: Tokenizer | None,
    shards: int = 1,
    *,
    table_axis: int = 1,
    params: dict[str, Any] | None = None,
) -> Path:
    """A model as a model-parallel group of ``shards`` processes would save it."""
    parts: list[dict[str, torch.Tensor]] = [{} for _ in range(shards)]
    for name, tensor in model.state_dict().items():
        for key, heads in (
            ("q_proj", model.config.num_attention_heads),
            ("k_proj", model.config.num_key_value_heads),
        ):
            if key in name:
                tensor = interleaved(tensor, heads)
        stem = name.removesuffix(".weight").removeprefix("model.")
        if stem == "embed_tokens":
            theirs, axis = "tok_embeddings", table_axis
        elif stem.startswith("layers."):
            _, layer, rest = stem.split(".", 2)
            theirs, axis = f"layers.{layer}.{NAMES[rest][0]}", NAMES[rest][1]
        else:
            theirs, axis = NAMES[stem]
        pieces = tensor.chunk(shards, axis) if axis is not None else [tensor] * shards
        for part, piece in zip(parts, pieces, strict=True):
            part[f"{theirs}.weight"] = piece.clone()
    for number, part in enumerate(parts):
        part["rope.freqs"] = torch.ones(4)
        folder.mkdir(exist_ok=True)
        torch.save(part, folder / f"consolidated.{number:02}.pth")
    (folder / "params.json").write_text(json.dumps({**PARAMS, **(params or {})}))
    if tokenizer is not None:
        tokenizer.save(folder)
    return folder


def assert_same(first: Llama, second: Llama) -> None:
    assert first.state_dict().keys() == second.state_dict().keys()
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


@pytest.mark.parametrize("shards", [1, 2, 4])
@pytest.mark.parametrize("table_axis", [0, 1])
def test_the_same_model_from_any_number_of_shards(
    shards: int, table_axis: int, make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(**SHAPE, rope_theta=1e6, max_position_embeddings=16_384)
    folder = write(
        tmp_path / "meta", model, tokenizer, shards, table_axis=table_axis, params={"rope_theta": 1e6}
    )
    loaded = load_meta(folder)
    assert loaded.config == read_meta_config(folder) == resolve(str(folder)).config == model.config
    assert_same(loaded.model, model)
    tokens = torch.arange(40)[None]
    assert torch.equal(loaded.model(tokens), model(tokens))
    assert loaded.tokenizer.encode("def add(x)") == tokenizer.encode("def add(x)")
    assert_parts(open_meta(folder).weights)

    convert(str(folder), tmp_path / "hf", dtype="f32")
    again = load_folder(tmp_path / "hf")
    assert again.config == model.config
    assert_same(again.model, model)


def test_a_folder_is_a_model_s_name(make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = make_model(**SHAPE, tie_word_embeddings=True)
    folder = write(tmp_path / "meta", model.bfloat16(), tokenizer, 2)
    assert resolve(str(folder)).kind == "meta"
    loaded = load(str(folder))
    assert loaded.config.tie_word_embeddings and loaded.model.head_weight.dtype == torch.bfloat16
    assert_same(loaded.model, model)
    assert tokenizer_of(str(folder)).vocab_size == tokenizer.vocab_size
    assert set(files_of(str(folder))[1]) >= {"params.json", "consolidated.00.pth", "consolidated.01.pth"}


def test_the_tokenizer_may_lie_beside_the_folders(
    make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = write(tmp_path / "meta", make_model(**SHAPE), None)
    with pytest.raises(UserError, match="nor does the folder around it"):
        load_meta(folder)
    tokenizer.save(tmp_path)
    assert load_meta(folder).tokenizer.vocab_size == tokenizer.vocab_size
    (folder / "tokenizer.model").write_bytes(b"IQ== 0\nIg== 1\nIw== 2\n")
    with pytest.raises(UserError, match="tiktoken") as caught:
        load_meta(folder)
    assert str(caught.value).startswith(str(folder / "tokenizer.model"))


@pytest.mark.parametrize(
    ("preset", "params"),
    [
        ("code-llama-7b", {"dim": 4096, "n_layers": 32, "n_heads": 32, "rope_theta": 1e6}),
        ("code-llama-13b", {"dim": 5120, "n_layers": 40, "n_heads": 40, "rope_theta": 1e6}),
        (
            "code-llama-34b",
            {
                "dim": 8192,
                "n_layers": 48,
                "n_heads": 64,
                "n_kv_heads": 8,
                "ffn_dim_multiplier": 1.0,
                "rope_theta": 1e6,
            },
        ),
        (
            "code-llama-70b",
            {
                "dim": 8192,
                "n_layers": 80,
                "n_heads": 64,
                "n_kv_heads": 8,
                "rope_theta": 1e6,
                "multiple_of": 4096,
                "ffn_dim_multiplier": 1.3,
            },
        ),
        ("llama-2-7b", {"dim": 4096, "n_layers": 32, "n_heads": 32}),
    ],
)
def test_shapes_of_released_models(preset: str, params: dict[str, Any], tmp_path: Path) -> None:
    """From ``params.json`` as released; the number of rows from a table of that many."""
    expected = PRESETS[preset]
    (tmp_path / "params.json").write_text(
        json.dumps({"multiple_of": 256, "norm_eps": 1e-5, "vocab_size": -1, **params})
    )
    table = torch.zeros(expected.vocab_size, 2, dtype=torch.bfloat16)
    torch.save(
        {"tok_embeddings.weight": table, "output.weight": torch.zeros(1)}, tmp_path / "consolidated.00.pth"
    )
    assert read_meta_config(tmp_path) == expected


def test_llama_3(make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path) -> None:
    def config(**params: Any) -> LlamaConfig:
        return read_meta_config(write(tmp_path / "m", make_model(**SHAPE), tokenizer, params=params))

    three = config(rope_theta=500_000.0)
    assert (three.max_position_embeddings, three.rope_scaling) == (8192, None)
    one = config(rope_theta=500_000.0, use_scaled_rope=True, rope_scaling_factor=8)
    assert (one.max_position_embeddings, one.rope_scaling) == (131_072, RopeScaling("llama3", 8.0))
    assert config(rope_theta=500_000.0, use_scaled_rope=True).rope_scaling == RopeScaling("llama3", 32.0)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"dim": None}, "params.json: dim: is missing"),
        ({"dim": "64"}, "params.json: dim: must be an integer"),
        ({"n_heads": 7}, "params.json: n_heads: must divide dim, 64"),
        ({"n_kv_heads": 3}, "num_key_value_heads: must divide"),
        ({"n_layers": 3}, "lacks the tensors model.layers.2"),
        ({"n_layers": 1}, "holds the tensors model.layers.1"),
        ({"multiple_of": 256}, "has the shape"),
        ({"vocab_size": 400}, "has the shape"),
        ({"moe": {"num_experts": 8}}, "params.json: moe: changes what the model computes"),
        ({"quantization_args": {"scheme": "int8"}}, "params.json: quantization_args"),
        ({"norm_eps": -1}, "params.json: norm_eps"),
        ({"ffn_dim_multiplier": 1e9}, "params.json: ffn_dim_multiplier"),
    ],
)
def test_refused(
    params: dict[str, Any], words: str, make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = write(tmp_path / "meta", make_model(**SHAPE), tokenizer, 2, params=params)
    with pytest.raises(UserError) as caught:
        load_meta(folder)
    assert words in str(caught.value) and str(caught.value).startswith(str(folder))


def test_shards_that_do_not_belong_together(
    make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(**SHAPE)
    folder = write(tmp_path / "meta", model, tokenizer, 2)
    second = folder / "consolidated.01.pth"
    whole = second.read_bytes()
    part = torch.load(second, weights_only=True)
    norm = {**part, "norm.weight": part["norm.weight"] + 1}
    thin = {**part, "layers.0.attention.wo.weight": torch.zeros(3, 32)}
    narrow = {**part, "layers.0.attention.wo.weight": torch.zeros(64, 31)}
    for content, words in (
        (norm, "norm.weight: differs between the files"),
        (thin, "layers.0.attention.wo.weight: has parts that do not fit together"),
        (narrow, "layers.0.attention.wo.weight: has parts that do not fit together"),
        ({"norm.weight": part["norm.weight"]}, "does not hold the same tensors as consolidated.00.pth"),
    ):
        torch.save(content, second)
        with pytest.raises(UserError, match=words):
            load_meta(folder)
    second.rename(folder / "consolidated.02.pth")
    with pytest.raises(UserError, match=r"consolidated.01.pth: is missing"):
        load_meta(folder)
    (folder / "consolidated.02.pth").unlink()
    with pytest.raises(UserError, match=r"holds 1 of the files .* one of 2 parts"):
        load_meta(folder)
    second.write_bytes(whole)
    assert_same(load_meta(folder).model, model)


@pytest.mark.parametrize("number", [3, 5])
def test_a_file_too_few_or_too_many_is_reported(
    number: int, make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = write(tmp_path / "meta", make_model(**SHAPE), tokenizer, 4)
    if number == 3:
        (folder / "consolidated.03.pth").unlink()
    else:
        (folder / "consolidated.04.pth").write_bytes((folder / "consolidated.00.pth").read_bytes())
    with pytest.raises(UserError, match=rf"holds {number} of the files .* one of 4 parts of the model"):
        load_meta(folder)


@pytest.mark.parametrize(
    "name", ["model.norm.weight", "model.layers.1.input_layernorm.weight", "lm_head.weight"]
)
def test_a_name_of_hugging_face_s_is_refused(
    name: str, make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """The order of the rows could not be told, and a head would be passed over."""
    folder = write(tmp_path / "meta", make_model(**SHAPE), tokenizer)
    file = folder / "consolidated.00.pth"
    torch.save({**torch.load(file, weights_only=True), name: torch.zeros(64)}, file)
    with pytest.raises(UserError, match=f"{name}': is a tensor's name in a Hugging Face folder"):
        load_meta(folder)


def test_keys_that_are_not_known_are_told_once(
    make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    more = {f"new\n{number}": 1 for number in range(50)}
    load(str(write(tmp_path / "meta", make_model(**SHAPE), tokenizer, params=more)))
    assert [record.getMessage().count("\n") for record in caplog.records] == [0]
    assert "params.json: these keys are not known" in caplog.text
    assert "new\\n0, new\\n1" in caplog.text and "and 42 more" in caplog.text
