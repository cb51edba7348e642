"""The settings of a corpus build (``[corpus_build]`` of a recipe)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from codecascade.ground.choices import Licences
from codecascade.ground.settings import Settings


class LanguageFilter(Settings):
    """Thresholds of one language that override the general ones (``[corpus_build.filters.markdown]``)."""

    longest_line: int | None = Field(None, gt=0, description="characters")
    mean_line: float | None = Field(None, gt=0, description="characters")
    alphanumeric_share: float | None = Field(None, ge=0, le=1)
    alphabetic_share: float | None = Field(None, ge=0, le=1)
    keep: bool = Field(True, description="false: the language is left out altogether")


class CorpusSettings(Settings):
    """How sources become a corpus (a recipe's ``[corpus_build]``)."""

    max_bytes: int | None = Field(
        None, gt=0, description="most bytes of text to keep, spread evenly over the repositories; none: all"
    )
    natural_language_share: float = Field(
        0.1, ge=0, lt=1, description="share of max_bytes for documentation, docstrings and prose"
    )
    languages: tuple[str, ...] = Field(
        (), description="programming languages to keep, such as python or c++; empty: all known ones"
    )
    licenses: Licences = Field(
        "auto",
        description="permissive: only documents of permissive licences and of the user's own; auto: this of "
        "archives and packages, while folders, repositories and tables are kept whole",
    )
    heldout_share: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="share of the bytes held out: whole repositories, or files of one or few",
    )
    heldout_by: Literal["path"] | None = Field(
        None,
        description="path: files are held out, also of many repositories, each of which a model then has half seen",
    )
    git_ignored: Annotated[bool | None, AfterValidator(lambda value: value or None)] = Field(
        None,
        description="true: files of folders are read also where git ignores them; false: they are left out",
    )
    max_file_bytes: int = Field(1_000_000, gt=0, description="larger files are left out")
    longest_line: int = Field(1000, gt=0, description="code with a longer line (characters) is left out")
    mean_line: float = Field(100, gt=0, description="code whose lines are longer on average is left out")
    alphanumeric_share: float = Field(
        0.25, ge=0, le=1, description="code with a smaller share of letters and digits is left out"
    )
    filters: dict[str, LanguageFilter] = Field(
        default_factory=dict, description="other thresholds by language, over StarCoder's own exceptions"
    )
    drop_generated: bool = Field(True, description="leave out code that says that a program wrote it")
    encoded_share: float = Field(
        0.5, ge=0, le=1, description="code with a larger share of base64 and hexadecimal data is left out"
    )
    check_syntax: bool = Field(False, description="leave out Python that doesn't parse")
    redact: bool = Field(True, description="replace keys, passwords, e-mail and IP addresses")
    include_docstrings: bool = Field(
        True, description="make natural language of the docstrings of Python files"
    )
    benchmark_overlap: float = Field(
        0.5, gt=0, le=1, description="share of a benchmark's text that a document may not contain"
    )
    near_duplicates: bool = Field(True, description="remove near-duplicates, not only exact ones")
    near_threshold: float = Field(
        0.7,
        gt=0,
        le=1,
        description="Jaccard similarity of 5-word shingles from which two documents are twins",
    )
    shard_bytes: int = Field(256_000_000, gt=0, description="bytes of text in a Parquet shard")
