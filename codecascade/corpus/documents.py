"""The record types and columns of a corpus."""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, NamedTuple, cast

import pyarrow as pa

from codecascade.ground.seeds import draw

DocumentKind = Literal["code", "natural_language_code", "natural_language"]
KINDS: tuple[DocumentKind, ...] = ("code", "natural_language_code", "natural_language")
"""Table 1 of the paper: code, natural language related to code, natural language."""

KIND_TITLES: dict[str, str] = {
    "code": "code",
    "natural_language_code": "natural language related to code",
    "natural_language": "natural language",
}
"""The kinds in words, as pages, tables and reasons name them."""

_WHITE_SPACE = b" \t\n\r\f\v"


class Document(NamedTuple):
    """A text and its origin; the fields are the columns of a shard."""

    text: str
    path: str
    """Relative to the repository (of a Python package: to the folder that it is imported from)."""
    repository: str
    language: str
    """Lower case: ``python``, ``c++``, ``markdown``, ``text``..."""
    license: str
    """An SPDX expression, ``own`` (the user's own folder, without a stated licence) or ``unknown``."""
    id: str
    """Hash of the text without its white space: unique in a corpus, the same on every machine."""
    kind: DocumentKind
    revision: str = ""
    """Commit or version of the repository, if its source states one."""


SCHEMA = pa.schema([(name, pa.string()) for name in Document._fields])
"""The columns of shards, and of the batches between build steps (there the last step sets the ids)."""


def content_id(text: str) -> str:
    """A hash of 32 hexadecimal digits, equal for texts that differ only in white space.

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
    # The column's name.
    license: str,  # noqa: A002
    kind: str,
    revision: str = "",
) -> Document:
    """A document with its id computed."""
    return Document(
        text, path, repository, language, license, content_id(text), cast(DocumentKind, kind), revision
    )


def text_bytes(document: Document) -> int:
    """The size of a document's text in UTF-8, in bytes."""
    return len(document.text) if document.text.isascii() else len(document.text.encode())


def batch_from_documents(documents: list[Document]) -> pa.RecordBatch:
    """Documents as an Arrow batch with the columns of :data:`SCHEMA`."""
    columns = zip(*documents, strict=True) if documents else [()] * len(SCHEMA)
    return pa.record_batch([pa.array(column, pa.string()) for column in columns], schema=SCHEMA)


def documents_from_batch(batch: pa.RecordBatch) -> list[Document]:
    """The documents of an Arrow batch; the inverse of :func:`batch_from_documents`."""
    columns = [batch.column(name).to_pylist() for name in SCHEMA.names]
    return [Document(*row) for row in zip(*columns, strict=True)]


def keyed_draw(*parts: str) -> int:
    """A number in [0, 2^64) that depends only on ``parts``. Every random choice in this package is made with it."""
    return draw(*parts, separator="\0")
