"""The settings of ``infilling_heldout``."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from codecascade.corpus.code.gaps import GAP_KINDS, LONGEST_MIDDLE, GapKind
from codecascade.corpus.code.windows import PREFIX_SHARE
from codecascade.corpus.neighbours import NeighbourChoice, check_neighbours
from codecascade.evaluation.benchmark_settings import BenchmarkSettings, PositiveInt


class HeldoutSettings(BenchmarkSettings):
    """``[evaluate.infilling_heldout]``."""

    key = "infilling_heldout"
    asking: ClassVar[frozenset[str]] = frozenset(
        {"max_new_tokens", "line_max_new_tokens", "heal", "layouts", "unstopped", "suffix"}
    )

    problems: PositiveInt | None = Field(500, description="gaps, at most; none: as many as there are lines")
    kinds: tuple[GapKind, ...] = Field(
        GAP_KINDS,
        min_length=1,
        description="line: a whole line; rest: from a cursor within a line to its end; block: a statement's block or "
        "2 to 8 lines; function: a whole body; span: from anywhere to anywhere",
    )
    context_tokens: int = Field(
        2048, ge=64, description="tokens of the prompt and the room for the answer, as editors have them"
    )
    prefix_share: float = Field(
        PREFIX_SHARE,
        gt=0,
        lt=1,
        description="of a file that does not fit, the share that comes before the gap",
    )
    neighbour_share: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of the context for other files of the repository; 0: none are shown",
    )
    neighbours: NeighbourChoice = Field(
        "similar",
        description="which parts of them: similar, those most like the lines before the gap; imported, nearest to "
        "the file those of files that are imported before the gap (Python, JavaScript, TypeScript)",
    )
    format: Literal["editor", "psm", "spm", "left_to_right"] = Field(
        "editor",
        description="the layout of the main figures, where the model's family knows it; editor: the one that this "
        "tool asks editors' gaps in (SPM, or PSM where SPM is not known); left_to_right: that alone",
    )
    layouts: tuple[Literal["psm", "spm", "left_to_right"], ...] = Field(
        ("left_to_right",),
        description="the other layouts that each gap is asked in; left_to_right: the suffix unseen, all else alike",
    )
    suffix: Literal["own", "shuffled"] = Field(
        "own",
        description="shuffled: each gap is asked with what stands behind a gap of another file, which does worse if "
        "the suffix is used",
    )
    unstopped: bool = Field(
        True,
        description="answers are generated to the end that the model gives them, so that they are judged without "
        "editor stops, too; false: less is generated",
    )
    heal: bool = Field(True, description="the prefix may end inside a token, in each layout (token healing)")
    line_max_new_tokens: PositiveInt = Field(64, description="tokens per line or rest of a line, at most")
    max_new_tokens: PositiveInt = Field(256, description="tokens per middle of the other kinds, at most")
    max_characters: PositiveInt = Field(LONGEST_MIDDLE, description="longest middle, in characters")

    @field_validator("kinds", "layouts")
    @classmethod
    def _each_once(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(values))

    @model_validator(mode="after")
    def _shows_what_it_chooses(self) -> Self:
        check_neighbours(self.neighbours, self.neighbour_share)
        return self

    def most_tokens(self, kind: str) -> int:
        """The most tokens of an answer to a gap of this kind."""
        return self.line_max_new_tokens if kind in ("line", "rest") else self.max_new_tokens
