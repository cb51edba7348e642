"""GGUF files that somebody broke, or made to break a reader: each is refused with a sentence, in little time."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hostile import use
from raw_gguf import (
    ALIGNMENT,
    ARRAY,
    BOOL,
    F32,
    F64,
    I32,
    STRING,
    U8,
    U32,
    U64,
    Raw,
    RawGguf,
    RawTensor,
    array,
    gguf_name,
    plain,
    text,
    value,
)

from codecascade.model.llama import Llama
from codecascade.model.sources import load
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

TOKENS, SCORES, KINDS, MERGES = (
    f"tokenizer.ggml.{name}" for name in ("tokens", "scores", "token_type", "merges")
)
NUMBERS = (
    "llama.context_length",
    "llama.embedding_length",
    "llama.block_count",
    "llama.feed_forward_length",
    "llama.attention.head_count",
    "llama.attention.head_count_kv",
    "llama.attention.key_length",
    "llama.attention.layer_norm_rms_epsilon",
    "llama.rope.freq_base",
)
IDS = tuple(f"tokenizer.ggml.{name}_token_id" for name in ("bos", "eos", "unknown", "padding", "eot", "eom"))
ODD: dict[str, Raw] = {
    "text": plain("zz"),
    "array": array(F32, [1.0, 2.0, 3.0]),
    "empty": array(U32, []),
    "texts": array(STRING, ["a", "b"]),
    "nan": value(F64, float("nan")),
    "inf": value(F64, float("inf")),
    "1e300": value(F64, 1e300),
    "2**63": value(U64, 2**63),
    "0": plain(0),
    "-1": value(I32, -1),
    "true": plain(True),
}


@pytest.fixture(scope="module")
def byte_tokenizer() -> Tokenizer:
    return train_tokenizer(["def add(first, second):\n    return first + second\n"] * 4, 300, kind="bytes")


@pytest.fixture
def valid(make_model: Callable[..., Llama], byte_tokenizer: Tokenizer) -> RawGguf:
    """A file that loads."""
    model = make_model(vocab_size=300)
    names = sorted(byte_tokenizer.vocabulary, key=byte_tokenizer.vocabulary.__getitem__)
    tensors = [RawTensor.of(gguf_name(name), weights.numpy()) for name, weights in model.state_dict().items()]
    special = byte_tokenizer.special_ids
    keys: dict[str, Any] = {
        "general.architecture": "llama",
        "llama.context_length": 256,
        "llama.embedding_length": 32,
        "llama.block_count": 2,
        "llama.feed_forward_length": 80,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.attention.key_length": 8,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.freq_base": 10_000.0,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "default",
        TOKENS: names,
        SCORES: [0.0] * len(names),
        KINDS: [3 if byte_tokenizer.vocabulary[name] in special else 1 for name in names],
        MERGES: [m if isinstance(m, str) else " ".join(m) for m in byte_tokenizer.spec["model"]["merges"]],
        "tokenizer.ggml.eos_token_id": byte_tokenizer.eos_id,
        "tokenizer.chat_template": "{{ '<|im_start|>' + messages[0]['content'] + '<|im_end|>' }}",
    }
    return RawGguf({key: plain(content) for key, content in keys.items()}, tensors)


@pytest.fixture
def ask(valid: RawGguf, tmp_path: Path) -> Callable[..., str | None]:
    """Use a file with other keys, or with other bytes."""

    def ask(keys: dict[str, Raw] | None = None, **changes: Any) -> str | None:
        path = tmp_path / "m.gguf"
        path.write_bytes(replace(valid, keys={**valid.keys, **(keys or {})}, **changes).to_bytes())
        return use(path)

    return ask


def test_the_file_is_sound(ask: Callable[..., str | None]) -> None:
    assert ask() is None


@pytest.mark.parametrize("key", NUMBERS)
def test_numbers(key: str, ask: Callable[..., str | None]) -> None:
    for name, raw in ODD.items():
        message = ask({key: raw})
        assert message is not None and f"{key}: " in message, name


@pytest.mark.parametrize("key", IDS)
def test_ids(key: str, ask: Callable[..., str | None]) -> None:
    """What is no number is refused; what is no token's is passed over, as in llama.cpp."""
    for name in ("text", "array", "empty", "texts", "nan", "inf", "1e300", "true"):
        message = ask({key: ODD[name]})
        assert message is not None and f"{key}: must be an integer" in message, name
    for name in ("2**63", "-1", "0"):
        assert ask({key: ODD[name]}) is None, name


@pytest.mark.parametrize("key", [TOKENS, KINDS, MERGES])
def test_arrays(key: str, ask: Callable[..., str | None]) -> None:
    for name, raw in ODD.items():
        message = ask({key: raw})
        # "a" and "b" are no merges, but two tokens
        assert message is not None and (f"{key}: " in message or name == "texts"), name


