"""What a model's files say of its tokens: which end a generation, which have a row; and where a tied table lies."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.requests import Request, SamplingParams, completion_request, infilling_request
from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.model.convert import convert
from codecascade.model.folder import load_folder, read_config, read_tokenizer, save_folder
from codecascade.model.llama import Llama
from codecascade.model.stored.model import LoadedModel
from codecascade.recipe.shapes import BaseShape
from codecascade.tokens.chat import with_chat_format
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.files.gguf import tokenizer_from_gguf
from codecascade.tokens.infilling import add_infilling_tokens, drop_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer
from codecascade.tokens.training import train_tokenizer

MakeModel = Callable[..., Llama]
SOURCE = "def add(first, second):\n    return first + second\n"
TABLE, HEAD = "model.embed_tokens.weight", "lm_head.weight"


@pytest.fixture(scope="module")
def byte_tokenizer() -> Tokenizer:
    return train_tokenizer([SOURCE] * 4, 300, kind="bytes")


@torch.no_grad()
def always(model: Llama, token_id: int) -> Llama:
    """A model that writes one token, whatever was before."""
    for name, weights in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")) or name == HEAD:
            weights.zero_()
    model.model.embed_tokens.weight.fill_(1.0)
    model.model.norm.weight.fill_(1.0)
    model.lm_head.weight[token_id] = 1.0
    return model


def edit(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**data, **changes}))


def written(loaded: LoadedModel, prompt: str = "x") -> tuple[int, ...]:
    request = completion_request(loaded.tokenizer, prompt, SamplingParams(6))
    (completion,) = LocalGenerator(loaded.model, loaded.tokenizer).generate([request])
    return completion.ids


# ---------------------------------------------------------------- ends


@pytest.fixture
def endless(make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path) -> tuple[Path, int]:
    """A folder whose model writes a letter for ever, and the letter's id."""
    letter = byte_tokenizer.encode("A")[0]
    model = always(make_model(), letter)
    save_folder(tmp_path / "m", model, model.config, byte_tokenizer)
    (tmp_path / "m" / "generation_config.json").unlink()
    return tmp_path / "m", letter


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("several", [False, True])
def test_ends_that_a_folder_names_are_ends(file: str, several: bool, endless: tuple[Path, int]) -> None:
    folder, letter = endless
    before = load_folder(folder)
    assert written(before) == (letter,) * 6
    named = [before.tokenizer.eos_id, letter] if several else letter
    edit(folder / file, eos_token_id=named)
    loaded = load_folder(folder)
    assert written(loaded) == ()
    assert set(loaded.tokenizer.stop_ids) == {*before.tokenizer.stop_ids, letter}
    prompt = torch.tensor([loaded.tokenizer.encode("x")])
    theirs = AutoModelForCausalLM.from_pretrained(folder).generate(prompt, max_new_tokens=6, do_sample=False)
    assert theirs[0].tolist() == [*prompt[0].tolist(), letter]


def test_ends_of_both_files_together(endless: tuple[Path, int]) -> None:
    folder, letter = endless
    edit(folder / "config.json", eos_token_id=letter)
    edit(folder / "generation_config.json", eos_token_id=[letter + 1])
    assert {letter, letter + 1} <= set(load_folder(folder).tokenizer.stop_ids)
    edit(folder / "config.json", eos_token_id=None)
    edit(folder / "generation_config.json", eos_token_id=None)
    assert not {letter, letter + 1} & set(load_folder(folder).tokenizer.stop_ids)


def test_the_end_of_a_document_stays_the_tokenizers(endless: tuple[Path, int]) -> None:
    folder, letter = endless
    before = load_folder(folder).tokenizer
    edit(folder / "config.json", eos_token_id=letter)
    after = load_folder(folder).tokenizer
    assert (after.eos_id, after.end_of_document_id, after.pad_id) == (
        before.eos_id,
        before.end_of_document_id,
        before.pad_id,
    )
    assert letter not in after.special_ids and after.decode([letter]) == "A"


