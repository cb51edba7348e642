from __future__ import annotations

import json
from pathlib import Path

import pytest
import transformers
from hypothesis import example, given

from codecascade.ground.errors import UserError
from codecascade.tokens.chat import with_chat_format
from codecascade.tokens.files import tokenizer_json
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer
from codecascade.tokens.training import train_tokenizer

from .conftest import CODE, texts


def come_back(tokenizer: Tokenizer, text: str) -> str:
    """SentencePiece writes a space as U+2581, so that letter of a text comes back as a space."""
    return text.replace("▁", " ") if tokenizer.adds_bos else text


@given(text=texts)
@example(text="  two leading spaces\n")
@example(text="")
def test_text_comes_back_unchanged(tokenizer: Tokenizer, text: str) -> None:
    expected = come_back(tokenizer, text)
    assert tokenizer.decode(tokenizer.encode(text)) == expected
    assert tokenizer.decode(tokenizer.encode(text, bos=True)) == expected
    assert tokenizer.decode_continuation(tokenizer.encode_continuation(text)) == expected


@given(text=texts)
def test_text_that_spells_control_tokens_stays_text(tokenizer: Tokenizer, text: str) -> None:
    for ids in (tokenizer.encode(text), tokenizer.encode_continuation(text)):
        assert not tokenizer.special_ids & set(ids)


def test_the_names_of_all_special_tokens_are_text(tokenizer: Tokenizer) -> None:
    for name, token in tokenizer.vocabulary.items():
        if token in tokenizer.special_ids:
            for text in (name, name.replace("▁", " "), name.removeprefix("▁"), f"x{name}y"):
                ids = tokenizer.encode(text)
                assert token not in ids
                assert tokenizer.decode(ids) == come_back(tokenizer, text)


