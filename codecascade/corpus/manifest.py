"""``manifest.json``: the description that a corpus carries of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field, ValidationError

from codecascade.corpus.settings import CorpusSettings
from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import read_json
from codecascade.ground.settings import Settings

FORMAT = 3
NAME = "manifest.json"


class DocumentCount(Settings):
    """A number of documents and the bytes of their texts."""

    documents: int = 0
    bytes: int = 0

    def __add__(self, other: DocumentCount) -> DocumentCount:
        return DocumentCount(documents=self.documents + other.documents, bytes=self.bytes + other.bytes)


class StepManifest(Settings):
    """The documents left after one step, and what the step dropped."""

    step: str
    left: DocumentCount
    kinds: dict[str, DocumentCount]
    languages: dict[str, DocumentCount]
    licenses: dict[str, DocumentCount]
    dropped: dict[str, int] = Field(description="reason -> files, rows or documents that the step left out")


class SplitManifest(Settings):
    """The documents of one split."""

    total: DocumentCount
    kinds: dict[str, dict[str, DocumentCount]] = Field(description="kind -> language -> documents")
    licenses: dict[str, DocumentCount]
    fingerprint: str = Field(description="hash of the documents' ids, in their order")


class Manifest(Settings):
    """``manifest.json``: counts, dropped documents with reasons, and how it was built (no dates, no absolute
    paths)."""

    format: int = FORMAT
    versions: dict[str, str] = Field(
        description="of codecascade, Python and the libraries that decide something"
    )
    sources: list[str] = Field(description="names of the sources, folders without the way to them")
    settings: CorpusSettings
    request: str = Field(description="hash of sources and settings")
    inputs: str = Field(
        description="hash of the request, the benchmark texts and every candidate's name, size and date"
    )
    candidates: DocumentCount = Field(description="files and rows found, and those of them that were read")
    chosen: DocumentCount
    steps: list[StepManifest]
    splits: dict[str, SplitManifest]
    heldout_by: str = Field(
        description="repository, or path where there are few repositories or the settings say so"
    )
    heldout: list[str] = Field(description="the repositories (or paths) that are held out")
    dropped: dict[str, dict[str, int]] = Field(description="step -> reason -> documents")
    replaced: dict[str, int] = Field(description="placeholder -> keys, passwords, addresses replaced by it")
    decoded: dict[str, int] = Field(
        default_factory=dict, description="encoding -> files that were decoded by it"
    )
    cluster_sizes: dict[str, int] = Field(
        description="copies of a document, itself included -> documents that stay and had so many"
    )
    benchmarks: list[str] = Field(
        default_factory=list, description="benchmarks, and files given, that were looked for"
    )
    benchmarks_unchecked: list[str] = Field(
        default_factory=list, description="benchmarks whose data was not to be had"
    )
    benchmark_matches: list[dict[str, str]]
    benchmark_texts: int = Field(description="benchmark texts that were looked for")
    benchmarks_too_short: list[str] = Field(description="benchmark texts too short to be looked for")

    def title(self) -> str:
        """One line that names the sources."""
        named = (
            self.sources if len(self.sources) <= 4 else [*self.sources[:3], f"{len(self.sources) - 3} others"]
        )
        return f"Corpus of {', '.join(named)}"

    def total(self) -> DocumentCount:
        """The documents of both splits together."""
        return sum((split.total for split in self.splits.values()), DocumentCount())

    def encodings(self) -> str:
        """The number of files for each encoding, the most frequent first, as a sentence part."""
        counts = sorted(self.decoded.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{name} ({count:,})" for name, count in counts)

    def left_out(self) -> str:
        """The five most frequent reasons for dropping something, as a sentence part."""
        reasons = [(count, reason) for step in self.dropped.values() for reason, count in step.items()]
        shown = sorted(reasons, key=lambda item: (-item[0], item[1]))
        words = [f"{reason} ({count:,})" for count, reason in shown[:5]]
        return ", ".join([*words, f"{len(shown) - 5} other reasons"] if len(shown) > 5 else words)

    def languages(self) -> dict[str, DocumentCount]:
        """Documents by language, over both splits and all kinds."""
        parts = (languages for split in self.splits.values() for languages in split.kinds.values())
        return _added(parts)

    def licenses(self) -> dict[str, DocumentCount]:
        """Documents by licence, over both splits."""
        return _added(split.licenses for split in self.splits.values())


def _added(parts: Iterable[Mapping[str, DocumentCount]]) -> dict[str, DocumentCount]:
    """The sums of counts with the same name, the most bytes first."""
    sums: dict[str, DocumentCount] = {}
    for part in parts:
        for name, count in part.items():
            sums[name] = sums.get(name, DocumentCount()) + count
    return dict(sorted(sums.items(), key=lambda item: (-item[1].bytes, item[0])))


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a corpus folder.

    Raises:
        UserError: there is none, or another version of codecascade wrote it.
    """
    path = folder / NAME
    try:
        return Manifest.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors()[0]
        raise UserError(
            f"is not a corpus manifest of this version ({first['msg']}); build the corpus again",
            file=path,
            key=".".join(map(str, first["loc"])),
        ) from None
