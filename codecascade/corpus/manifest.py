"""What a corpus says about itself, in ``manifest.json``."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationError

from codecascade.corpus.settings import CorpusSettings
from codecascade.errors import UserError
from codecascade.files import read_json
from codecascade.settings import Settings

FORMAT = 1
NAME = "manifest.json"


class Count(Settings):
    """Some documents."""

    documents: int = 0
    bytes: int = 0

    def __add__(self, other: Count) -> Count:
        return Count(documents=self.documents + other.documents, bytes=self.bytes + other.bytes)


class SplitManifest(Settings):
    """One of the two splits."""

    total: Count
    kinds: dict[str, dict[str, Count]] = Field(description="kind -> language -> documents")
    licenses: dict[str, Count]
    fingerprint: str = Field(description="hash of the documents' ids, in their order")


class Manifest(Settings):
    """``manifest.json``: counts, what was dropped and why, and how it was made (no times, no machine's paths)."""

    format: int = FORMAT
    codecascade: str = Field(description="version that made it")
    sources: list[str] = Field(description="names of the sources, folders without the way to them")
    settings: CorpusSettings
    request: str = Field(description="hash of sources, settings and benchmark texts")
    inputs: str = Field(description="hash of the request and of every candidate's name, size and date")
    candidates: Count = Field(description="files and rows found, and those of them that were read")
    chosen: Count
    splits: dict[str, SplitManifest]
    heldout_by: str = Field(description="repository, or path where there is only one repository")
    heldout: list[str] = Field(description="the repositories (or paths) that are held out")
    dropped: dict[str, dict[str, int]] = Field(description="step -> reason -> documents")
    benchmark_matches: list[dict[str, str]]
    benchmarks_too_short: list[str] = Field(description="benchmark texts too short to be looked for")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a corpus folder.

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
