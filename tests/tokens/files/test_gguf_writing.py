"""A tokenizer written as a GGUF file's metadata is the same tokenizer when it is read again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from codecascade.ground.errors import UserError
from codecascade.tokens.chat import with_chat_format
from codecascade.tokens.files import pre_tokenizers, tokenizer_json
from codecascade.tokens.files.gguf import tokenizer_from_gguf
from codecascade.tokens.files.gguf_writing import tokenizer_to_gguf
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer

from ..conftest import CODE, texts
from .test_formats import train_sentencepiece

# Control tokens as the families have them, added to a small vocabulary.
FAMILIES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "starcoder": ("<fim_prefix>", "<fim_middle>", "<fim_suffix>", "<fim_pad>", "<reponame>", "<file_sep>"),
    "qwen": (
        *("<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"),
        *("<|fim_pad|>", "<|repo_name|>", "<|file_sep|>"),
    ),
    "llama3": ("<|begin_of_text|>", "<|eot_id|>", "<|eom_id|>"),
}


def with_tokens(tokenizer: Tokenizer, names: tuple[str, ...]) -> Tokenizer:
    new = [name for name in names if name not in tokenizer.vocabulary]
    return tokenizer.with_vocabulary(
        [tokenizer_json.added_token(name, tokenizer.vocab_size + number) for number, name in enumerate(new)]
    )


def again(tokenizer: Tokenizer, rows: int | None = None) -> Tokenizer:
    return tokenizer_from_gguf(tokenizer_to_gguf(tokenizer, rows or tokenizer.vocab_size))


@pytest.fixture(scope="session", params=FAMILIES)
def family(request: pytest.FixtureRequest, byte_level: Tokenizer) -> Tokenizer:
    return with_tokens(byte_level, FAMILIES[request.param])


def assert_same(first: Tokenizer, second: Tokenizer) -> None:
    for text in CODE[-2:]:
        assert second.encode(text) == first.encode(text)
    assert second.special_ids == first.special_ids
    assert (second.bos_id, second.eos_id, second.pad_id) == (first.bos_id, first.eos_id, first.pad_id)
    assert second.end_of_document_id == first.end_of_document_id
    assert second.adds_bos == first.adds_bos
    assert second.infilling == first.infilling
    assert set(second.stop_ids) == set(first.stop_ids)
    assert second.config.get("chat_template") == first.config.get("chat_template")


def test_each_family_comes_back(family: Tokenizer) -> None:
    assert_same(family, again(family))


def test_what_training_makes_comes_back(tokenizer: Tokenizer) -> None:
    """With infilling tokens and a chat template."""
    assert_same(tokenizer, again(tokenizer))


@pytest.fixture(scope="session")
def family_again(family: Tokenizer) -> Tokenizer:
    return again(family)


@given(text=texts)
def test_any_text_comes_back_as_the_same_ids(family: Tokenizer, family_again: Tokenizer, text: str) -> None:
    assert family_again.encode(text) == family.encode(text)


@pytest.fixture(scope="session")
def sentencepiece_model(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = train_sentencepiece(
        tmp_path_factory.mktemp("spm"), "\n".join(CODE), user_defined_symbols=["<sep>"]
    )
    return load_tokenizer(folder)


@pytest.fixture(scope="session")
def sentencepiece_again(sentencepiece_model: Tokenizer) -> Tokenizer:
    return again(sentencepiece_model)


@given(text=texts)
def test_a_sentencepiece_model_comes_back(
    sentencepiece_model: Tokenizer, sentencepiece_again: Tokenizer, text: str
) -> None:
    assert sentencepiece_again.encode(text) == sentencepiece_model.encode(text)


def test_a_sentencepiece_model_has_types_and_scores(
    sentencepiece_model: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    infilled = add_infilling_tokens(sentencepiece_model)
    metadata = tokenizer_to_gguf(infilled, infilled.vocab_size)
    assert "other tokens" not in caplog.text
    tokens, kinds = (metadata[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type"))
    kind_of = dict(zip(tokens, kinds, strict=True))
    assert [kind_of[name] for name in ("<unk>", "<s>", "</s>", "<0x0A>", "<sep>")] == [2, 3, 3, 6, 4]
    assert kind_of["▁<PRE>"] == 3 and kind_of["▁return"] == 1
    scores = dict(zip(tokens, metadata["tokenizer.ggml.scores"], strict=True))
    assert scores["▁t"] > scores["▁return"]
    assert metadata["tokenizer.ggml.model"] == "llama" and metadata["tokenizer.ggml.add_space_prefix"]
    ids = infilled.infilling
    assert ids is not None
    keys = ("fim_pre", "fim_suf", "fim_mid", "eot", "bos", "eos", "unknown")
    assert [metadata[f"tokenizer.ggml.{key}_token_id"] for key in keys] == [
        *(ids.prefix, ids.suffix, ids.middle, ids.end),
        *(infilled.bos_id, infilled.eos_id, infilled.vocabulary["<unk>"]),
    ]
    assert metadata["tokenizer.ggml.add_bos_token"] is True
    assert_same(infilled, tokenizer_from_gguf(metadata))


def test_a_vocabulary_that_lacks_pairs_is_reported(
    llama: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    """A tokenizer.json may leave out pairs that make a token; llama.cpp merges them all the same."""
    merges = llama.spec["model"]["merges"]
    pairs = [merge if isinstance(merge, str) else " ".join(merge) for merge in merges]
    every = tokenizer_json.merges_from_scores(
        {
            name: -float(rank)
            for rank, name in enumerate(dict.fromkeys(pair.replace(" ", "") for pair in pairs))
        }
    )
    tokenizer_to_gguf(llama, llama.vocab_size)
    assert ("other tokens" in caplog.text) == (not set(every) <= set(pairs))


def test_ids_of_each_family(byte_level: Tokenizer) -> None:
    def ids(family: str) -> dict[str, str]:
        tokenizer = with_tokens(byte_level, FAMILIES[family])
        metadata = tokenizer_to_gguf(tokenizer, tokenizer.vocab_size)
        names = metadata["tokenizer.ggml.tokens"]
        suffix, prefix = "_token_id", "tokenizer.ggml."
        return {
            key.removeprefix(prefix).removesuffix(suffix): names[token_id]
            for key, token_id in metadata.items()
            if key.endswith(suffix)
        }

    assert ids("plain") == {"eos": "<|endoftext|>", "padding": "<|endoftext|>", "eot": "<|im_end|>"}
    starcoder, qwen, llama3 = ids("starcoder"), ids("qwen"), ids("llama3")
    assert (starcoder["fim_pre"], starcoder["fim_rep"]) == ("<fim_prefix>", "<reponame>")
    assert {key: qwen[key] for key in ("fim_pre", "fim_suf", "fim_mid", "fim_pad", "fim_rep", "fim_sep")} == {
        "fim_pre": "<|fim_prefix|>",
        "fim_suf": "<|fim_suffix|>",
        "fim_mid": "<|fim_middle|>",
        "fim_pad": "<|fim_pad|>",
        "fim_rep": "<|repo_name|>",
        "fim_sep": "<|file_sep|>",
    }
    assert (qwen["eos"], qwen["eot"]) == ("<|endoftext|>", "<|im_end|>")
    assert llama3["eom"] == "<|eom_id|>"


def test_ends_that_only_a_folder_names_come_back(
    byte_level: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    named = with_tokens(byte_level, ("<end1>", "<end2>", "<end3>"))
    one, two, three = (named.vocabulary[f"<end{number}>"] for number in (1, 2, 3))
    ended = named.with_ends([one, two], "config.json")
    assert set(again(ended).stop_ids) == set(ended.stop_ids)
    assert caplog.text == ""
    again(named.with_ends([one, two, three], "config.json"))
    assert "no place for all ends" in caplog.text and str(three) in caplog.text


def test_rows_without_a_token_are_marked_as_unused(tokenizer: Tokenizer) -> None:
    rows = tokenizer.vocab_size + 5
    metadata = tokenizer_to_gguf(tokenizer, rows)
    names, kinds = metadata["tokenizer.ggml.tokens"], metadata["tokenizer.ggml.token_type"]
    assert len(names) == len(set(names)) == len(kinds) == rows
    assert kinds[-5:] == [5] * 5 and names[-1] == f"[PAD{rows - 1}]"
    read = tokenizer_from_gguf(metadata)
    assert set(read.encode(f"a[PAD{rows - 1}]")) <= set(range(tokenizer.vocab_size))


@pytest.mark.parametrize("name", ["gpt-2", "smollm", "llama-bpe", "smaug-bpe", "qwen2", "deepseek-coder"])
def test_the_pre_tokenizer_is_named(name: str, byte_level: Tokenizer) -> None:
    vocabulary = byte_level.spec["model"]["vocab"]
    spec = tokenizer_json.byte_level_spec(
        vocabulary,
        byte_level.spec["model"]["merges"],
        byte_level.spec["added_tokens"],
        splits=pre_tokenizers.PRE_TOKENIZERS[name],
        whole_words=name in pre_tokenizers.LLAMA3,
    )
    made = Tokenizer(spec, byte_level.config)
    assert tokenizer_to_gguf(made, made.vocab_size)["tokenizer.ggml.pre"] == name
    text = CODE[-1]
    assert again(made).encode(text) == made.encode(text)


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre_tokenizer"),
        ({"normalizer": {"type": "Lowercase"}}, "normalizer"),
        ({"normalizer": {"type": "Replace", "pattern": {"String": "\r\n"}, "content": "\n"}}, "normalizer"),
    ],
)
def test_what_has_no_name_is_refused(change: dict[str, Any], key: str, byte_level: Tokenizer) -> None:
    if key == "pre_tokenizer":
        inner = byte_level.spec["pre_tokenizer"]
        change = {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [change["pre_tokenizer"], inner]}}
    other = Tokenizer({**byte_level.spec, **change}, byte_level.config)
    with pytest.raises(UserError) as caught:
        tokenizer_to_gguf(other, other.vocab_size)
    assert caught.value.key == key


def test_the_chat_template_comes_back(byte_level: Tokenizer) -> None:
    chat = with_chat_format(byte_level)
    template = chat.config.get("chat_template")
    assert template and again(chat).config["chat_template"] == template


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word"])
def test_what_a_gguf_file_can_t_say_of_a_token_is_reported(
    flag: str, byte_level: Tokenizer, caplog: pytest.LogCaptureFixture
) -> None:
    token = tokenizer_json.added_token("<tag>", byte_level.vocab_size, special=False)
    tokenizer_to_gguf(byte_level.with_vocabulary([token]), byte_level.vocab_size + 1)
    assert caplog.text == ""
    tokenizer_to_gguf(byte_level.with_vocabulary([{**token, flag: True}]), byte_level.vocab_size + 1)
    assert "found everywhere, without it: '<tag>'" in caplog.text
