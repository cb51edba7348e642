"""What a user can say about the making of a corpus."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from codecascade.settings import Settings


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
    licenses: Literal["all", "permissive"] = Field(
        "all", description="permissive: only documents of permissive licences and of the user's own"
    )
    heldout_share: float = Field(
        0.01, ge=0, lt=1, description="share of the bytes held out, whole repositories at a time"
    )
    max_file_bytes: int = Field(1_000_000, gt=0, description="larger files are left out")
    longest_line: int = Field(1000, gt=0, description="code with a longer line (characters) is left out")
    mean_line: float = Field(100, gt=0, description="code whose lines are longer on average is left out")
    alphanumeric_share: float = Field(
        0.25, ge=0, le=1, description="code with a smaller share of letters and digits is left out"
    )
    include_docstrings: bool = Field(
        True, description="make natural language of the docstrings of Python files"
    )
    benchmark_overlap: float = Field(
        0.5, gt=0, le=1, description="share of a benchmark's text that a document may not contain"
    )
    shard_bytes: int = Field(256_000_000, gt=0, description="bytes of text in a Parquet shard")
