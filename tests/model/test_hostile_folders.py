"""Folders that somebody broke, or made to break a reader: each is refused with a sentence, in little time."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import (
    ADDED,
    CONFIG,
    GENERATION,
    INDEX,
    PIECES,
    SPECIAL,
    TEMPLATE,
    TOKENIZER,
    TOKENIZER_CONFIG,
    WEIGHTS,
    change,
    change_at,
    limited,
    use,
)
from safetensors.torch import load_file, save_file

from codecascade.cli import main
from codecascade.ground.errors import UserError
from codecascade.model.folder import load_folder
from codecascade.model.llama import Llama
from codecascade.model.weights import expected_shapes

MakeModel = Callable[..., Llama]
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
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "levels"),
        (b'{"a": ' + b'{"b":' * 100_000 + b"1" + b"}" * 100_001, "levels"),
        (b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}", "levels"),
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
