"""The settings of the question step."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from codecascade.ground.settings import Settings


class QuestionSettings(Settings):
    """How questions are made.

    Attributes:
        batch: questions that one prompt asks for; the paper has 50, small models manage fewer.
        temperature, top_p: of the answers.
        tokens: most tokens of an answer.
    """

    batch: Annotated[int, Field(ge=1, le=200)] = 50
    temperature: Annotated[float, Field(ge=0, le=5)] = 1.0
    top_p: Annotated[float, Field(gt=0, le=1)] = 0.95
    tokens: Annotated[int, Field(ge=1)] = 3072
