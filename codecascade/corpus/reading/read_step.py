"""The ``read`` step: turns candidates into documents, with the language and licence that their text shows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection

import pyarrow as pa

from codecascade.corpus.documents import Document, batch_from_documents
from codecascade.corpus.output.dropped import Dropped, no_rows, storable_text
from codecascade.corpus.reading.containers import TABLE_READERS, CandidateContents
from codecascade.corpus.reading.content_rules import NOT_CODE, language_by_content
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.faults import file_errors
from codecascade.corpus.reading.languages import NOTEBOOK, document_kind
from codecascade.corpus.reading.licenses import license_from_header
from codecascade.corpus.reading.notebooks import read_notebook
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.sources.candidates import Candidate, candidates_from_table
from codecascade.corpus.sources.sampling import NOTEBOOK_BYTES, license_refused
from codecascade.corpus.steps.step import StepOutcome

STEP = "read"

_LONGEST_NAME = 100
"""Most characters of a language's name."""


def read_documents(
    candidates: pa.RecordBatch, settings: CorpusSettings, contents: CandidateContents
) -> StepOutcome:
    """The documents of the candidates, without ids; what is unreadable or unwanted becomes rows of ``dropped``."""
    documents: list[Document] = []
    dropped = Dropped()
    encodings: Counter[str] = Counter()
    for candidate in candidates_from_table(candidates):
        try:
            with file_errors(candidate.path):
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
    dropped_batches = dropped.table().combine_chunks().to_batches()
    del encodings[""]
    return StepOutcome(
        batch_from_documents(documents),
        dropped_batches[0] if dropped_batches else no_rows(),
        decoded=encodings,
    )


def storable(item: Document) -> Document:
    """The document with its fields made valid for a shard; a file may declare any text as its language or licence.

    Raises:
        UnreadableError: its text can't be encoded as UTF-8, or is binary.
    """
    if not item.text.isascii():
        try:
            item.text.encode()
        except UnicodeEncodeError:
            raise UnreadableError("not UTF-8") from None
    if "\0" in item.text:
        raise UnreadableError("binary")
    return item._replace(
        language=storable_text(item.language)[:_LONGEST_NAME], license=storable_text(item.license)
    )


def _drop(dropped: Dropped, candidate: Candidate, reason: str, language: str, license_: str) -> None:
    dropped.add(
        STEP, reason, candidate.path, candidate.repository,
        kind=candidate.kind, language=language, license=license_, bytes=candidate.size,
    )  # fmt: skip


def _documents(
    candidate: Candidate, settings: CorpusSettings, contents: CandidateContents
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
    # A column of the table states the language.
    if candidate.reader in TABLE_READERS:
        return [_document(candidate, text, candidate.language)], encoding
    extension = os.path.splitext(candidate.path)[1].lower()
    language = language_by_content(text, extension, candidate.language)
    if not language:
        raise UnreadableError("not a known language")
    return [_document(candidate, text, language)], encoding


def _document(candidate: Candidate, text: str, language: str) -> Document:
    same = language == candidate.language
    spdx = license_from_header(text) if candidate.kind == "code" else None
    return Document(
        text,
        candidate.path,
        candidate.repository,
        language,
        spdx or candidate.license,
        "",
        candidate.kind if same else document_kind(language),
        candidate.revision,
    )


def _refusal(item: Document, candidate: Candidate, languages: Collection[str], licenses: str) -> str | None:
    """Why a document is left out after its text was read; None if it is kept."""
    if item.language in NOT_CODE:
        return "not a known language"
    if item.kind == "code" and languages and item.language not in languages:
        return "not one of the languages"
    if item.license != candidate.license and license_refused(item.license, candidate.own, licenses):
        return f"licence {item.license[:60]}"
    return None
