"""The settings of ``repository_completion``."""

from __future__ import annotations

from typing import ClassVar, Literal, get_args

from pydantic import Field, field_validator

from codecascade.evaluation.benchmark_settings import BenchmarkSettings, PositiveInt

FileContext = Literal["imported", "none", "similar", "wrong"]
FILE_CONTEXTS: tuple[FileContext, ...] = get_args(FileContext)


class RepositorySettings(BenchmarkSettings):
    """``[evaluate.repository_completion]``."""

    key = "repository_completion"
    asking: ClassVar[frozenset[str]] = frozenset({"max_new_tokens", "context_tokens", "file_share", "heal"})

    problems: PositiveInt | None = Field(100, description="lines that are completed, at most; none: all")
    per_file: PositiveInt = Field(4, description="lines of one file, at most")
    contexts: tuple[FileContext, ...] = Field(
        FILE_CONTEXTS,
        min_length=1,
        description="what comes before the prompt: imported: definitions that the file imports; none: nothing; "
        "similar: parts of the repository's other files that resemble the lines before the cursor; wrong: what "
        "another problem's file imports, as a control",
    )
    left_to_right: bool = Field(
        True, description="a model that can infill is asked to continue the line as well, the suffix unseen"
    )
    context_tokens: int = Field(
        2048, ge=128, description="tokens of the prompt and the answer together, at most"
    )
    file_share: float = Field(
        0.5,
        gt=0,
        lt=1,
        description="of the room for the prompt, what the cursor's own file gets; in every context",
    )
    heal: bool = Field(True, description="the prefix may end inside a token (token healing)")
    max_new_tokens: PositiveInt = Field(64, description="tokens per line, at most")
    min_characters: PositiveInt = Field(8, description="shortest end of a line that is asked for")
    max_characters: PositiveInt = Field(160, description="longest end of a line that is asked for")

    @field_validator("contexts")
    @classmethod
    def _each_once(cls, values: tuple[FileContext, ...]) -> tuple[FileContext, ...]:
        return tuple(dict.fromkeys(values))
