"""Tokens that the files beside a vocabulary list, and their flags: compared with transformers."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import transformers

from codecascade.ground.errors import UserError
from codecascade.tokens.chat import encode_chat
from codecascade.tokens.messages import Message
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer

TOKEN = "QQ"
FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
TEXTS = ("a QQ b", "aQQb", "QQ", "  QQ  b", "a\n    QQ\n\tb", "\tQQ\u00a0", "QQQ", "a qq", "", "\u212b QQ")


def entry(**flags: bool) -> dict[str, Any]:
    return {"content": TOKEN, **dict.fromkeys(FLAGS, False), **flags}


def folder_of(
    tokenizer: Tokenizer,
    folder: Path,
    *,
    in_vocabulary: dict[str, Any] | None = None,
    decoder: dict[str, Any] | None = None,
    by_name: dict[str, int] | None = None,
    **config: Any,
) -> Path:
    """The tokenizer's folder, with a token in ``tokenizer.json``, the configuration or ``added_tokens.json``."""
    tokenizer.save(folder)
    spec = json.loads((folder / "tokenizer.json").read_text())
    content = json.loads((folder / "tokenizer_config.json").read_text()) | config
    content.pop("added_tokens_decoder")
    if in_vocabulary is not None:
        spec["added_tokens"].append({"id": 1000, **in_vocabulary})
    if decoder is not None:
        content["added_tokens_decoder"] = decoder
    if by_name is not None:
        (folder / "added_tokens.json").write_text(json.dumps(by_name))
    spec["normalizer"] = {"type": "NFC"}
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    (folder / "tokenizer_config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("name", FLAGS[:4])
@pytest.mark.parametrize("places", ["vocabulary", "decoder", "both", "both, the other way"])
def test_flags_of_added_tokens_count_as_in_transformers(
    byte_level: Tokenizer, name: str, places: str, tmp_path: Path
) -> None:
    flagged, plain = entry(**{name: True}), entry()
    vocabulary, decoder = {
        "vocabulary": (flagged, None),
        "decoder": (None, {"1000": flagged}),
        "both": (plain, {"1000": flagged}),
        "both, the other way": (flagged, {"1000": plain}),
    }[places]
    folder = folder_of(byte_level, tmp_path / "folder", in_vocabulary=vocabulary, decoder=decoder)
    ours, theirs = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    ours.save(tmp_path / "saved")
    saved = transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")
    for text in TEXTS:
        assert ours.encode(text) == theirs(text)["input_ids"] == saved(text)["input_ids"], text
        assert load_tokenizer(tmp_path / "saved").encode(text) == ours.encode(text)
    (written,) = (token for token in ours.spec["added_tokens"] if token["id"] == 1000)
    assert written[name] == (places != "both, the other way")


def test_flags_that_are_left_out_and_ids_that_differ(byte_level: Tokenizer, tmp_path: Path) -> None:
    """As in transformers: what is not stated is the default, and a token keeps the id of its vocabulary."""
    listed = entry(lstrip=True, special=True)
    folder = folder_of(byte_level, tmp_path, in_vocabulary=listed, decoder={"5": {"content": TOKEN}})
    ours, theirs = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    (written,) = (token for token in ours.spec["added_tokens"] if token["content"] == TOKEN)
    # the library passes over a token that is special in either
    assert written == entry(normalized=True, special=True) | {"id": 1000}
    ids = theirs("a QQ b")["input_ids"]
    assert 1000 in ids and theirs.decode(ids, skip_special_tokens=True) == ours.decode(ids) == "a  b"


@pytest.mark.parametrize("flags", [{}, {"rstrip": True}, {"lstrip": True}])
def test_a_chat_template_is_encoded_with_the_flags(
    byte_level: Tokenizer, flags: dict[str, bool], tmp_path: Path
) -> None:
    template = (
        "{% for m in messages %}{{ '<|user|>\\n' + m.content + '<|end|>\\n' }}{% endfor %}<|assistant|>\n"
    )
    tokens = ("<|user|>", "<|end|>", "<|assistant|>")
    decoder = {
        str(1000 + number): entry(special=True, **flags) | {"content": token}
        for number, token in enumerate(tokens)
    }
    folder = folder_of(byte_level, tmp_path, decoder=decoder, chat_template=template)
    ours, theirs = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    expected = theirs.apply_chat_template([{"role": "user", "content": " hello "}])["input_ids"]
    assert encode_chat(ours, [Message("user", " hello ")]) == expected


# ------------------------------------------------------------------------------------ added_tokens.json


@pytest.mark.parametrize("kind", ["llama", "byte_level"])
def test_tokens_by_name_are_text(request: pytest.FixtureRequest, kind: str, tmp_path: Path) -> None:
    """White space as in Phi's files: it vanished, because such tokens counted as special."""
    tokenizer: Tokenizer = request.getfixturevalue(kind)
    names = {" " * 12: 1000, "\t\t": 1001, TOKEN: 1002}
    ours = load_tokenizer(folder_of(tokenizer, tmp_path, by_name=names))
    for text, token in ((f"x{' ' * 12}return", 1000), ("x\n\t\ty", 1001), ("x QQ", 1002)):
        ids = ours.encode(text)
        assert token in ids and ours.decode(ids) == text
    assert not {1000, 1001, 1002} & ours.special_ids
    if kind == "byte_level":
        theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)
        for text in (*TEXTS, "def f():\n" + " " * 13 + "return\t\t\tx"):
            ids = theirs(text)["input_ids"]
            assert ours.encode(text) == ids and ours.decode(ids) == theirs.decode(
                ids, skip_special_tokens=True
            )