def test_conversion_keeps_the_ends(endless: tuple[Path, int], tmp_path: Path) -> None:
    folder, letter = endless
    edit(folder / "config.json", eos_token_id=[letter])
    convert(str(folder), tmp_path / "out")
    stops = json.loads((tmp_path / "out" / "generation_config.json").read_text())["eos_token_id"]
    assert letter in stops and stops == list(load_folder(folder).tokenizer.stop_ids)
    assert written(load_folder(tmp_path / "out")) == ()


def test_an_end_that_is_no_token_is_reported(
    endless: tuple[Path, int], caplog: pytest.LogCaptureFixture
) -> None:
    folder, letter = endless
    edit(folder / "generation_config.json", eos_token_id=[letter, 310, -1, 10**20])
    loaded = load_folder(folder)  # 310 is a row, but no token
    assert written(loaded) == () and max(loaded.tokenizer.stop_ids) < 300
    assert (
        "generation_config.json: eos_token_id: 310, -1, 100000000000000000000 is passed over" in caplog.text
    )


def test_an_end_that_is_a_letter_does_not_end_the_prompt(endless: tuple[Path, int]) -> None:
    """Healing asks for the prompt's last bytes again; they are not what the model ends on."""
    folder, letter = endless
    edit(folder / "config.json", eos_token_id=letter)
    loaded = load_folder(folder)
    request = Request((5,), SamplingParams(6), required=b"A")
    (completion,) = LocalGenerator(loaded.model, loaded.tokenizer).generate([request])
    assert completion.ids == (letter,) and completion.text == "" and completion.stopped_by == letter


def test_changed_tokenizers_keep_their_ends(byte_tokenizer: Tokenizer) -> None:
    letter = byte_tokenizer.encode("A")[0]
    tokenizer = byte_tokenizer.with_ends([letter], "here")
    filling = add_infilling_tokens(tokenizer)
    assert filling.infilling is not None
    more = filling.with_ends([filling.infilling.end], "here")
    assert letter in with_chat_format(more, "chatml").stop_ids
    dropped = drop_infilling_tokens(more)
    assert letter in dropped.stop_ids and max(dropped.stop_ids) < dropped.vocab_size
    assert byte_tokenizer.ends == ()


@pytest.mark.parametrize("key", ["eot", "eom", "fim_pad", "fim_rep", "fim_sep"])
def test_ends_of_a_gguf_file(key: str, byte_tokenizer: Tokenizer) -> None:
    names = sorted(byte_tokenizer.vocabulary, key=byte_tokenizer.vocabulary.__getitem__)
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": names,
        "tokenizer.ggml.merges": [],
        "tokenizer.ggml.token_type": [3 if name.startswith("<|") else 1 for name in names],
        "tokenizer.ggml.eos_token_id": byte_tokenizer.eos_id,
        f"tokenizer.ggml.{key}_token_id": 65,
    }
    tokenizer = tokenizer_from_gguf(metadata)
    assert 65 in tokenizer.stop_ids and tokenizer.end_of_document_id == byte_tokenizer.end_of_document_id


# ---------------------------------------------------------------- tokens without a row


@pytest.fixture
def narrow(make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path) -> Path:
    """A folder whose tokenizer has four infilling tokens, and one of text, more than there are rows."""
    rows = byte_tokenizer.vocab_size
    model = make_model(vocab_size=rows)
    save_folder(tmp_path / "m", model, model.config, byte_tokenizer)
    add_infilling_tokens(byte_tokenizer).with_vocabulary(
        [tokenizer_json.added_token("wordless", rows + 4, special=False)]
    ).save(tmp_path / "m")
    return tmp_path / "m"