@pytest.mark.parametrize(
    "key", ["general.architecture", "tokenizer.ggml.model", "tokenizer.ggml.pre", "split.count"]
)
def test_other_keys(key: str, ask: Callable[..., str | None]) -> None:
    for name, raw in ODD.items():
        if (key, name) != ("split.count", "0"):
            message = ask({key: raw})
            assert message is not None and f"{key}: " in message, name


def test_chat_templates(ask: Callable[..., str | None]) -> None:
    for name, raw in ODD.items():
        message = ask({"tokenizer.chat_template": raw})
        assert (
            message is None if name == "text" else "tokenizer.chat_template: must be text" in str(message)
        ), name


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (Raw(ARRAY, struct.pack("<IQ", U8, 2**62)), "is not a whole GGUF file"),
        (Raw(ARRAY, struct.pack("<IQ", STRING, 2**62)), "is not a whole GGUF file"),
        (Raw(ARRAY, struct.pack("<IQ", 99, 4)), "has a value of type 99"),
        (Raw(ARRAY, (struct.pack("<IQ", ARRAY, 1) * 5000) + struct.pack("<IQ", U8, 0)), "an array of arrays"),
        (Raw(STRING, struct.pack("<Q", 2**63) + b"x"), "is not a whole GGUF file"),
        (Raw(STRING, text(b"\xff\xfe")), "not UTF-8"),
        (Raw(77, b""), "has a value of type 77"),
    ],
)
def test_values_that_lie(raw: Raw, words: str, ask: Callable[..., str | None]) -> None:
    assert words in str(ask({"a.key": raw}))


def test_more_texts_than_a_vocabulary_has(ask: Callable[..., str | None]) -> None:
    """Eight bytes each in the file, an object each in memory."""
    empty = struct.pack("<IQ", STRING, 4_200_000) + bytes(8 * 4_200_000)
    assert "at most 4,194,304 are read" in str(ask({TOKENS: Raw(ARRAY, empty)}))
    many = struct.pack("<IQ", STRING, 2_100_000) + bytes(8 * 2_100_000)
    assert f"{TOKENS}: must hold 1 to" in str(ask({TOKENS: Raw(ARRAY, many)}))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"version": 1}, "is of GGUF version 1"),
        ({"version": 3 << 24}, "the other byte order"),
        ({"key_count": 2**40}, "claims to hold"),
        ({"tensor_count": 2**40}, "claims to hold"),
        ({"key_count": 1000}, "m.gguf: "),
        ({"tensor_count": 1000}, "m.gguf: "),
        ({"more": [("llama.block_count", plain(2))]}, "llama.block_count: is there twice"),
        ({"more": [("x" * 100_000, plain(2))]}, "holds a name of 100,000 bytes"),
    ],
)
def test_counts(changes: dict[str, Any], words: str, ask: Callable[..., str | None]) -> None:
    assert words in str(ask(None, **changes))


TABLE = "token_embd.weight"


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        (TABLE, {"dims": ()}, f"{TABLE}: has the shape ()"),
        (TABLE, {"dims": (32,)}, f"{TABLE}: has the shape (32,)"),
        (TABLE, {"dims": (1, 2, 3)}, f"{TABLE}: has the shape (3, 2, 1)"),
        (TABLE, {"dims": (1,) * 9}, f"{TABLE}: has 9 dimensions"),
        (TABLE, {"dims": (2**40, 2**40)}, "is not a whole GGUF file"),
        (TABLE, {"dims": (32, 0)}, "vocab_size: must be > 0"),
        (TABLE, {"dims": (32, 8)}, "has the shape"),
        (TABLE, {"kind": 153}, f"{TABLE}: is of type 153, which is not known here"),
        (TABLE, {"kind": 4}, f"{TABLE}: is of type 4, which is not known here"),
        (TABLE, {"kind": 14}, f"{TABLE}: has rows of 32 values, but Q6_K takes 256 at a time"),
        (TABLE, {"kind": 26}, "is of type I32, which is not supported"),
        (TABLE, {"offset": 2**62}, "is not a whole GGUF file"),
        ("output_norm.weight", {"name": TABLE}, f"{TABLE}: is there twice"),
        ("output_norm.weight", {"name": "blk.x"}, "lacks the tensors model.norm.weight"),
        ("output_norm.weight", {"dims": (31,)}, "model.norm.weight: has the shape (31,)"),
    ],
)
def test_tensors(
    name: str, changes: dict[str, Any], words: str, valid: RawGguf, ask: Callable[..., str | None]
) -> None:
    tensors = [replace(tensor, **changes) if tensor.name == name else tensor for tensor in valid.tensors]
    assert words in str(ask(None, tensors=tensors))


@pytest.mark.parametrize("count", [3, 5])
def test_divisors_of_another_length(count: int, valid: RawGguf, ask: Callable[..., str | None]) -> None:
    for number in (1.0, float("nan"), float("inf"), 0.0, -1.0):
        tensor = RawTensor.of("rope_freqs.weight", np.full(count, number))
        assert "rope_freqs.weight: holds rotary scaling" in str(ask(None, tensors=[*valid.tensors, tensor]))
    tensor = RawTensor.of("rope_freqs.weight", np.full(4, float("nan")))
    assert "rope_freqs.weight: holds rotary scaling" in str(ask(None, tensors=[*valid.tensors, tensor]))


