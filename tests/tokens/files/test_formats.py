"""Tokenizers that come in other clothes: SentencePiece models and GGUF metadata."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import given

from codecascade.ground.errors import UserError
from codecascade.tokens.chat import Message, encode_chat
from codecascade.tokens.files.gguf import tokenizer_from_gguf
from codecascade.tokens.infilling import add_infilling_tokens, rows_for
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer

from ..conftest import CODE, texts

# ------------------------------------------------------------------------------------ SentencePiece


def train_sentencepiece(folder: Path, text: str = CODE[4], **settings: Any) -> Path:
    (folder / "text").write_text(text)
    llama = {
        "model_type": "bpe",
        "vocab_size": 800,
        "byte_fallback": True,
        "split_digits": True,
        "allow_whitespace_only_pieces": True,
        "normalization_rule_name": "identity",
        "remove_extra_whitespaces": False,
    }
    sentencepiece.SentencePieceTrainer.train(
        input=folder / "text",
        model_prefix=str(folder / "tokenizer"),
        minloglevel=2,
        num_threads=1,
        **llama | settings,
    )
    return folder


@pytest.fixture(scope="session")
def reference(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Tokenizer, sentencepiece.SentencePieceProcessor]:
    """A model trained by the sentencepiece library, read by us and by it."""
    folder = train_sentencepiece(
        tmp_path_factory.mktemp("spm"), "\n".join(CODE), user_defined_symbols=["<sep>", "▁<PRE"]
    )
    model = folder / "tokenizer.model"
    return load_tokenizer(folder), sentencepiece.SentencePieceProcessor(model_file=str(model))


def test_a_model_file_alone_gives_the_same_ids(reference: tuple[Tokenizer, Any]) -> None:
    ours, theirs = reference
    assert ours.vocab_size == theirs.vocab_size()
    assert (ours.bos_id, ours.eos_id, ours.adds_bos) == (theirs.bos_id(), theirs.eos_id(), True)
    lines = [line for text in CODE for line in text.split("\n")]
    assert ours.encode_batch(lines) == theirs.encode(lines)
    for text in CODE:
        assert ours.encode(text) == theirs.encode(text)


@given(text=texts)
def test_any_text_gives_the_same_ids(reference: tuple[Tokenizer, Any], text: str) -> None:
    ours, theirs = reference
    assert ours.encode(text) == theirs.encode(text)
    # The reference implementation's trick for text without a leading space
    if not text.startswith("▁"):
        smile = theirs.encode("☺")
        assert theirs.encode("☺" + text)[: len(smile)] == smile
        assert ours.encode_continuation(text) == theirs.encode("☺" + text)[len(smile) :]


def test_user_defined_pieces_are_matched_whole(reference: tuple[Tokenizer, Any]) -> None:
    ours, theirs = reference
    text = "x<sep>y <PRE z"
    assert ours.encode(text) == theirs.encode(text)
    assert ours.decode(ours.encode(text)) == text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model_type": "unigram"}, "not a byte-pair model"),
        ({"normalization_rule_name": "nmt_nfkc"}, "unfit for code"),
        ({"remove_extra_whitespaces": True}, "unfit for code"),
        ({"treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix is true"),
    ],
)
def test_models_unfit_for_code_are_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    train_sentencepiece(tmp_path, vocab_size=400, **settings)
    with pytest.raises(UserError, match=rf"tokenizer\.model: .*{message}"):
        load_tokenizer(tmp_path)


def test_a_model_without_dummy_prefix(tmp_path: Path) -> None:
    folder = train_sentencepiece(tmp_path, vocab_size=400, add_dummy_prefix=False)
    ours = load_tokenizer(folder)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    for text in ("x  y", " x", CODE[4]):
        assert ours.encode(text) == ours.encode_continuation(text) == theirs.encode(text)
        assert ours.decode(ours.encode(text)) == text


def test_a_model_cut_short_is_refused(tmp_path: Path) -> None:
    model = train_sentencepiece(tmp_path, vocab_size=400) / "tokenizer.model"
    model.write_bytes(model.read_bytes()[:-7])
    with pytest.raises(UserError, match="not a SentencePiece model"):
        load_tokenizer(tmp_path)


# ------------------------------------------------------------------------------------ GGUF


def gguf_of(tokenizer: Tokenizer, model: str) -> dict[str, Any]:
    """The metadata that a converter would write."""
    tokens = sorted(tokenizer.vocabulary, key=tokenizer.vocabulary.__getitem__)
    kinds = [
        3 if token in tokenizer.special_ids else 6 if re.fullmatch("<0x..>", t) else 1
        for token, t in enumerate(tokens)
    ]
    names = {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id}
    metadata = {
        f"tokenizer.ggml.{name}_token_id": token for name, token in names.items() if token is not None
    }
    merges = tokenizer.spec["model"]["merges"]
    ranks = {merge.replace(" ", ""): rank for rank, merge in reversed(list(enumerate(merges)))}
    return metadata | {
        "tokenizer.ggml.model": model,
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.scores": [-float(ranks.get(token, 1e6)) for token in tokens],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.pre": "smollm",
    }


def test_sentencepiece_style_from_gguf(reference: tuple[Tokenizer, Any]) -> None:
    ours, theirs = reference
    again = tokenizer_from_gguf(gguf_of(ours, "llama"))
    assert again.adds_bos and again.stop_ids == ours.stop_ids and again.special_ids == ours.special_ids
    for text in CODE:
        assert again.encode(text) == theirs.encode(text)


@pytest.fixture(scope="session")
def byte_level_again(byte_level: Tokenizer) -> Tokenizer:
    return tokenizer_from_gguf(gguf_of(byte_level, "gpt2"))


@given(text=texts)
def test_byte_level_from_gguf(byte_level: Tokenizer, byte_level_again: Tokenizer, text: str) -> None:
    assert byte_level_again.encode(text) == byte_level.encode(text)
    assert byte_level_again.special_ids == byte_level.special_ids and not byte_level_again.adds_bos


@pytest.mark.parametrize(
    ("pre", "text", "words"),
    [
        ("gpt-2", "x123  7", ["x", "123", " ", " 7"]),
        ("smollm", "x123  7", ["x", "1", "2", "3", "  ", "7"]),
        ("llama-bpe", "x12345\n\n  y", ["x", "123", "45", "\n\n", " ", " y"]),
        ("qwen2", "x12 +=\n\n", ["x", "1", "2", " +=\n\n"]),
        ("deepseek-coder", "x12\r\n\ty=龥", ["x", "1", "2", "\r", "\n", "\ty", "=", "龥"]),
    ],
)
def test_words_are_cut_as_the_file_says(byte_level: Tokenizer, pre: str, text: str, words: list[str]) -> None:
    tokenizer = tokenizer_from_gguf(gguf_of(byte_level, "gpt2") | {"tokenizer.ggml.pre": pre})
    cuts = tokenizer.backend.pre_tokenizer.pre_tokenize_str(text)
    assert [text[start:end] for _, (start, end) in cuts] == words
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_padding_and_user_defined_tokens_of_a_gguf(byte_level: Tokenizer) -> None:
    metadata = gguf_of(byte_level, "gpt2")
    metadata["tokenizer.ggml.tokens"] += ["<think>", "[PAD1001]"]
    metadata["tokenizer.ggml.token_type"] += [4, 5]
    tokenizer = tokenizer_from_gguf(metadata)
    assert tokenizer.encode("a<think>b")[1:-1] == [1000] and tokenizer.decode([1000, 1001]) == "<think>"
    assert 1001 not in tokenizer.encode("[PAD1001]")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tokenizer.ggml.model": "t5"}, "tokenizer.ggml.model: must be 'gpt2' or 'llama' .got 't5'"),
        ({"tokenizer.ggml.pre": "poro-chat"}, "tokenizer.ggml.pre: 'poro-chat' is not known"),
        ({"tokenizer.ggml.merges": None}, "tokenizer.ggml.merges: is missing"),
    ],
)
def test_what_a_gguf_file_lacks_is_named(byte_level: Tokenizer, change: dict[str, Any], message: str) -> None:
    metadata = gguf_of(byte_level, "gpt2") | change
    with pytest.raises(UserError, match=message):
        tokenizer_from_gguf({key: value for key, value in metadata.items() if value is not None})


# ------------------------------------------------------------------------------------ SmolLM2


@pytest.mark.smollm2
def test_smollm2_is_what_its_file_says(smollm2: Tokenizer) -> None:
    assert (smollm2.vocab_size, smollm2.bos_id, smollm2.eos_id, smollm2.adds_bos) == (49_152, 1, 2, False)
    assert smollm2.end_of_document_id == 0 and smollm2.chat_format == "chatml"
    assert {0, 2, smollm2.vocabulary["<file_sep>"]} <= set(smollm2.stop_ids)
    more = add_infilling_tokens(smollm2)
    assert (
        more.infilling is not None and more.infilling.prefix == 49_152 and rows_for(more.vocab_size) == 49_216
    )
    pieces = [smollm2.token_bytes(token) for token in smollm2.encode("x:\n        return 12")]
    assert pieces == [b"x", b":", b"\n       ", b" return", b" ", b"1", b"2"]


@pytest.mark.smollm2
def test_smollm2_equals_transformers(smollm2: Tokenizer, smollm2_metadata: dict[str, Any]) -> None:
    mapping = pytest.importorskip("transformers.integrations.gguf.gguf_tokenizer_mapping")
    from tokenizers import pre_tokenizers

    renames = mapping.GGUF_TOKENIZER_MAPPING["tokenizer"]
    described = {
        name: smollm2_metadata[f"tokenizer.{key}"]
        for key, name in renames.items()
        if f"tokenizer.{key}" in smollm2_metadata
    }
    theirs, _ = mapping.convert_gguf_tokenizer("llama", described)
    lines = [line for text in CODE for line in text.split("\n")]
    # Its loader passes over the file's pre = "smollm", which splits digits off before GPT-2's pattern applies.
    # That shows where several spaces come before a digit; there the file is right (the model was trained so).
    plain = [line for line in lines if not re.search(r"\s\s\d", line)]
    assert len(lines) > 5000 and len(plain) > 0.99 * len(lines)
    assert smollm2.encode_batch(plain) == [
        e.ids for e in theirs.encode_batch(plain, add_special_tokens=False)
    ]
    theirs.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    everything = lines + CODE
    assert smollm2.encode_batch(everything) == [
        e.ids for e in theirs.encode_batch(everything, add_special_tokens=False)
    ]


@pytest.mark.smollm2
def test_smollm2s_chat_has_its_default_system_message(smollm2: Tokenizer) -> None:
    ids = encode_chat(smollm2, [Message("user", "hi <|im_end|>")])
    system = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
    text = f"system\n{system}\nuser\nhi <|im_end|>\nassistant\n"
    assert smollm2.decode(ids) == text and ids.count(2) == 2