def test_tokens_without_a_row_are_left_out(narrow: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert load_tokenizer(narrow).infilling is not None
    loaded = load_folder(narrow)
    tokenizer, rows = loaded.tokenizer, loaded.config.vocab_size
    assert tokenizer.vocab_size == rows and tokenizer.infilling is None
    assert max(tokenizer.stop_ids) < rows and tokenizer.pad_id < rows
    assert max(tokenizer.encode("a wordless ▁<PRE> text")) < rows
    assert tokenizer.decode(tokenizer.encode("a wordless text")) == "a wordless text"
    with pytest.raises(UserError, match="no infilling tokens"):
        infilling_request(tokenizer, "a", "b", SamplingParams(1))
    assert f"5 tokens from id {rows} on have no row in the model and are left out: ▁<PRE>" in caplog.text
    assert not BaseShape.of(read_config(narrow), read_tokenizer(narrow)).infilling


def test_the_model_writes_what_it_does_in_transformers(narrow: Path) -> None:
    loaded = load_folder(narrow)
    prompt = loaded.tokenizer.encode("def add(")
    (ours,) = LocalGenerator(loaded.model, loaded.tokenizer).generate(
        [Request(tuple(prompt), SamplingParams(8))]
    )
    theirs = AutoModelForCausalLM.from_pretrained(narrow).generate(
        torch.tensor([prompt]), max_new_tokens=8, do_sample=False
    )
    assert list(ours.ids) == theirs[0, len(prompt) :].tolist()[: len(ours.ids)] and ours.ids


def test_what_is_left_out_is_not_written(narrow: Path, tmp_path: Path) -> None:
    convert(str(narrow), tmp_path / "out")
    again = load_tokenizer(tmp_path / "out")
    assert again.vocab_size == read_config(narrow).vocab_size and "wordless" not in again.vocabulary


def test_an_end_without_a_row_is_a_sentence(narrow: Path) -> None:
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        edit(narrow / file, eos_token="▁<EOT>")
    with pytest.raises(UserError, match=r"eos_token: '▁<EOT>' has the id \d+, but the model only \d+ rows"):
        load_folder(narrow)


@pytest.mark.parametrize("key", ["pad_token", "unk_token"])
@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
def test_a_name_that_nothing_asks_for_may_be_no_token(
    key: str, file: str, narrow: Path, tmp_path: Path
) -> None:
    edit(narrow / file, **{key: {"content": "[PAD]"}})
    loaded = load_folder(narrow)
    assert loaded.tokenizer.pad_id == loaded.tokenizer.eos_id
    loaded.tokenizer.save(tmp_path)
    assert "[PAD]" not in (tmp_path / "tokenizer_config.json").read_text()


# ---------------------------------------------------------------- a tied table


@pytest.mark.parametrize("shard_bytes", [5e9, 20_000])
def test_a_tied_folder_may_hold_the_head_alone(
    shard_bytes: float, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model(tie_word_embeddings=True)
    folder = tmp_path / "m"
    save_folder(folder, model, model.config, byte_tokenizer, shard_bytes=shard_bytes)
    for file in folder.glob("*.safetensors"):
        tensors = load_file(file)
        if TABLE in tensors:
            tensors[HEAD] = tensors.pop(TABLE)
            save_file(tensors, file, metadata={"format": "pt"})
    index = folder / "model.safetensors.index.json"
    if index.exists():
        index.write_text(index.read_text().replace(TABLE, HEAD))
    loaded = load_folder(folder)
    assert loaded.config.tie_word_embeddings and loaded.config == model.config
    tokens = torch.tensor([[5, 6, 7]])
    assert torch.equal(loaded.model.logits(loaded.model(tokens)), model.logits(model(tokens)))
    with torch.no_grad():
        theirs = AutoModelForCausalLM.from_pretrained(folder)(tokens).logits
    torch.testing.assert_close(model.logits(model(tokens)), theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize("missing", [TABLE, HEAD])
def test_an_untied_folder_needs_both(
    missing: str, make_model: MakeModel, byte_tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model = make_model()
    save_folder(tmp_path / "m", model, model.config, byte_tokenizer)
    tensors = load_file(tmp_path / "m" / "model.safetensors")
    del tensors[missing]
    save_file(tensors, tmp_path / "m" / "model.safetensors")
    with pytest.raises(UserError, match=f"lacks the tensors {missing}"):
        load_folder(tmp_path / "m")


@pytest.mark.parametrize("model_type", ["llama", "mistral", "qwen2", "qwen3", "granite", "smollm3"])
def test_a_shape_without_a_tokenizer_tells_whether_its_family_infills(
    make_config: Callable[..., LlamaConfig], model_type: str
) -> None:
    guessed = BaseShape.guess(make_config(model_type=model_type, attention_bias=model_type == "qwen2"))
    assert guessed.infilling == guessed.own == (model_type in ("qwen2", "qwen3", "granite"))
