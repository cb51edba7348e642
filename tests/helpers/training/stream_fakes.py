"""Small tables, tokenizers and streams for the tests of the stream."""

from __future__ import annotations

import argparse
import inspect
import json
import random
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from codecascade.corpus.documents import Document
from codecascade.tokens.chat import Message, with_chat_format
from codecascade.tokens.files.tokenizer_json import added_token, byte_alphabet, byte_level_spec
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer
from codecascade.training.stream.packing import LogicalStream
from codecascade.training.stream.settings import InfillingSettings
from codecascade.training.stream.stream import TokenStream
from codecascade.training.stream.stream_sources import ExampleSequence, StreamSource

CODE = [inspect.getsource(module) for module in (argparse, json, textwrap)]
ALPHABET = "ab def(x):\n    return 1\n\téß☺日"


@cache
def tiny_tokenizer(kind: str = "llama") -> Tokenizer:
    """With infilling tokens and a chat format. "llama": BOS, dummy prefix; "bytes": neither; "letters": bytes."""
    if kind == "letters":
        ids = {piece: number for number, piece in enumerate(byte_alphabet())}
        spec = byte_level_spec(ids, [], [added_token("</s>", len(ids))])
        plain = Tokenizer(spec, {"eos_token": "</s>"})
    else:
        plain = train_tokenizer(CODE, 400, "llama" if kind == "llama" else "bytes")
    return with_chat_format(add_infilling_tokens(plain))


class ExampleTable(list[Any]):
    """A table in memory."""

    @property
    def fingerprint(self) -> str:
        return repr(list(self))

    def values(self, column: str) -> list[str]:
        return [getattr(row, column) for row in self]


@dataclass(frozen=True)
class Dialogue:
    id: str
    messages: tuple[Message, ...]
    without_loss: frozenset[int] = frozenset()
    location: str = ""


def make_document(text: str, name: str = "a") -> Document:
    return Document(text, f"{name}.py", "fake", "python", "own", name, "code")


class RepositoryFiles(list[Document]):
    """Documents in memory that know their repositories; counts what is read."""

    read = 0

    @property
    def fingerprint(self) -> str:
        return repr([document.id for document in self])

    def __getitem__(self, index: int) -> Document:  # type: ignore[override]
        self.read += 1
        return super().__getitem__(index)

    def values(self, column: str) -> list[str]:
        return [getattr(document, column) for document in self]


USES = "total = price(apples) + price(pears)\nprint(total)\n"
SHOP = "def price(what):\n    return 2\n"
OTHER = "colour = 'red'\nshape = 'round'\n"


def shop_files(*more: Document) -> RepositoryFiles:
    """A repository in which ``shop.py`` has what ``uses.py`` uses, and ``other.py`` has not."""
    shop = [make_document(text, name) for name, text in (("uses", USES), ("shop", SHOP), ("other", OTHER))]
    return RepositoryFiles([*shop, *more])


def random_documents(lengths: Sequence[int], seed: int = 0, name: str = "d") -> ExampleTable:
    """Documents of so many characters."""
    rng = random.Random(seed)
    return ExampleTable(
        make_document("".join(rng.choices(ALPHABET, k=length)), f"{name}{number}")
        for number, length in enumerate(lengths)
    )


def random_dialogues(lengths: Sequence[int], seed: int = 0) -> ExampleTable:
    """Dialogues of one or two turns of so many characters each."""
    rng = random.Random(seed)

    def text(length: int) -> str:
        return "x" + "".join(rng.choices(ALPHABET, k=length))

    return ExampleTable(
        Dialogue(
            f"talk{number}",
            tuple(Message(role, text(length)) for role in ("user", "assistant") * rng.randint(1, 2)),
        )
        for number, length in enumerate(lengths)
    )


def named(*tables: StreamSource | ExampleTable) -> list[StreamSource]:
    return [
        table if isinstance(table, StreamSource) else StreamSource(f"source{number}", 1, table)
        for number, table in enumerate(tables)
    ]


def make_stream(*tables: StreamSource | ExampleTable, **changes: Any) -> TokenStream:
    """One row of 64 tokens with the paper's infilling, unless told otherwise."""
    arguments: dict[str, Any] = {
        "tokenizer": tiny_tokenizer(),
        "sequence_length": 64,
        "rows": 1,
        "seed": 0,
        "infilling": InfillingSettings(),
    }
    return TokenStream(named(*tables), **{**arguments, **changes})


def make_rows(*tables: StreamSource | ExampleTable, context: int = 65, **changes: Any) -> LogicalStream:
    """The only logical stream of these sources."""
    arguments: dict[str, Any] = {"seed": 0, "infilling": InfillingSettings()}
    sequences = [
        ExampleSequence(source, tiny_tokenizer(), context=context, **{**arguments, **changes})
        for source in named(*tables)
    ]
    return LogicalStream(0, 1, sequences, context)
