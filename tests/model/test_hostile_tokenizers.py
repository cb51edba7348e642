"""Tokenizer files that somebody broke, or made to break a reader: each is refused with a sentence, in little time."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hostile import (
    ADDED,
    GENERATION,
    PIECES,
    SPECIAL,
    TEMPLATE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    change,
    change_at,
    limited,
    use,
)

from codecascade.ground.errors import UserError
from codecascade.tokens.files.sentencepiece import NORMAL, SentencePiece, spec_from_pieces
from codecascade.tokens.tokenizer import load_tokenizer

# ---------------------------------------------------------------- the tokenizer


@pytest.mark.parametrize(
    ("name", "keys", "value", "words"),
    [
        (TOKENIZER, ("model",), [], "model must be an object"),
        (TOKENIZER, ("model", "type"), "WordPiece", "only byte-pair"),
        (TOKENIZER, ("model", "type"), [], "only byte-pair"),
        (TOKENIZER, ("model", "vocab"), {}, "model.vocab: is empty"),
        (TOKENIZER, ("model", "vocab"), ["a"], "model.vocab must be an object"),
        (TOKENIZER, ("model", "vocab", "a"), 10**11, "model.vocab: the id of 'a'"),
        (TOKENIZER, ("model", "vocab", "a"), -1, "model.vocab: the id of 'a'"),
        (TOKENIZER, ("model", "vocab", "a"), 1.5, "model.vocab: the id of 'a'"),
        (TOKENIZER, ("model", "vocab", "a"), True, "model.vocab: the id of 'a'"),
        (TOKENIZER, ("model", "merges"), "a b", "model.merges: must be a list"),
        (TOKENIZER, ("model", "merges"), [5], "model.merges[0]: must be two pieces"),
        (TOKENIZER, ("model", "merges"), ["a b c"], "model.merges[0]: must be two pieces"),
        (TOKENIZER, ("model", "merges"), ["zz yy"], "not a tokenizer that can be read"),
        (TOKENIZER, ("model", "continuing_subword_prefix"), "#" * 10**6, "continuing_subword_prefix"),
        (TOKENIZER, ("added_tokens",), {}, "added_tokens: must be a list"),
        (TOKENIZER, ("added_tokens", 0), 5, "added_tokens[0] must be an object"),
        (TOKENIZER, ("added_tokens", 0, "content"), 5, "added_tokens[0].content"),
        (TOKENIZER, ("added_tokens", 0, "content"), "", "added_tokens[0].content: is empty"),
        (TOKENIZER, ("added_tokens", 0, "id"), 10**11, "added_tokens[0].id"),
        (TOKENIZER, ("added_tokens", 0, "special"), "no", "added_tokens[0].special"),
        (TOKENIZER, ("normalizer",), {"type": "Precompiled", "precompiled_charsmap": "x"}, "'Precompiled'"),
        (TOKENIZER, ("normalizer",), {"type": "Prepend", "prepend": "x" * 10**6}, "normalizer: prepends"),
        (TOKENIZER, ("normalizer",), {"type": []}, "normalizer: must be an object with a type"),
        (TOKENIZER, ("normalizer",), {"no": "type"}, "normalizer: must be an object with a type"),
        (TOKENIZER, ("normalizer",), 5, "normalizer: must be an object with a type"),
        (TOKENIZER, ("normalizer",), {"type": "Sequence"}, "normalizer: is a sequence without a list"),
        (TOKENIZER, ("pre_tokenizer",), {"type": "Sequence", "pretokenizers": [5]}, "pretokenizers[0] must"),
        (TOKENIZER, ("post_processor",), "x", "post_processor: must be an object with a type"),
        (TOKENIZER, ("post_processor",), {"type": "BertProcessing", "cls": 5}, "post_processor: has a step"),
        (TOKENIZER, ("post_processor",), {"type": "TemplateProcessing"}, "post_processor: has a step"),
        (TOKENIZER, ("added_tokens", 0, "lstrip"), None, "added_tokens[0].lstrip: is missing"),
        (TOKENIZER, ("pre_tokenizer",), {"type": "Nothing"}, "not a tokenizer that can be read"),
        (TOKENIZER, ("decoder",), [], "decoder: must be an object with a type"),
        (TOKENIZER_CONFIG, ("eos_token",), 5, f"{TOKENIZER_CONFIG}: eos_token: must be text"),
        (TOKENIZER_CONFIG, ("eos_token",), {"no": "content"}, f"{TOKENIZER_CONFIG}: eos_token: must be text"),
        (TOKENIZER_CONFIG, ("pad_token",), ["a"], f"{TOKENIZER_CONFIG}: pad_token: must be text"),
        (TOKENIZER_CONFIG, ("add_bos_token",), "false", f"{TOKENIZER_CONFIG}: add_bos_token"),
        (TOKENIZER_CONFIG, ("chat_template",), 5, f"{TOKENIZER_CONFIG}: chat_template"),
        (TOKENIZER_CONFIG, ("chat_template",), [5], f"{TOKENIZER_CONFIG}: chat_template"),
        (TOKENIZER_CONFIG, ("chat_template",), [{"name": "default", "template": 5}], "chat_template"),
        (TOKENIZER_CONFIG, ("chat_template",), "x" * 2_000_000, "chat_template: is longer"),
        (TOKENIZER_CONFIG, ("added_tokens_decoder",), [], "added_tokens_decoder: must be an object"),
        (
            TOKENIZER_CONFIG,
            ("added_tokens_decoder",),
            {"x": {"content": "a"}},
            "added_tokens_decoder.'x': is no id",
        ),
        (TOKENIZER_CONFIG, ("added_tokens_decoder",), {"9" * 5000: {"content": "a"}}, "is no id"),
        (TOKENIZER_CONFIG, ("added_tokens_decoder",), {"²": {"content": "a"}}, "is no id"),
        (
            TOKENIZER_CONFIG,
            ("added_tokens_decoder",),
            {"9": 5},
            "added_tokens_decoder.'9': must be an object",
        ),
        (
            TOKENIZER_CONFIG,
            ("added_tokens_decoder",),
            {"9": {"content": 5}},
            "added_tokens_decoder.'9'.content",
        ),
    ],
)
def test_values_of_a_tokenizer(
    folder: Path, name: str, keys: tuple[str | int, ...], value: Any, words: str
) -> None:
    change_at(folder / name, keys, value)
    message = use(folder)
    assert message is not None and words in message and name in message


def test_a_normalizer_that_makes_much_of_little(folder: Path) -> None:
    step = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 10}
    change_at(folder / TOKENIZER, ("normalizer",), {"type": "Sequence", "normalizers": [step] * 9})
    assert "normalizer: can make a text more than 256 times as long" in str(use(folder))
    change_at(folder / TOKENIZER, ("normalizer",), {"type": "Sequence", "normalizers": [step] * 2})
    assert use(folder) is None
    step = {"type": "Replace", "pattern": {"Regex": "a"}, "content": "a" * 1000}
    change_at(folder / TOKENIZER, ("normalizer",), step)
    assert "normalizer: can make a text" in str(use(folder))


@pytest.mark.parametrize(
    ("pattern", "words"), [("", "an empty text"), ("a*", "an empty text"), ("(", "be read")]
)
def test_a_normalizer_that_replaces_nothing(
    folder: Path, pattern: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library panics on it, and writes to standard error as it does."""
    step = {"type": "Replace", "pattern": {"Regex": pattern}, "content": "x"}
    change_at(folder / TOKENIZER, ("normalizer",), step)
    message = str(use(folder))
    assert "normalizer: " in message and words in message
    assert capfd.readouterr().err == ""


