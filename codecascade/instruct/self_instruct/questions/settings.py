"""The settings of the question step."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from codecascade.ground.settings import LARGEST_SHARE, Settings

QuestionKind = Literal["prompt", "corpus", "file"]


class QuestionSource(Settings):
    """One source of questions."""

    source: QuestionKind = Field(
        description="prompt: asked by topic; corpus: asked about code; file: read from a file"
    )
    share: float = Field(
        1.0,
        gt=0,
        le=LARGEST_SHARE,
        description="of the questions, in proportion to the other sources' shares",
    )
    path: str | None = Field(
        None,
        description="of corpus: a built corpus, or what one is built from; in a cascade the default is the run's "
        "corpus. Of file: one question a line (.txt), or JSON lines with `question`",
    )
    languages: tuple[str, ...] = Field((), description="of corpus: languages of the code; default: all")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.source == "prompt" and self.path is not None:
            raise ValueError("a source 'prompt' has no path; for questions in a file write source = 'file'")
        if self.source == "file" and self.path is None:
            raise ValueError("a source 'file' needs a path: .txt, or JSON lines with `question`")
        if self.source != "corpus" and self.languages:
            raise ValueError(f"a source {self.source!r} has no languages; only a corpus has")
        return self


class QuestionSettings(Settings):
    """How questions are made. The paper states ``batch`` and ``difficulties`` (section 2.5); the rest is ours."""

    sources: tuple[QuestionSource, ...] = Field(
        (QuestionSource(source="prompt"),), min_length=1, description="where questions come from"
    )
    batch: int = Field(
        50, ge=1, le=200, description="questions that one prompt asks for; small models manage fewer"
    )
    about_code: int = Field(2, ge=1, le=20, description="questions that are asked about one piece of code")
    topics: str | None = Field(
        None, description="file of topics, one a line; default: the list that comes with codecascade"
    )
    difficulties: tuple[Annotated[str, Field(min_length=1, max_length=50)], ...] = Field(
        ("easy", "medium"), min_length=1, description="asked for in turn"
    )
    shown: int = Field(
        8,
        ge=0,
        le=100,
        description="newest questions of its topic that a prompt names as not to be asked again",
    )
    temperature: float = Field(1.0, ge=0, le=5, description="of the answers")
    top_p: float = Field(0.95, gt=0, le=1, description="of the answers")
    tokens: int = Field(3072, ge=1, description="most tokens of an answer")
    near_duplicates: float | None = Field(
        None,
        gt=0,
        le=1,
        description="share of common content words (Jaccard) from which a question leaves as the near-duplicate "
        "of an earlier one; default: none leaves, and they are counted only",
    )
    benchmark_overlap: float = Field(
        0.5,
        gt=0,
        le=1,
        description="share of common runs of 50 letters, of the shorter text, from which a question is a benchmark's",
    )
    benchmark_alike: float = Field(
        0.8,
        gt=0,
        le=1,
        description="share of common content words (Jaccard) from which a question is a benchmark's",
    )
    patience: int = Field(
        20,
        ge=1,
        description="a source is given up when so many prompts in a row bring less than 2 % new questions",
    )

    @model_validator(mode="after")
    def _one_prompt_source(self) -> Self:
        if sum(source.source == "prompt" for source in self.sources) > 1:
            raise ValueError("the source 'prompt' is named twice")
        if len(set(self.difficulties)) < len(self.difficulties):
            raise ValueError(f"a difficulty is named twice ({', '.join(self.difficulties)})")
        return self
