"""Folders that somebody broke, or made to break a reader: each is refused with a sentence, in little time."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import limited, use
from safetensors.torch import load_file, save_file

from codecascade.cli import main
from codecascade.errors import UserError
from codecascade.model.folder import load_folder, save_folder
from codecascade.model.llama import Llama
from codecascade.model.weights import expected_shapes
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer
from codecascade.tokens.training import train_tokenizer

MakeModel = Callable[..., Llama]
CONFIG, GENERATION, INDEX, WEIGHTS = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "model.safetensors",
)
TOKENIZER, TOKENIZER_CONFIG, SPECIAL, ADDED, TEMPLATE = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
)
PIECES = "tokenizer.model"
FILES = (CONFIG, GENERATION, WEIGHTS, TOKENIZER, TOKENIZER_CONFIG, SPECIAL, ADDED, TEMPLATE)
JSON_FILES = (CONFIG, GENERATION, INDEX, TOKENIZER, TOKENIZER_CONFIG, SPECIAL, ADDED)
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
)
WRONG: tuple[Any, ...] = (
    10**11,
    1e300,
    float("inf"),
    float("nan"),
    10**400,
    "8",
    [8],
    {"a": 1},
    True,
    0,
    -1,
    2.5,
)


@pytest.fixture(scope="module")
def whole(make_model: MakeModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "model"
    tokenizer = train_tokenizer(
        ["def add(first, second):\n    return first + second\n"] * 4, 300, kind="bytes"
    )
    model = make_model()
    save_folder(folder, model, model.config, tokenizer)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "model"))


def change(path: Path, **changes: Any) -> None:
    data = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**data, **changes}))


def change_at(path: Path, keys: tuple[str | int, ...], value: Any) -> None:
    data = json.loads(path.read_text())
    place = data
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    path.write_text(json.dumps(data))


def test_the_folder_is_sound(folder: Path) -> None:
    assert use(folder) is None


# ---------------------------------------------------------------- what a name stands for


def shards(folder: Path) -> None:
    """The same weights as one shard with an index."""
    names = load_file(folder / WEIGHTS).keys()
    (folder / WEIGHTS).rename(folder / "shard.safetensors")
    (folder / INDEX).write_text(json.dumps({"weight_map": dict.fromkeys(names, "shard.safetensors")}))


def as_folder(path: Path) -> None:
    path.mkdir()


def as_pipe(path: Path) -> None:
    os.mkfifo(path)


def as_endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def as_dangling(path: Path) -> None:
    path.symlink_to("nowhere")


def as_loop(path: Path) -> None:
    path.symlink_to(path.name)


def as_pointer(path: Path) -> None:
    path.write_text(POINTER)


@pytest.mark.parametrize("name", [*FILES, INDEX, "shard.safetensors", PIECES])
@pytest.mark.parametrize(
    ("make", "words"),
    [
        (as_folder, "is a folder"),
        (as_pipe, "is a pipe, a socket or a device"),
        (as_endless, "is a pipe, a socket or a device"),
        (as_dangling, "is a link to a file that is not there"),
        (as_loop, "can't be opened"),
        (as_pointer, "run `git lfs pull`"),
    ],
    ids=["folder", "pipe", "endless", "dangling", "loop", "pointer"],
)
def test_what_is_no_file(folder: Path, name: str, make: Callable[[Path], None], words: str) -> None:
    if name in (INDEX, "shard.safetensors"):
        shards(folder)
    if name == PIECES:
        (folder / TOKENIZER).unlink()
    if name == ADDED:
        data = json.loads((folder / TOKENIZER_CONFIG).read_text())
        del data["added_tokens_decoder"]
        (folder / TOKENIZER_CONFIG).write_text(json.dumps(data))
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    message = use(folder)
    assert message is not None and words in message and f"{folder / name}: " in message


@pytest.mark.parametrize("name", [CONFIG, TOKENIZER, TEMPLATE, PIECES])
def test_a_size_that_no_such_file_has(folder: Path, name: str) -> None:
    if name == PIECES:
        (folder / TOKENIZER).unlink()
    with open(folder / name, "ab") as file:
        file.truncate(200 << 20)  # a hole: it takes no room
    assert "is larger than" in str(use(folder))


# ---------------------------------------------------------------- JSON


@pytest.mark.parametrize("name", JSON_FILES)
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not valid JSON"),
        (b"\xff\xfe{}", "is not valid JSON"),
        (b'{"a": "\x00"}', "is not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "thousands of digits"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "levels deep"),
        (b'{"a": ' + b'{"b":' * 100_000 + b"1" + b"}" * 100_001, "levels deep"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "levels deep"),
        (b"[1]", ""),
        (b"7", ""),
        (b"null", ""),
    ],
    ids=["empty", "utf16", "nul", "digits", "lists", "objects", "100 levels", "list", "number", "null"],
)
def test_json_that_is_none(folder: Path, name: str, content: bytes, words: str) -> None:
    if name == INDEX:
        shards(folder)
    if name == ADDED:
        (folder / TOKENIZER_CONFIG).unlink()
    (folder / name).write_bytes(content)
    message = use(folder)
    assert message is not None and words in message and name in message


def test_marks_of_byte_order_and_keys_that_come_twice(folder: Path) -> None:
    """A BOM is passed over; of two values the last counts, as for transformers."""
    for name in (CONFIG, TOKENIZER, TOKENIZER_CONFIG):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    text = (folder / CONFIG).read_text(encoding="utf-8-sig")
    (folder / CONFIG).write_text(text.replace('"hidden_size"', '"hidden_size": 64, "hidden_size"'))
    assert use(folder) is None


# ---------------------------------------------------------------- config.json


@pytest.mark.parametrize("key", SIZES)
def test_sizes(folder: Path, key: str) -> None:
    for value in WRONG:
        change(folder / CONFIG, **{key: value})
        message = use(folder, seconds=5)
        assert message is not None and f"{CONFIG}: {key}: " in message, value


@pytest.mark.parametrize("key", ["rms_norm_eps", "rope_theta"])
def test_numbers(folder: Path, key: str) -> None:
    for value in (1e300, float("inf"), float("nan"), 10**400, "8", [8], {"a": 1}, True, 0, -1):
        change(folder / CONFIG, rope_parameters=None, **{key: value})
        message = use(folder, seconds=5)
        assert message is not None and f"{CONFIG}: {key}: " in message, value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"num_hidden_layers": 10**6}, "num_hidden_layers: must be at most 4,096"),
        ({"num_hidden_layers": 4096}, "lacks the tensors model.layers.2."),
        (
            {
                "vocab_size": 2**22,
                "hidden_size": 2**18,
                "num_hidden_layers": 4000,
                "intermediate_size": 2**22,
            },
            "more than any model",
        ),
        ({"vocab_size": 10**6}, "has the shape (320, 32)"),
        ({"layer_types": 5}, "layer_types"),
        ({"layer_types": [[]]}, "layer_types"),
        ({"model_type": []}, "model_type"),
        ({"model_type": {}}, "model_type"),
        ({"model_type": "x" * 10**6}, "model_type"),
        ({"hidden_act": []}, "hidden_act"),
        ({"model_type": "mistral", "sliding_window": "8"}, "sliding_window: must be an integer"),
        ({"use_sliding_window": 5}, "use_sliding_window"),
        ({"attention_bias": "no"}, "attention_bias"),
        ({"rope_scaling": [1], "rope_parameters": None}, "rope_scaling"),
        ({"rope_scaling": {"type": []}, "rope_parameters": None}, "rope_scaling.rope_type"),
        (
            {"rope_scaling": {"type": "linear", "factor": float("nan")}, "rope_parameters": None},
            "rope_scaling.factor",
        ),
        ({"rope_scaling": {"type": "linear", "factor": 0}, "rope_parameters": None}, "rope_scaling.factor"),
        (
            {
                "rope_scaling": {
                    "type": "llama3",
                    "factor": 8,
                    "low_freq_factor": 4,
                    "high_freq_factor": 4,
                },
                "rope_parameters": None,
            },
            "rope_scaling.high_freq_factor",
        ),
        ({"rope_parameters": {"partial_rotary_factor": 0.5}}, "partial_rotary_factor"),
        ({"eos_token_id": "2"}, "eos_token_id: must be an id"),
        ({"eos_token_id": [2, 2.0]}, "eos_token_id: must be an id"),
        ({"eos_token_id": {"a": 1}}, "eos_token_id: must be an id"),
    ],
)
def test_other_values(folder: Path, changes: dict[str, Any], words: str) -> None:
    change(folder / CONFIG, **changes)
    message = use(folder, seconds=5)
    assert message is not None and words in message


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
        (TOKENIZER, ("normalizer",), {"type": []}, "not a tokenizer that can be read"),
        (TOKENIZER, ("normalizer",), {"no": "type"}, "not a tokenizer that can be read"),
        (TOKENIZER, ("normalizer",), 5, "not a tokenizer that can be read"),
        (TOKENIZER, ("pre_tokenizer",), {"type": "Nothing"}, "not a tokenizer that can be read"),
        (TOKENIZER, ("decoder",), [], "not a tokenizer that can be read"),
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
    step = {"type": "Replace", "pattern": {"Regex": ""}, "content": "a" * 1000}
    change_at(folder / TOKENIZER, ("normalizer",), step)
    assert "normalizer: can make a text" in str(use(folder))


def test_what_makes_the_library_panic_is_a_sentence(folder: Path) -> None:
    """A pattern that backtracks without end panics while a text is encoded, a template without its tokens before."""
    split = {
        "type": "Split",
        "pattern": {"Regex": r"(a+)+(a+)+(a+)+(a+)+$b"},
        "behavior": "Isolated",
        "invert": False,
    }
    whole = json.loads((folder / TOKENIZER).read_text())
    change(folder / TOKENIZER, pre_tokenizer=split)
    assert "can't encode this text" in str(use(folder))
    template = [{"SpecialToken": {"id": "<none>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    post = {"type": "TemplateProcessing", "single": template, "pair": template, "special_tokens": {}}
    change(folder / TOKENIZER, pre_tokenizer=whole["pre_tokenizer"], post_processor=post)
    assert "not a tokenizer that can be read" in str(use(folder))


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


# ---------------------------------------------------------------- weights


@pytest.mark.parametrize(
    "file", [5, ["a"], {"a": 1}, None, True, "/etc/passwd", "../model/shard.safetensors", ".", ""]
)
def test_an_index_names_files_of_its_folder(folder: Path, file: Any) -> None:
    shards(folder)
    change_at(folder / INDEX, ("weight_map", "model.norm.weight"), file)
    assert f"{INDEX}: weight_map.'model.norm.weight': must name a file of this folder" in str(use(folder))


@pytest.mark.parametrize("file", ["x" * 5000 + ".safetensors", "absent.safetensors", "a/b.safetensors"])
def test_an_index_names_files_that_are_there(folder: Path, file: str) -> None:
    shards(folder)
    change_at(folder / INDEX, ("weight_map", "model.norm.weight"), file)
    with pytest.raises(UserError, match="is missing, though"):
        load_folder(folder)


def header(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    data = (folder / WEIGHTS).read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    content = json.loads(data[8 : 8 + length])
    edit(content)
    new = json.dumps(content).encode()
    new += b" " * (-len(new) % 8)
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", len(new)) + new + data[8 + length :])


NORM = "model.norm.weight"


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content[NORM].update(shape=[2**62]),
        lambda content: content[NORM].update(shape=[-1]),
        lambda content: content[NORM].update(shape=[2**40, 2**40]),
        lambda content: content[NORM].update(data_offsets=[0, 2**62]),
        lambda content: content[NORM].update(dtype="F99"),
        lambda content: content[NORM].update(dtype="F16"),
        lambda content: content.update({NORM: 5}),
        lambda content: content.update({"x" * 10**6: content[NORM]}),
    ],
)
def test_headers_that_lie(folder: Path, edit: Callable[[dict[str, Any]], Any]) -> None:
    header(folder, edit)
    assert f"{WEIGHTS}: is not a whole safetensors file" in str(use(folder))[: len(str(folder)) + 200]


@pytest.mark.parametrize("length", [0, 2**40, 2**63, 2**64 - 1])
def test_a_header_of_another_length(folder: Path, length: int) -> None:
    data = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(struct.pack("<Q", length) + data[8:])
    assert "is not a whole safetensors file" in str(use(folder))


def test_very_many_tensors(folder: Path) -> None:
    save_file({f"extra.{n}": torch.zeros(1) for n in range(50_000)}, folder / WEIGHTS)
    message = use(folder, seconds=15)
    assert message is not None and "lacks the tensors" in message and "and 16 more" in message


def test_shapes_by_arithmetic_are_the_models(make_model: MakeModel, variant: dict[str, Any]) -> None:
    model = make_model(**variant)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert dict(expected_shapes(model.config)) == shapes


# ---------------------------------------------------------------- what a user sees


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (CONFIG, '{"model_type": []}'),
        (TOKENIZER, "[" * 100_000),
        (WEIGHTS, POINTER),
        (SPECIAL, "[[1]]"),
    ],
)
def test_the_exit_code_is_2_and_there_is_no_traceback(
    folder: Path, name: str, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_text(content)
    with limited(20), pytest.raises(SystemExit) as ended:
        main(["complete", str(folder), "--prompt", "x", "--max-new-tokens", "2"])
    err = capsys.readouterr().err
    assert ended.value.code == 2 and "Traceback" not in err and "error: " in err


def test_the_fixture_tokenizer_is_unchanged(whole: Path, tokenizer: Tokenizer) -> None:
    """Nothing above writes into what the tests share."""
    assert use(whole) is None and tokenizer.vocab_size