def test_a_subword_prefix_that_merges_do_not_have(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    change_at(folder / TOKENIZER, ("model", "continuing_subword_prefix"), "##")
    assert "model.continuing_subword_prefix: " in str(use(folder))
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("name", ["x" * 100_000, "\x1b[31m", "\u202e"])
def test_names_in_messages_are_short_and_printable(
    folder: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = json.loads((folder / TOKENIZER_CONFIG).read_text())
    for key in ("bos_token", "eos_token"):
        (folder / TOKENIZER_CONFIG).write_text(json.dumps({**before, key: name}))
        message = use(folder)
        assert message is not None and f"{TOKENIZER_CONFIG}: {key}: " in message and message.isprintable()
    (folder / TOKENIZER_CONFIG).write_text(json.dumps(before))
    whole = json.loads((folder / TOKENIZER).read_text())
    more = [
        {**whole["added_tokens"][0], "id": 286 + number, "content": f"{number}{name}"} for number in range(40)
    ]
    change(folder / TOKENIZER, added_tokens=[*whole["added_tokens"], *more])
    assert use(folder) is None
    assert "6 tokens from id 320 on have no row" in caplog.text and len(caplog.text) < 1000


def test_many_ends_beyond_the_vocabulary_make_a_short_message(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(folder / "generation_config.json", eos_token_id=list(range(100_000)))
    assert use(folder) is None
    assert "286, 287, 288, 289, 290" in caplog.text and "99,706 more is passed over" in caplog.text


@pytest.mark.parametrize("pattern", [r"(a+)+(a+)+(a+)+(a+)+$b", r"(?:\p{L}|a)+$", "(?:(?:a{999}){999}){999}"])
def test_a_pattern_that_backtracks_without_end_is_never_used(
    folder: Path, pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """The library would panic after ten million ways, write so to standard error, or be busy for hours."""
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    change(folder / TOKENIZER, pre_tokenizer={"type": "Sequence", "pretokenizers": [split]})
    message = str(use(folder))
    assert "pre_tokenizer: has a pattern that can take endless time" in message and "a" in message
    change(folder / TOKENIZER, pre_tokenizer=None)
    change(folder / TOKENIZER, normalizer={"type": "Replace", "pattern": {"Regex": pattern}, "content": "x"})
    assert "normalizer: has a pattern that can take endless time" in str(use(folder))
    assert capfd.readouterr().err == ""


def test_what_makes_the_library_panic_is_a_sentence(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Words of no characters, and a template of a text that names tokens which it does not define."""
    whole = json.loads((folder / TOKENIZER).read_text())
    change(folder / TOKENIZER, pre_tokenizer={"type": "FixedLength", "length": 0})
    assert "length: must be" in str(use(folder))
    template = [{"SpecialToken": {"id": "<none>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    post = {"type": "TemplateProcessing", "single": template, "pair": template, "special_tokens": {}}
    change(folder / TOKENIZER, pre_tokenizer=whole["pre_tokenizer"], post_processor=post)
    assert "post_processor: has a step that lacks something" in str(use(folder))
    assert capfd.readouterr().err == ""


def test_an_unknown_token_that_is_not_there(folder: Path) -> None:
    change_at(folder / TOKENIZER, ("model", "unk_token"), "<nope>")
    assert use(folder) is None  # all bytes are there: nothing ever asks for it
    vocab = json.loads((folder / TOKENIZER).read_text())["model"]["vocab"]
    letter = next(piece for piece in vocab if len(piece) == 1 and not piece.isascii())
    merges = json.loads((folder / TOKENIZER).read_text())["model"]["merges"]
    change_at(folder / TOKENIZER, ("model", "vocab"), {p: i for p, i in vocab.items() if p != letter})
    change_at(folder / TOKENIZER, ("model", "merges"), [m for m in merges if letter not in str(m)])
    assert "model.unk_token: '<nope>' is not in the vocabulary" in str(use(folder))


@pytest.mark.parametrize("name", [GENERATION, TOKENIZER, TOKENIZER_CONFIG, SPECIAL])
def test_half_of_a_surrogate_pair(folder: Path, name: str) -> None:
    change(folder / name, note="\ud800")
    assert name in str(use(folder))


@pytest.mark.parametrize("content", [b"\xff", b"{% \xff %}"])
def test_a_template_that_is_not_text(folder: Path, content: bytes) -> None:
    (folder / TEMPLATE).write_bytes(content)
    assert f"{TEMPLATE}: is not UTF-8" in str(use(folder))


def test_a_template_of_many_beginnings_takes_no_time(folder: Path) -> None:
    (folder / TEMPLATE).write_text("<|im_start|>system\n" + "<|im_start|>system\nx" * 40_000)
    assert use(folder, seconds=10) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"a": "b"}, "'a'.id"),
        ({"a": 10**11}, "'a'.id"),
        ({"": 5}, "content: is empty"),
        ({"new": 999}, "can't have id"),
    ],
)
def test_added_tokens(folder: Path, content: dict[str, Any], words: str) -> None:
    (folder / TOKENIZER_CONFIG).write_text('{"eos_token": "<|endoftext|>"}')
    (folder / ADDED).write_text(json.dumps(content))
    assert words in str(use(folder))


# ---------------------------------------------------------------- SentencePiece


def varint(number: int) -> bytes:
    data = b""
    while number > 127:
        data += bytes([number & 127 | 128])
        number >>= 7
    return data + bytes([number])


def message(*fields: tuple[int, Any]) -> bytes:
    """A protocol-buffer message: numbers as varints, bytes as they are, floats in four bytes."""
    data = b""
    for number, value in fields:
        if isinstance(value, float):
            data += varint(number << 3 | 5) + struct.pack("<f", value)
        elif isinstance(value, int):
            data += varint(number << 3) + varint(value)
        else:
            data += varint(number << 3 | 2) + varint(len(value)) + value
    return data


def pieces_file(*texts: str, trainer: bytes = b"", normalizer: bytes = message((3, 1), (4, 0))) -> bytes:
    first = [
        message((1, name), (2, 0.0), (3, kind)) for name, kind in ((b"<unk>", 2), (b"<s>", 3), (b"</s>", 3))
    ]
    first += [message((1, f"<0x{byte:02X}>".encode()), (2, 0.0), (3, 6)) for byte in range(256)]
    others = [message((1, text.encode()), (2, -float(place))) for place, text in enumerate(texts)]
    return message(*((1, piece) for piece in first + others), (2, message((3, 2)) + trainer), (3, normalizer))


SOUND = pieces_file("▁", "a", "b", "ab")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (pieces_file("▁", "x" * 200_000), "200,000 characters long"),
        (pieces_file(trainer=message((40, b"x"), (41, b"y"))), "is not a SentencePiece model"),
        (pieces_file() + message((1, message((1, 5)))), "is not a SentencePiece model"),
        (pieces_file() + message((1, message((1, b"a"), (3, b"x")))), "is not a SentencePiece model"),
        (pieces_file() + message((1, message((1, b"a"), (2, float("nan"))))), "is no number"),
        (pieces_file() + message((1, message((1, b"\xff")))), "is not a SentencePiece model"),
        (pieces_file() + b"\xff" * 100_000, "is not a SentencePiece model"),
        (pieces_file() + b"\x0a" + varint(2**62), "is not a SentencePiece model"),
        (message((3, message((4, 0)))), "is not a SentencePiece model"),
        (pieces_file("a", "b", "a"), "pieces 259 and 261 are both 'a'"),
        (pieces_file("a", "</s>"), "pieces 2 and 260 are both '</s>'"),
        (pieces_file("a", ""), "piece 260 is empty"),
        (pieces_file(normalizer=message((4, 0), (5, 0))), "escape_whitespaces is false"),
    ],
)
def test_pieces(tmp_path: Path, data: bytes, words: str) -> None:
    (tmp_path / PIECES).write_bytes(SOUND)
    assert load_tokenizer(tmp_path).encode("ab")
    (tmp_path / PIECES).write_bytes(data)
    with limited(10), pytest.raises(UserError, match=words):
        load_tokenizer(tmp_path)


def test_long_pieces_among_short_ones_take_no_time(tmp_path: Path) -> None:
    """Work grows with the vocabulary, not with its square."""
    long = [f"{place:04}" + "x" * 1000 for place in range(4000)]
    (tmp_path / PIECES).write_bytes(pieces_file("▁", *"0123456789x", *long))
    with limited(20):
        assert load_tokenizer(tmp_path).vocab_size == 259 + 12 + 4000


def test_pieces_that_can_be_cut_in_too_many_ways() -> None:
    """Each beginning of a long piece is a piece: a file of some 500 kB would make half a million merges of 1 kB."""
    pieces = [SentencePiece("a" * length, -float(length), NORMAL) for length in range(1, 1000)]
    with limited(5), pytest.raises(UserError, match="more long pieces"):
        spec_from_pieces(pieces, dummy_prefix=True)
    assert len(spec_from_pieces(pieces[:100], dummy_prefix=True)["model"]["merges"]) == 99 * 100 // 2