@given(text=texts)
def test_batches_and_bos_change_nothing_else(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.encode_batch([text, "x", text]) == [ids, tokenizer.encode("x"), ids]
    assert tokenizer.encode(text, bos=True) == [*tokenizer.bos(), *ids]


def test_the_dummy_prefix_is_the_familys(llama: Tokenizer, byte_level: Tokenizer) -> None:
    assert llama.adds_bos and not byte_level.adds_bos
    assert llama.token_bytes(llama.encode("return x")[0]).startswith(b" ")
    assert not llama.token_bytes(llama.encode_continuation("return x")[0]).startswith(b" ")
    assert byte_level.encode("return x") == byte_level.encode_continuation("return x")
    # a middle that begins with spaces keeps them, whichever way
    middle = "    return x\n"
    for tokenizer in (llama, byte_level):
        assert tokenizer.decode_continuation(tokenizer.encode_continuation(middle)) == middle


@given(text=texts)
@example(text="日本☺👩‍👩‍👧é")
def test_special_tokens_within_a_text_are_left_out(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode_continuation(text)
    ids = [ids[0], tokenizer.stop_ids[0], *ids[1:], tokenizer.stop_ids[-1]] if ids else ids
    assert tokenizer.decode_continuation(ids) == come_back(tokenizer, text)


def test_a_character_cut_short_is_replaced_at_the_end(tokenizer: Tokenizer) -> None:
    cut = next(tokenizer.encode_continuation("☃")[:n] for n in (1, 2, 3))
    assert tokenizer.decode_continuation(cut) == "\ufffd"


@given(text=texts)
def test_the_bytes_of_tokens_are_the_bytes_of_the_text(tokenizer: Tokenizer, text: str) -> None:
    pieces = [tokenizer.token_bytes(token) for token in tokenizer.encode_continuation(text)]
    assert b"".join(pieces) == come_back(tokenizer, text).encode() and all(pieces)


def test_lone_surrogates_become_replacement_characters(tokenizer: Tokenizer) -> None:
    text = "a\ud800b \ud83d\ude00"  # the second pair is one character, written as JSON does
    assert tokenizer.decode(tokenizer.encode(text)) == "a\ufffdb 😀"
    assert tokenizer.encode_batch([text]) == [tokenizer.encode(text)]


def test_special_and_unknown_ids_have_no_bytes(tokenizer: Tokenizer) -> None:
    assert {tokenizer.token_bytes(token) for token in tokenizer.special_ids} == {b""}
    assert tokenizer.token_bytes(tokenizer.vocab_size) == tokenizer.token_bytes(10**6) == b""


# ------------------------------------------------------------------------------------ folders


@pytest.fixture(scope="session")
def saved(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(folder)
    return folder


def test_a_saved_folder_gives_the_same_tokenizer(tokenizer: Tokenizer, saved: Path) -> None:
    again = load_tokenizer(saved)
    for name in (
        "spec",
        "vocab_size",
        "special_ids",
        "stop_ids",
        "infilling",
        "chat_format",
        "adds_bos",
        "pad_id",
    ):
        assert getattr(again, name) == getattr(tokenizer, name), name
    assert {**again.config} == {**tokenizer.config}


def test_transformers_reads_a_saved_folder(tokenizer: Tokenizer, saved: Path) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(saved)
    assert len(theirs) == tokenizer.vocab_size
    assert theirs.eos_token_id == tokenizer.eos_id and theirs.bos_token_id == tokenizer.bos_id
    for text in (*CODE[4].split("\n"), "  leading", "\n\n    x", "日本☺", "", *CODE[:1]):
        assert theirs(text, add_special_tokens=False)["input_ids"] == tokenizer.encode(text)
        assert theirs(text)["input_ids"] == tokenizer.encode(text, bos=True)
        assert theirs.decode(tokenizer.encode(text)) == text
    for name, token in tokenizer.vocabulary.items():
        assert theirs.convert_tokens_to_ids(name) == token
    assert theirs.decode(sorted(tokenizer.special_ids), skip_special_tokens=True) == ""


def test_a_template_and_tokens_kept_in_other_files_are_found(
    tokenizer: Tokenizer, saved: Path, tmp_path: Path
) -> None:
    config = json.loads((saved / "tokenizer_config.json").read_text())
    template = config.pop("chat_template")
    for key in ("bos_token", "eos_token", "unk_token"):
        config.pop(key, None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "chat_template.jinja").write_text(template)
    for name in ("tokenizer.json", "special_tokens_map.json"):
        (tmp_path / name).write_bytes((saved / name).read_bytes())
    again = load_tokenizer(tmp_path)
    assert (again.eos_id, again.bos_id, again.chat_format) == (
        tokenizer.eos_id,
        tokenizer.bos_id,
        tokenizer.chat_format,
    )


def test_bos_is_added_where_the_configuration_says_so(llama: Tokenizer, tmp_path: Path) -> None:
    off = Tokenizer(llama.spec, {**llama.config, "add_bos_token": False})
    assert not off.adds_bos and off.encode("x", bos=True) == off.encode("x")
    off.save(tmp_path)
    assert transformers.AutoTokenizer.from_pretrained(tmp_path)("x")["input_ids"] == off.encode("x")
    unsaid = {key: value for key, value in llama.config.items() if key != "add_bos_token"}
    assert Tokenizer(llama.spec, unsaid).adds_bos  # the post-processor says it


@pytest.mark.parametrize("key", ["normalizer", "pre_tokenizer", "post_processor", "decoder", "added_tokens"])
def test_parts_that_a_file_leaves_out(key: str, byte_level: Tokenizer, tmp_path: Path) -> None:
    byte_level.save(tmp_path)
    spec = json.loads((tmp_path / "tokenizer.json").read_text())
    spec.pop(key)
    (tmp_path / "tokenizer.json").write_text(json.dumps(spec))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = load_tokenizer(tmp_path)
    for text in ("def f(x):", "x\n    é"):
        assert ours.encode(text) == theirs(text)["input_ids"]


@pytest.mark.parametrize("decoder", [True, False])
def test_names_in_two_files_are_those_of_transformers(
    decoder: bool, byte_level: Tokenizer, tmp_path: Path
) -> None:
    byte_level.save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    if not decoder:
        del config["added_tokens_decoder"]
    other = next(name for name in byte_level.vocabulary if byte_level.vocabulary[name] != byte_level.eos_id)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "bos_token": ""}))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": other}))
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
    ours = load_tokenizer(tmp_path)
    assert (ours.eos_id, ours.bos_id) == (theirs.eos_token_id, None)
    assert (ours.eos_id == byte_level.eos_id) == decoder


