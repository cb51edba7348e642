"""The space in front of a text, where each kind of ``tokenizer.json`` puts it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tokenizers
from hypothesis import example, given

from codecascade.ground.errors import UserError
from codecascade.tokens.tokenizer import Tokenizer, load_tokenizer

from ..conftest import plain_texts

LETTERS = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
DIGITS = {"type": "Digits", "individual_digits": True}
METASPACE = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": False}
SPACES = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
SPACES_BY_PATTERN = {**SPACES, "pattern": {"Regex": " "}}


def written(tokenizer: Tokenizer, folder: Path, normalizers: list[Any], pre_tokenizers: list[Any]) -> Path:
    """The folder of a tokenizer with another pipeline."""
    tokenizer.save(folder)
    spec = {
        **json.loads((folder / "tokenizer.json").read_text()),
        "normalizer": {"type": "Sequence", "normalizers": normalizers} if normalizers else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre_tokenizers} if pre_tokenizers else None,
    }
    (folder / "tokenizer.json").write_text(json.dumps(spec))
    return folder


PIPELINES: dict[str, tuple[str, list[Any], list[Any]]] = {
    "letters": ("byte_level", [], [LETTERS]),
    "letters and digits": ("byte_level", [], [LETTERS, DIGITS]),
    "a space before letters": (
        "byte_level",
        [{"type": "Prepend", "prepend": " "}],
        [{**LETTERS, "add_prefix_space": False}],
    ),
    "metaspace": ("llama", [], [METASPACE]),
    "metaspace behind digits": ("llama", [], [DIGITS, METASPACE]),
    "prepended": ("llama", [{"type": "Prepend", "prepend": "▁"}, SPACES], []),
    "prepended by a pattern": ("llama", [{"type": "Prepend", "prepend": " "}, SPACES_BY_PATTERN], []),
    "prepended at last": ("llama", [SPACES, {"type": "Prepend", "prepend": "▁"}], []),
}


@pytest.fixture(scope="module", params=PIPELINES)
def pair(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Tokenizer, tokenizers.Tokenizer]:
    """A tokenizer of each kind, ours and the library's."""
    name, normalizers, pre_tokenizers = PIPELINES[request.param]
    folder = tmp_path_factory.mktemp("prefix")
    written(request.getfixturevalue(name), folder, normalizers, pre_tokenizers)
    return load_tokenizer(folder), tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


@given(text=plain_texts)
@example(text="\tx = 1")
@example(text="\n    return x")
@example(text=" x")
@example(text="\u3000x")
@example(text="x")
@example(text="")
def test_a_text_gets_the_space_that_the_library_gives(
    pair: tuple[Tokenizer, tokenizers.Tokenizer], text: str
) -> None:
    ours, theirs = pair
    assert ours.encode(text) == theirs.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize(
    ("kind", "normalizers", "pre_tokenizers", "words"),
    [
        ("byte_level", [{"type": "Prepend", "prepend": "X"}], [LETTERS], "normalizer: prepends 'X'"),
        ("byte_level", [{"type": "Prepend", "prepend": ""}], [LETTERS], "normalizer: prepends ''"),
        ("byte_level", [{"type": "Prepend", "prepend": "▁"}], [LETTERS], "normalizer: prepends '▁'"),
        ("llama", [{"type": "Prepend", "prepend": "▁▁"}, SPACES], [], "normalizer: prepends '▁▁'"),
        ("llama", [SPACES, {"type": "Prepend", "prepend": " "}], [], "normalizer: prepends ' '"),
        ("byte_level", [], [DIGITS, LETTERS], "pre_tokenizer: puts a space before every word"),
        ("llama", [], [DIGITS, {**METASPACE, "prepend_scheme": "always"}], "puts a space before every word"),
    ],
)
def test_what_is_not_one_space_in_front_of_the_text_is_refused(
    request: pytest.FixtureRequest,
    kind: str,
    normalizers: list[Any],
    pre_tokenizers: list[Any],
    words: str,
    tmp_path: Path,
) -> None:
    folder = written(request.getfixturevalue(kind), tmp_path, normalizers, pre_tokenizers)
    with pytest.raises(UserError) as error:
        load_tokenizer(folder)
    assert words in str(error.value) and str(folder / "tokenizer.json") in str(error.value)