@pytest.mark.parametrize(
    ("config", "special"),
    [
        ({}, False),
        ({"pad_token": TOKEN}, True),
        ({"sep_token": TOKEN}, True),
        ({"additional_special_tokens": [TOKEN]}, True),
        ({"extra_special_tokens": [TOKEN]}, True),
        ({"additional_special_tokens": ["<s>"]}, False),
    ],
)
def test_tokens_by_name_are_special_where_the_configuration_says_so(
    byte_level: Tokenizer, config: dict[str, Any], special: bool, tmp_path: Path
) -> None:
    folder = folder_of(byte_level, tmp_path, by_name={TOKEN: 1000}, **config)
    ours, theirs = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    assert (1000 in ours.special_ids) == special
    assert (
        theirs.decode([1000], skip_special_tokens=True) == ours.decode([1000]) == ("" if special else TOKEN)
    )


def test_the_vocabulary_counts_before_tokens_by_name(byte_level: Tokenizer, tmp_path: Path) -> None:
    listed = entry(special=True, rstrip=True)
    ours = load_tokenizer(folder_of(byte_level, tmp_path, in_vocabulary=listed, by_name={TOKEN: 1000}))
    assert {"id": 1000, **listed} in ours.spec["added_tokens"]


# ------------------------------------------------------------------------------------ lists of special tokens

LISTS: list[dict[str, Any]] = [
    {"additional_special_tokens": [TOKEN]},
    {"extra_special_tokens": [TOKEN, TOKEN, ""]},
    {"extra_special_tokens": {"some_token": TOKEN}},
    {"additional_special_tokens": [TOKEN], "extra_special_tokens": {}},
]


@pytest.mark.parametrize("config", LISTS)
def test_special_tokens_outside_the_vocabulary_are_added_and_named(
    byte_level: Tokenizer, config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = folder_of(byte_level, tmp_path / "folder", **config)
    with caplog.at_level(logging.WARNING):
        ours = load_tokenizer(folder)
    (message,) = caplog.messages
    assert str(folder) in message and "from 1000 on: QQ" in message
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert ours.vocab_size == len(theirs) == 1001
    assert ours.vocabulary[TOKEN] == theirs.convert_tokens_to_ids(TOKEN) == 1000
    for text in TEXTS:
        assert ours.encode(text) == theirs(text, split_special_tokens=True)["input_ids"]
    ours.save(tmp_path / "saved")
    caplog.clear()
    assert load_tokenizer(tmp_path / "saved").spec == ours.spec and not caplog.messages


@pytest.mark.parametrize("decoder", [None, {}])
def test_lists_of_the_other_file_are_those_of_transformers(
    byte_level: Tokenizer, decoder: dict[str, Any] | None, tmp_path: Path
) -> None:
    folder = folder_of(byte_level, tmp_path, decoder=decoder)
    (folder / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": [TOKEN]}))
    ours, theirs = load_tokenizer(folder), transformers.AutoTokenizer.from_pretrained(folder)
    assert (TOKEN in ours.vocabulary) == (TOKEN in theirs.get_vocab()) == (decoder is None)


def test_special_tokens_of_the_vocabulary_are_special(
    byte_level: Tokenizer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    flags = {**entry(rstrip=True), "content": "self", "__type": "AddedToken"}
    ours = load_tokenizer(folder_of(byte_level, tmp_path, additional_special_tokens=["def", flags]))
    ids = [byte_level.vocabulary[name] for name in ("def", "self")]
    assert set(ids) <= ours.special_ids and ours.decode(ids) == "" and not caplog.messages
    assert not set(ids) & set(ours.encode("def self")) and ours.decode(ours.encode("def self")) == "def self"
    assert [token["rstrip"] for token in ours.spec["added_tokens"] if token["id"] in ids] == [False, True]


@pytest.mark.parametrize("config", LISTS)
def test_special_tokens_without_a_row_are_left_out(
    byte_level: Tokenizer, config: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The model has no row for such a token, so that the folder that is written does not name it any more."""
    ours = load_tokenizer(folder_of(byte_level, tmp_path / "folder", **config)).within(1000, "model")
    assert ours.vocab_size == 1000 and "have no row in the model and are left out: QQ" in caplog.text
    ours.save(tmp_path / "saved")
    assert len(transformers.AutoTokenizer.from_pretrained(tmp_path / "saved")) == 1000


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("QQ", "must be a list (got 'QQ')"),
        ([5], "must hold texts (got 5)"),
        ({"a": None}, "must hold texts (got None)"),
        ([{"no": "content"}], "content: must be text"),
        ([{"content": "a", "lstrip": 5}], "lstrip: must be true or false"),
    ],
)
@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
def test_lists_of_special_tokens_that_are_none(
    byte_level: Tokenizer, value: Any, words: str, file: str, tmp_path: Path
) -> None:
    folder = folder_of(byte_level, tmp_path)
    content = json.loads((folder / file).read_text()) | {"additional_special_tokens": value}
    (folder / file).write_text(json.dumps(content))
    with pytest.raises(UserError) as error:
        load_tokenizer(folder)
    assert f"{folder / file}: additional_special_tokens" in str(error.value) and words in str(error.value)