@pytest.mark.parametrize("alignment", [plain(0), plain(3), value(U64, 2**40), plain("x"), plain(-1.0)])
def test_alignments(alignment: Raw, ask: Callable[..., str | None]) -> None:
    assert "general.alignment: must be" in str(ask({"general.alignment": alignment}))


def test_layers_that_are_not_there_take_no_time(ask: Callable[..., str | None]) -> None:
    assert "lacks the tensors" in str(ask({"llama.block_count": plain(4000)}))
    assert "llama.block_count: must be at most" in str(ask({"llama.block_count": plain(10**9)}))


def test_what_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    os.mkfifo(path)
    assert "is a pipe, a socket or a device" in str(use(path))
    path.unlink()
    path.symlink_to("/dev/zero")
    assert "is a pipe, a socket or a device" in str(use(path))
    path.unlink()
    path.symlink_to(path.name)
    assert "can't be opened" in str(use(path))
    path.unlink()
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert "run `git lfs pull`" in str(use(path))


def test_cut_anywhere_it_is_a_sentence(valid: RawGguf, tmp_path: Path) -> None:
    data = valid.to_bytes()
    path = tmp_path / "m.gguf"
    rng = np.random.default_rng(0)
    for end in sorted({0, 3, 4, 8, 23, 24, *rng.integers(0, len(data) - 200, 30).tolist()}):
        path.write_bytes(data[:end])
        assert "m.gguf: is not a whole GGUF file" in str(use(path)), end


def test_flipped_bytes_of_the_head_end_in_a_sentence_or_in_nothing(valid: RawGguf, tmp_path: Path) -> None:
    data = valid.to_bytes()
    path = tmp_path / "m.gguf"
    rng = np.random.default_rng(1)
    for place in rng.integers(0, 3000, 80).tolist():
        changed = bytearray(data)
        changed[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        use(path)


def test_true_and_one_are_not_the_same(ask: Callable[..., str | None]) -> None:
    assert "add_bos_token: must be true or false" in str(ask({"tokenizer.ggml.add_bos_token": plain(1)}))
    assert ask({"tokenizer.ggml.add_bos_token": Raw(BOOL, b"\x00")}) is None


def test_tensors_that_share_bytes_are_refused(valid: RawGguf, ask: Callable[..., str | None]) -> None:
    """A small file would become a large model."""
    first, *others = valid.tensors
    for offset in (0, ALIGNMENT):
        shared = [first, replace(others[0], data=b"", offset=offset), *others[1:]]
        message = ask(tensors=shared)
        assert message is not None and f"{others[0].name}: shares bytes of the file with" in message


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(
    wrong: float, valid: RawGguf, ask: Callable[..., str | None], tmp_path: Path
) -> None:
    """They would come out as an empty reply."""
    others = [tensor for tensor in valid.tensors if tensor.name != "output_norm.weight"]
    values = np.ones(32, dtype=np.float32)
    # the sum of these overflows, and they are numbers
    large = replace(valid, tensors=[*others, RawTensor.of("output_norm.weight", values * 3e38)])
    (tmp_path / "large.gguf").write_bytes(large.to_bytes())
    assert load(str(tmp_path / "large.gguf")).model.model.norm.weight.max() > 2e38
    values[7] = wrong
    message = ask(tensors=[*others, RawTensor.of("output_norm.weight", values)])
    assert message is not None and "output_norm.weight: holds values that are no numbers" in message


def test_a_flood_of_unknown_keys_is_one_short_warning(
    ask: Callable[..., str | None], caplog: pytest.LogCaptureFixture
) -> None:
    assert ask({f"llama.k{number}\nerror: x": plain(number) for number in range(5000)}) is None
    (record,) = caplog.records
    assert "llama.k0\\nerror: x, " in record.getMessage() and "and 4,992 more" in record.getMessage()
    assert len(record.getMessage()) < 1000 and "\n" not in record.getMessage()


@pytest.mark.parametrize("added", [True, False])
def test_names_of_hugging_face_s_are_refused(
    added: bool, valid: RawGguf, ask: Callable[..., str | None]
) -> None:
    """The order of the rows of queries and keys could not be told, and of two of one name the last would count."""
    for wrong in ("model.norm.weight", "model.layers.1.self_attn.q_proj.weight", "lm_head.weight"):
        others = [tensor for tensor in valid.tensors if added or tensor.name != gguf_name(wrong)]
        tensors = [*others, RawTensor.of(wrong, np.zeros((32, 32), dtype=np.float32))]
        assert f"{wrong}': is a tensor's name in a Hugging Face folder" in str(ask(tensors=tensors))
