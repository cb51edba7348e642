"""What a corpus is made of."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, NamedTuple, cast

import pyarrow as pa

from codecascade.ground.seeds import draw

DocumentKind = Literal["code", "natural_language_code", "natural_language"]
KINDS: tuple[DocumentKind, ...] = ("code", "natural_language_code", "natural_language")
"""Table 1 of the paper: code, natural language related to code, natural language."""

_WHITE_SPACE = b" \t\n\r\f\v"


class Document(NamedTuple):
    """One text and where it is from; the fields are a shard's columns."""

    text: str
    path: str
    """Relative to the repository (for a Python package: to the folder it is imported from)."""
    repository: str
    language: str
    """Lower case: ``python``, ``c++``, ``markdown``, ``text``..."""
    license: str
    """SPDX expression, ``own`` (a folder of the user's that names none) or ``unknown``."""
    id: str
    """Hash of the content without its white space: unique in a corpus, the same on every machine."""
    kind: DocumentKind
    revision: str = ""
    """Commit or version of the repository, where its source tells one."""


SCHEMA = pa.schema([(name, pa.string()) for name in Document._fields])
"""Of shards, and of the batches that the steps of a build hand on (whose ids are set by the last step)."""


def content_id(text: str) -> str:
    """32 hexadecimal digits; equal for texts that differ in nothing but white space.

    >>> content_id("a = 1\\n") == content_id("a  =  1\\r\\n\\r\\n")
    True
    """
    return blake2b(text.encode().translate(None, _WHITE_SPACE), digest_size=16).hexdigest()


def document(
    text: str,
    *,
    path: str,
    repository: str,
    language: str,
    license: str,  # noqa: A002  (the column's name)
    kind: str,
    revision: str = "",
) -> Document:
    """A document with its id."""
    return Document(
        text, path, repository, language, license, content_id(text), cast(DocumentKind, kind), revision
    )


def text_bytes(document: Document) -> int:
    """Bytes of its text in UTF-8."""
    return len(document.text) if document.text.isascii() else len(document.text.encode())


def batch_from_documents(documents: list[Document]) -> pa.RecordBatch:
    """Documents as an Arrow batch with the corpus's columns."""
    columns = zip(*documents, strict=True) if documents else [()] * len(SCHEMA)
    return pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=SCHEMA)


def documents_from_batch(batch: pa.RecordBatch) -> list[Document]:
    """The other way round."""
    columns = [batch.column(name).to_pylist() for name in SCHEMA.names]
    return [Document(*row) for row in zip(*columns, strict=True)]


def keyed_draw(*parts: str) -> int:
    """A number in [0, 2^64) that depends on ``parts`` alone: every choice in this package is drawn from it."""
    return draw(*parts, separator="\0")