def test_a_metaspace_pipeline_is_understood(llama: Tokenizer) -> None:
    """The form that newer converters write for the same vocabulary."""
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
    other = Tokenizer({**llama.spec, "normalizer": None, "pre_tokenizer": metaspace}, llama.config)
    for text in ("def f(x):", "x\n    y", ""):
        assert other.encode(text) == llama.encode(text)
        assert other.encode_continuation(text) == llama.encode_continuation(text)
        assert other.encode_after_special(text) == llama.encode_continuation(text)
        assert llama.encode_after_special(text) == llama.encode(text)
        assert other.decode(other.encode(text)) == text


@pytest.mark.parametrize(
    ("eos", "end"),
    [("<|im_end|>", "<|endoftext|>"), ("<|endoftext|>", "<|endoftext|>"), (None, "<|endoftext|>")],
)
def test_the_end_of_a_document_is_not_the_end_of_a_turn(
    byte_level: Tokenizer, eos: str | None, end: str
) -> None:
    tokenizer = Tokenizer(byte_level.spec, {**byte_level.config, "eos_token": eos})
    assert tokenizer.end_of_document_id == tokenizer.vocabulary[end]
    assert {tokenizer.vocabulary["<|im_end|>"], tokenizer.vocabulary[end]} <= set(tokenizer.stop_ids)


def test_added_tokens_that_only_the_configuration_lists_are_added(
    byte_level: Tokenizer, tmp_path: Path
) -> None:
    byte_level.save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    config["added_tokens_decoder"]["1000"] = {"content": "<|file_sep|>", "special": True}
    config["added_tokens_decoder"]["1001"] = {"content": "õ…", "special": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.vocab_size == 1002 and 1000 in tokenizer.stop_ids and 1000 in tokenizer.special_ids
    assert tokenizer.encode("aõ…b")[1:-1] == [1001]
    assert tokenizer.decode([1001, 1000]) == "õ…"  # written as it is, not in the byte alphabet


def test_control_tokens_flagged_as_ordinary_are_still_inert(byte_level: Tokenizer) -> None:
    added = [
        tokenizer_json.added_token(f"<|fim_{name}|>", 1000 + n, special=False)
        for n, name in enumerate(("prefix", "suffix", "middle"))
    ]
    tokenizer = byte_level.with_vocabulary(added)
    assert tokenizer.infilling is not None and tokenizer.infilling.family == "qwen"
    assert {1000, 1001, 1002} <= tokenizer.special_ids
    assert not tokenizer.special_ids & set(tokenizer.encode("<|fim_prefix|>def f<|fim_suffix|>"))


def test_merges_that_spell_a_control_token_do_not_form_it(llama: Tokenizer) -> None:
    """Code Llama's released vocabulary holds its infilling tokens as pieces that merges can reach."""
    model = llama.spec["model"]
    vocab, merges = dict(model["vocab"]), list(model["merges"])
    for whole in ("▁<PRE>", "▁<SUF>", "▁<MID>", "▁<EOT>"):
        for end in range(2, len(whole) + 1):
            if whole[:end] not in vocab:
                vocab[whole[:end]] = len(vocab)
                merges.insert(0, f"{whole[: end - 1]} {whole[end - 1]}")
    tokenizer = Tokenizer({**llama.spec, "model": {**model, "vocab": vocab, "merges": merges}}, llama.config)
    assert tokenizer.infilling is not None and tokenizer.infilling.family == "code_llama"
    ids = tokenizer.encode("<PRE> x <SUF>y <MID>")
    assert vocab["▁<PRE"] in ids and not tokenizer.special_ids & set(ids)
    assert add_infilling_tokens(tokenizer) is tokenizer


# ------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "neither tokenizer.json nor tokenizer.model"),
        ({"tokenizer.json": "{"}, "tokenizer.json: is not valid JSON"),
        ({"tokenizer.json": "{}"}, "not a tokenizer that can be read"),
        ({"tokenizer.json": '{"added_tokens": [], "model": {"type": "Unigram"}}'}, "only byte-pair"),
        ({"tokenizer.model": "nonsense"}, "not a SentencePiece model"),
        ({"tokenizer.model": ""}, "not a SentencePiece model"),
    ],
)
def test_broken_folders_are_named(files: dict[str, str], message: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=message) as error:
        load_tokenizer(tmp_path)
    assert str(tmp_path) in str(error.value)


