"""Folders go out and come back bit by bit, and the field's tools read them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from codecascade.ground.errors import UserError
from codecascade.model import weights
from codecascade.model.convert import convert
from codecascade.model.folder import load_folder, save_folder
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer

MakeModel = Callable[..., Llama]


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype and torch.equal(tensor, second[name]), name


def contents(folder: Path) -> dict[str, Any]:
    return {
        file.name: json.loads(file.read_text()) if file.suffix == ".json" else file.read_bytes()
        for file in folder.iterdir()
    }


@pytest.fixture
def folder(make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path) -> Path:
    model = make_model()
    save_folder(tmp_path / "model", model, model.config, tokenizer)
    return tmp_path / "model"


def change(folder: Path, file: str, **changes: Any) -> None:
    data = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps({**data, **changes}))


@pytest.mark.parametrize("shard_bytes", [5e9, 20_000])
def test_round_trip(
    make_model: MakeModel, tokenizer: Tokenizer, variant: dict[str, Any], shard_bytes: float, tmp_path: Path
) -> None:
    model = make_model(**variant)
    save_folder(tmp_path / "a", model, model.config, tokenizer, shard_bytes=shard_bytes)
    loaded = load_folder(tmp_path / "a")
    assert loaded.config == model.config and loaded.source == str(tmp_path / "a")
    assert_same(loaded.model.state_dict(), model.state_dict())
    assert loaded.tokenizer.spec == tokenizer.spec
    save_folder(
        tmp_path / "b",
        loaded.model,
        loaded.config,
        loaded.tokenizer,
        shard_bytes=shard_bytes,
        generation=loaded.generation,
    )
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_transformers_reads_it(
    make_model: MakeModel, tokenizer: Tokenizer, variant: dict[str, Any], tmp_path: Path
) -> None:
    model = make_model(**variant)
    save_folder(tmp_path / "model", model, model.config, tokenizer, shard_bytes=30_000)
    theirs, report = AutoModelForCausalLM.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not any(report.values())
    assert theirs.dtype == torch.float32
    tokens = torch.tensor([tokenizer.encode("def add(first, second):", bos=True)])
    with torch.no_grad():
        torch.testing.assert_close(model.logits(model(tokens)), theirs(tokens).logits, atol=1e-4, rtol=0)
    if (
        model.config.model_type == "llama"
    ):  # for others transformers 5 puts its own pipeline in place of the file's
        theirs = AutoTokenizer.from_pretrained(tmp_path / "model")
        assert theirs("def add(first, second):").input_ids == tokens[0].tolist()
    generation = GenerationConfig.from_pretrained(tmp_path / "model")
    assert generation.eos_token_id == list(tokenizer.stop_ids)
    assert (generation.bos_token_id, generation.pad_token_id) == (tokenizer.bos_id, tokenizer.pad_id)


def test_what_transformers_writes_is_read(
    folder: Path, tokenizer: Tokenizer, tmp_path: Path, make_model: MakeModel
) -> None:
    theirs = AutoModelForCausalLM.from_pretrained(folder)
    theirs.save_pretrained(tmp_path / "theirs", max_shard_size="20KB")
    tokenizer.save(tmp_path / "theirs")
    assert len(list((tmp_path / "theirs").glob("*.safetensors"))) > 1
    assert_same(load_folder(tmp_path / "theirs").model.state_dict(), make_model().state_dict())


def test_what_other_readers_look_for(folder: Path, tokenizer: Tokenizer) -> None:
    config = json.loads((folder / "config.json").read_text())
    for key in (
        "architectures",
        "model_type",
        "torch_dtype",
        "dtype",
        "hidden_act",
        "head_dim",
        "rope_theta",
        "rope_scaling",
        "rope_parameters",
        "bos_token_id",
        "eos_token_id",
        "tie_word_embeddings",
        "attention_bias",
        "mlp_bias",
    ):
        assert key in config, key
    assert config["architectures"] == ["LlamaForCausalLM"] and config["eos_token_id"] == tokenizer.eos_id
    with open(folder / "model.safetensors", "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    assert header["__metadata__"] == {"format": "pt"}


def test_shards_and_index(make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = make_model()
    save_folder(tmp_path / "m", model, model.config, tokenizer, shard_bytes=20_000)
    index = json.loads((tmp_path / "m" / "model.safetensors.index.json").read_text())
    shards = sorted((tmp_path / "m").glob("*.safetensors"))
    assert [shard.name for shard in shards] == [
        f"model-{n:05}-of-{len(shards):05}.safetensors" for n in range(1, len(shards) + 1)
    ]
    assert index["weight_map"].keys() == model.state_dict().keys()
    assert index["metadata"]["total_size"] == 4 * model.config.num_parameters()
    for shard in shards:
        tensors = load_file(shard)
        assert {name for name, file in index["weight_map"].items() if file == shard.name} == tensors.keys()
        assert len(tensors) == 1 or sum(tensor.nbytes for tensor in tensors.values()) <= 20_000


@pytest.mark.parametrize(
    ("kinds", "common"),
    [
        ({"lm_head": torch.float32}, torch.float32),
        ({"embed_tokens": torch.float16}, torch.float32),
        ({"layers.1": torch.float64}, torch.float64),
        ({"norm": torch.float32}, torch.bfloat16),
        ({}, torch.bfloat16),
    ],
)
def test_matrices_of_several_types_get_the_one_that_holds_all(
    kinds: dict[str, torch.dtype],
    common: torch.dtype,
    make_model: MakeModel,
    tokenizer: Tokenizer,
    tmp_path: Path,
) -> None:
    model = make_model()
    save_folder(tmp_path / "m", model, model.config, tokenizer)
    stored = {
        name: tensor.to(next((kind for part, kind in kinds.items() if part in name), torch.bfloat16))
        for name, tensor in model.state_dict().items()
    }
    save_file(stored, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    loaded = load_folder(tmp_path / "m").model
    loaded.logits(loaded(torch.tensor([[1, 2, 3]])))
    for name, tensor in loaded.state_dict().items():
        assert torch.equal(tensor.double(), stored[name].double())
        assert tensor.dtype == (stored[name].dtype if name.endswith("norm.weight") else common), name


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
def test_a_tied_head_of_another_type_is_the_table_where_its_values_are(
    kind: torch.dtype, make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(tie_word_embeddings=True)
    save_folder(tmp_path / "m", model, model.config, tokenizer)
    table = model.state_dict()["model.embed_tokens.weight"]
    head = table.bfloat16().float() if kind == torch.float32 else table.bfloat16()
    tensors = {**model.state_dict(), "lm_head.weight": head}
    tensors["model.embed_tokens.weight"] = table.bfloat16() if kind == torch.float32 else table
    save_file(tensors, tmp_path / "m" / "model.safetensors", metadata={"format": "pt"})
    assert load_folder(tmp_path / "m").config.tie_word_embeddings == (kind == torch.float32)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_dtypes(make_model: MakeModel, tokenizer: Tokenizer, dtype: torch.dtype, tmp_path: Path) -> None:
    model = make_model()
    save_folder(tmp_path / "m", model, model.config, tokenizer, dtype=dtype)
    assert model.head_weight.dtype == torch.float32
    expected = {name: tensor.to(dtype) for name, tensor in model.state_dict().items()}
    assert_same(load_folder(tmp_path / "m").model.state_dict(), expected)
    wide = load_folder(tmp_path / "m", dtype=torch.float32).model
    assert_same(wide.state_dict(), {name: tensor.float() for name, tensor in expected.items()})
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "m", dtype="auto").dtype == dtype


def test_weights_are_mapped_not_read(folder: Path) -> None:
    model = load_folder(folder).model
    address = model.model.embed_tokens.weight.data_ptr()
    mapped = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    (entry,) = [
        line for line in mapped if int(line[0].split("-")[0], 16) <= address < int(line[0].split("-")[1], 16)
    ]
    assert entry[-1] == str(folder / "model.safetensors")


def test_training_does_not_touch_the_file(folder: Path) -> None:
    before = (folder / "model.safetensors").read_bytes()
    model = load_folder(folder).model
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model.logits(model(torch.tensor([[1, 2, 3]]))).logsumexp(-1).sum().backward()
    optimizer.step()
    assert (folder / "model.safetensors").read_bytes() == before


def test_extra_files_and_generation(make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = make_model()
    save_folder(
        tmp_path / "m",
        model.state_dict(),
        model.config,
        tokenizer,
        generation={"temperature": 0.2, "eos_token_id": 5},
        extra_files={"lineage.json": "{}"},
    )
    loaded = load_folder(tmp_path / "m")
    assert loaded.generation["temperature"] == 0.2
    assert loaded.generation["eos_token_id"] == list(tokenizer.stop_ids)
    assert (tmp_path / "m" / "lineage.json").read_text() == "{}"


def test_a_full_disk_leaves_the_old_folder(
    folder: Path, make_model: MakeModel, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(folder)

    def full(*arguments: Any, **options: Any) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights, "save_file", full)
    model = make_model(seed=1)
    with pytest.raises(UserError, match="disk is full"):
        save_folder(folder, model, model.config, tokenizer)
    assert contents(folder) == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_model_folder_is_replaced_and_another_is_not(
    folder: Path, make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    (folder / "stale.txt").write_text("")
    model = make_model(seed=1)
    save_folder(folder, model, model.config, tokenizer)
    assert_same(load_folder(folder).model.state_dict(), model.state_dict())
    assert not (folder / "stale.txt").exists()
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(UserError, match="no model folder"):
        save_folder(tmp_path / "thesis", model, model.config, tokenizer)
    assert (tmp_path / "thesis" / "chapter.tex").exists()


def test_what_does_not_fit_together_is_not_written(
    make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model()
    state = model.state_dict()
    del state["model.norm.weight"]
    with pytest.raises(ValueError, match=r"model\.norm\.weight"):
        save_folder(tmp_path / "m", state, model.config, tokenizer)
    small = make_model(vocab_size=64)
    with pytest.raises(ValueError, match="rows"):
        save_folder(tmp_path / "m", small, small.config, tokenizer)
    assert not (tmp_path / "m").exists()


# ---------------------------------------------------------------- folders as they are found


def test_old_and_redundant_tensors(make_model: MakeModel, tokenizer: Tokenizer, tmp_path: Path) -> None:
    model = make_model(tie_word_embeddings=True)
    save_folder(tmp_path / "m", model, model.config, tokenizer)
    state = {**model.state_dict(), "model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    file = tmp_path / "m" / "model.safetensors"
    save_file({**state, "lm_head.weight": model.head_weight.detach().clone()}, file)
    assert load_folder(tmp_path / "m").config.tie_word_embeddings
    save_file({**state, "lm_head.weight": model.head_weight.detach() + 1}, file)
    loaded = load_folder(tmp_path / "m")
    assert not loaded.config.tie_word_embeddings
    assert torch.equal(loaded.model.head_weight, model.head_weight + 1)


# ---------------------------------------------------------------- conversion, other numbers of rows


def test_convert(folder: Path, make_model: MakeModel, tmp_path: Path) -> None:
    convert(str(folder), tmp_path / "out", dtype="bf16")
    expected = {name: tensor.bfloat16() for name, tensor in make_model().state_dict().items()}
    assert_same(load_folder(tmp_path / "out").model.state_dict(), expected)
    for arguments, words in (
        ({"out": tmp_path / "out"}, "is there already"),
        ({"out": tmp_path / "new", "to": "onnx"}, "'onnx'"),
        ({"out": tmp_path / "new", "dtype": "int3"}, "'int3'"),
    ):
        with pytest.raises(UserError, match=words):
            convert(str(folder), **arguments)
    assert not (tmp_path / "new").exists()
