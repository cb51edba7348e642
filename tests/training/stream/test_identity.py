"""What the batches of a stream depend on."""

from __future__ import annotations

from typing import Any

import pytest
from stream_fakes import (
    ExampleTable,
    RepositoryFiles,
    make_document,
    make_stream,
    random_documents,
    tiny_tokenizer,
)

from codecascade.corpus.code import grammars
from codecascade.corpus.code.structure import has_parser
from codecascade.training.stream.settings import InfillingSettings
from codecascade.training.stream.stream import TokenStream
from codecascade.training.stream.stream_sources import StreamSource


def test_fingerprint() -> None:
    def fingerprint(*tables: StreamSource | ExampleTable, **changes: Any) -> str:
        return make_stream(*(tables or [random_documents([5, 6])]), **changes).fingerprint()

    reference = fingerprint()
    assert reference == fingerprint()
    different = [
        fingerprint(random_documents([6, 5])),
        fingerprint(StreamSource("source0", 1, random_documents([5, 6]), min_characters=1)),
        fingerprint(StreamSource("other", 1, random_documents([5, 6]))),
        fingerprint(seed=1),
        fingerprint(rows=2),
        fingerprint(sequence_length=65),
        fingerprint(infilling=None),
        fingerprint(infilling=InfillingSettings(rate=0.8)),
        fingerprint(document_masks=True),
        fingerprint(tokenizer=tiny_tokenizer("bytes")),
    ]
    assert len({reference, *different}) == len(different) + 1


def test_editors_gaps_depend_on_the_language_and_on_what_can_be_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stream(language: str, share: float) -> TokenStream:
        table = RepositoryFiles([make_document("f(1)\n")._replace(language=language)])
        return make_stream(table, infilling=InfillingSettings(editor_share=share))

    java = stream("java", 0.5)
    assert java.identity != stream("python", 0.5).identity
    assert stream("java", 0).identity == stream("python", 0).identity
    known = has_parser("java")
    monkeypatch.setattr(grammars, "_parser", lambda grammar: None if known else object())
    other = stream("java", 0.5)
    assert java.identity != other.identity
    assert {java.unparsed, other.unparsed} == {(), ("java",)} and stream("java", 0).unparsed == ()
    assert stream("cobol", 0.5).unparsed == (), "there is no grammar to install"