def test_a_missing_eos_is_named(byte_level: Tokenizer, tmp_path: Path) -> None:
    byte_level.save(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "eos_token": "<nothing>"}))
    with pytest.raises(
        UserError, match=r"tokenizer_config.json: eos_token: '<nothing>' is not in the vocabulary"
    ):
        load_tokenizer(tmp_path)


def test_an_eos_that_is_flagged_as_ordinary_is_control_all_the_same(byte_level: Tokenizer) -> None:
    more = byte_level.with_vocabulary([tokenizer_json.added_token("<eos>", 1000, special=False)])
    tokenizer = Tokenizer(more.spec, {**more.config, "eos_token": {"content": "<eos>"}})
    assert tokenizer.end_of_document_id == tokenizer.eos_id == 1000
    assert 1000 not in tokenizer.encode("a<eos>b") and tokenizer.decode([1000]) == ""


def test_ids_with_gaps_are_refused(byte_level: Tokenizer) -> None:
    with pytest.raises(UserError, match="can't have id 1007"):
        byte_level.with_vocabulary([tokenizer_json.added_token("<gap>", 1007)])


# ------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("kind", ["llama", "bytes"])
def test_training_is_the_same_on_every_run(kind: str) -> None:
    first, second = (train_tokenizer(iter(CODE), 600, kind) for _ in range(2))
    assert first.spec == second.spec and first.vocab_size == 600


def test_llama_style_is_laid_out_as_llama(llama: Tokenizer) -> None:
    assert list(llama.vocabulary.values())[:259] == list(range(259))
    assert list(llama.vocabulary)[:4] == ["<unk>", "<s>", "</s>", "<0x00>"]
    pieces = [llama.token_bytes(token) for token in llama.encode("def = 12\n        if self")]
    assert pieces == [b" def", b" =", b" ", b"1", b"2", b"\n", b"       ", b" if", b" self"]
    assert not any(b" " in piece.strip(b" ") for piece in llama.pieces)


def test_byte_level_has_newline_and_indent_in_one_token(byte_level: Tokenizer) -> None:
    pieces = [byte_level.token_bytes(token) for token in byte_level.encode("x = 12\n        return y")]
    assert pieces == [b"x", b" =", b" ", b"1", b"2", b"\n       ", b" return", b" y"]


def test_training_needs_room_for_the_bytes() -> None:
    with pytest.raises(UserError, match="must be at least 260"):
        train_tokenizer(["x"], 259, "llama")


def test_a_tiny_vocabulary_still_encodes_everything() -> None:
    for kind in ("llama", "bytes"):
        tokenizer = with_chat_format(add_infilling_tokens(train_tokenizer(["aaa"], 260, kind)))
        assert tokenizer.decode(tokenizer.encode("Ω x\n")) == "Ω x\n"
