"""Settings of the data stream: what is mixed, and how documents are infilled."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from codecascade.corpus.neighbours import NeighbourChoice, check_neighbours
from codecascade.ground.settings import LARGEST_SHARE, Settings

_ROUNDING = 1e-9
"""Shares whose sum is 1 on paper may be a little more in binary."""


class InfillingSettings(Settings):
    """Infilling. The defaults are the paper's (section 2.3); the other values are ours."""

    rate: float = Field(
        default=0.9,
        ge=0,
        le=1,
        description="share of the documents that are split, if they fit whole (or too_long is window)",
    )
    spm_share: float = Field(
        default=0.5, ge=0, le=1, description="share of the split ones in SPM; the others are PSM"
    )
    level: Literal["character", "line"] = Field(
        default="character", description="what the two split points lie between; both are drawn independently"
    )
    whole_line_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the split ones whose middle is one whole line that isn't blank",
    )
    editor_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="share of the split ones whose middle is what an editor asks for, as infilling_heldout draws "
        "it, with the line break behind it: a line without its indentation, the rest of one behind a cursor, some "
        "statements, or the body of a function (these two where the language can be parsed)",
    )
    middle_weight: float = Field(
        default=1.0,
        gt=0,
        description="loss weight of a middle, and of its end unless end_weight is given",
    )
    end_weight: float | None = Field(
        default=None, gt=0, description="loss weight of the token that ends a middle; none: middle_weight"
    )
    rest_weight: float = Field(
        default=1.0, ge=0, description="loss weight of a split document's other tokens"
    )
    too_long: Literal["plain", "window"] = Field(
        default="plain",
        description="a document that does not fit into a row once it is split: plain, it is not split (the paper); "
        "window, about as many of its lines are split as fit, as an editor sends the lines around the cursor",
    )
    neighbour_share: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="parts of other files of the same repository and language come before a split document, in at "
        "most this share of a row",
    )
    neighbours: NeighbourChoice = Field(
        default="similar",
        description="which parts: similar, those most like the lines before the gap; imported, nearest to the "
        "document those of files that are imported before the gap (Python, JavaScript, TypeScript)",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        check_neighbours(self.neighbours, self.neighbour_share)
        if self.whole_line_share + self.editor_share > 1 + _ROUNDING:
            raise ValueError(
                f"whole_line_share ({self.whole_line_share:g}) and editor_share ({self.editor_share:g}) are more "
                "than 1 together"
            )
        return self


class ChatSettings(Settings):
    """How dialogues are trained on. The paper says nothing of it; all is ours."""

    loss: Literal["all", "last"] = Field(
        default="all", description="the answers that have a loss: all of a dialogue, or the last alone"
    )
    too_long: Literal["cut", "drop"] = Field(
        default="cut",
        description="a dialogue longer than a row: loses its last turns (if loss is all), or is passed over",
    )
    system: str | None = Field(
        default=None, min_length=1, description="the system message of dialogues that have none"
    )


class MixtureItem(Settings):
    """One source of a mixture (a row of the paper's Table 1)."""

    source: str = Field(
        description="code, python, natural_language_code, natural_language, a language, or dialogues"
    )
    share: float = Field(
        gt=0, le=LARGEST_SHARE, description="of the tokens, in proportion to the other sources' shares"
    )
    corpus: str | None = Field(
        default=None, description="folder of shards, or a file of dialogues; default: the recipe's corpus"
    )
    granularity: Literal["document", "function"] = Field(
        default="document",
        description="whole documents, or one Python function of each, another in each epoch",
    )
    min_characters: int = Field(default=0, ge=0, description="shorter documents or functions are passed over")
    max_characters: int | None = Field(
        default=None, gt=0, description="longer documents or functions are passed over"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.max_characters is not None and self.max_characters < self.min_characters:
            raise ValueError(
                f"max_characters ({self.max_characters}) is less than min_characters ({self.min_characters})"
            )
        return self

    @property
    def reads_all(self) -> bool:
        """Whether all documents of its source are read as they are, so that its bytes say what a pass is."""
        filtered = self.min_characters or self.max_characters is not None
        return self.source != "dialogues" and self.granularity == "document" and not filtered
