"""The first steps: candidates become documents, in the language that their text shows, under the licence it names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection

import pyarrow as pa

from codecascade.corpus.documents import Document, batch_of
from codecascade.corpus.output.dropped import Dropped, nothing, sound
from codecascade.corpus.reading.candidates import TABLES, Contents
from codecascade.corpus.reading.content import NOT_CODE, language_of_text
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.faults import one_file
from codecascade.corpus.reading.languages import NOTEBOOK, kind_of
from codecascade.corpus.reading.licenses import license_of_header
from codecascade.corpus.reading.notebooks import read_notebook
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.sources.candidates import Candidate, candidates_of
from codecascade.corpus.sources.sampling import NOTEBOOK_BYTES, license_refused
from codecascade.corpus.steps.step import Outcome

STEP = "read"

_LONGEST_NAME = 100
"""Characters of the name of a language."""


def read_documents(candidates: pa.RecordBatch, settings: CorpusSettings, contents: Contents) -> Outcome:
    """The candidates' documents, without ids yet; what can't be read or isn't wanted is accounted for."""
    documents: list[Document] = []
    dropped = Dropped()
    encodings: Counter[str] = Counter()
    for candidate in candidates_of(candidates):
        try:
            with one_file(candidate.path):
                items, encoding = _documents(candidate, settings, contents)
                found = [storable(item) for item in items]
            encodings[encoding] += 1
            for item in found:
                reason = _refusal(item, candidate, settings.languages, settings.licenses)
                if reason is None:
                    documents.append(item)
                else:
                    _drop(dropped, candidate, reason, item.language, item.license)
        except UnreadableError as error:
            _drop(dropped, candidate, str(error), candidate.language, candidate.license)
    account = dropped.table().combine_chunks().to_batches()
    del encodings[""]
    return Outcome(batch_of(documents), account[0] if account else nothing(), decoded=encodings)


def storable(item: Document) -> Document:
    """The document, if a shard can hold it; what a file says of itself may be any text.

    Raises:
        UnreadableError: its text can't be written as UTF-8, or is none.
    """
    if not item.text.isascii():
        try:
            item.text.encode()
        except UnicodeEncodeError:
            raise UnreadableError("not UTF-8") from None
    if "\0" in item.text:
        raise UnreadableError("binary")
    return item._replace(language=sound(item.language)[:_LONGEST_NAME], license=sound(item.license))


def _drop(dropped: Dropped, candidate: Candidate, reason: str, language: str, license_: str) -> None:
    dropped.add(
        STEP, reason, candidate.path, candidate.repository,
        kind=candidate.kind, language=language, license=license_, bytes=candidate.size,
    )  # fmt: skip


def _documents(
    candidate: Candidate, settings: CorpusSettings, contents: Contents
) -> tuple[list[Document], str]:
    """What a candidate makes, and what it was decoded as."""
    notebook = candidate.language == NOTEBOOK
    limit = settings.max_file_bytes * (NOTEBOOK_BYTES if notebook else 1)
    text, encoding = contents.decoded(candidate, limit)
    if notebook:
        book = read_notebook(text)
        parts = [(book.script, book.language), (book.prose, "markdown")]
        if not any(part for part, _ in parts):
            raise UnreadableError("empty")
        if max(len(part) for part, _ in parts) > settings.max_file_bytes:
            raise UnreadableError("larger than max_file_bytes")
        return [_document(candidate, part, language) for part, language in parts if part], encoding
    if candidate.reader in TABLES:  # the table has said
        return [_document(candidate, text, candidate.language)], encoding
    extension = os.path.splitext(candidate.path)[1].lower()
    language = language_of_text(text, extension, candidate.language)
    if not language:
        raise UnreadableError("not a known language")
    return [_document(candidate, text, language)], encoding


def _document(candidate: Candidate, text: str, language: str) -> Document:
    same = language == candidate.language
    spdx = license_of_header(text) if candidate.kind == "code" else None
    return Document(
        text,
        candidate.path,
        candidate.repository,
        language,
        spdx or candidate.license,
        "",
        candidate.kind if same else kind_of(language),
        candidate.revision,
    )


def _refusal(item: Document, candidate: Candidate, languages: Collection[str], licenses: str) -> str | None:
    """What only the text could tell against it."""
    if item.language in NOT_CODE:
        return "not a known language"
    if item.kind == "code" and languages and item.language not in languages:
        return "not one of the languages"
    if item.license != candidate.license and license_refused(item.license, candidate.own, licenses):
        return f"licence {item.license[:60]}"
    return None
