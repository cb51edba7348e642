"""``[stage.self_instruct]``: how the dialogues of an instruct stage are made by a model, and by which."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from codecascade.ground.format import without_login
from codecascade.ground.settings import Settings
from codecascade.instruct.self_instruct.settings import SelfInstructSettings

KIND, KEY = "self-instruct", "self_instruct"
"""The word for these dialogues among a stage's ``dialogues``, and the table of their settings."""


class TeacherSettings(Settings):
    """A model that is asked: one by its name, one behind a server, or an earlier model of the same cascade."""

    model: str | None = Field(
        None,
        min_length=1,
        description="a model folder, GGUF file or hub name; with endpoint the name by which the server knows it",
    )
    endpoint: str | None = Field(
        None,
        min_length=1,
        description="address of an OpenAI-compatible server, such as http://localhost:8000/v1",
    )
    stage: str | None = Field(None, description="an earlier stage of the recipe, or 'base'")

    @model_validator(mode="after")
    def _names_one(self) -> Self:
        if (self.model is None) == (self.stage is None):
            raise ValueError("must name either a model or a stage")
        if self.endpoint is not None and self.model is None:
            raise ValueError("an endpoint needs a model: the name by which the server knows it")
        return self

    @property
    def in_words(self) -> str:
        """What messages call it."""
        name = self.model or self.stage or ""
        return f"{name} at {without_login(self.endpoint)}" if self.endpoint else name


class StageSelfInstruct(SelfInstructSettings):
    """All settings of self-instruct, and who is asked."""

    teacher: TeacherSettings | None = Field(
        None, description="who writes tests and solutions, and questions too; default: the stage's parent"
    )
    questions_from: TeacherSettings | None = Field(
        None, description="who writes the questions; default: the teacher"
    )
    made_in: str | None = Field(
        None,
        min_length=1,
        description="a finished folder of `codecascade self-instruct`: its dialogues are taken, and nobody is asked",
    )

    @property
    def settings(self) -> SelfInstructSettings:
        """The settings without the teachers."""
        return SelfInstructSettings(**{key: getattr(self, key) for key in SelfInstructSettings.model_fields})

    @property
    def named_stages(self) -> dict[str, str]:
        """The stages that are named as teachers, by the key that names them."""
        named = {"teacher": self.teacher, "questions_from": self.questions_from}
        return {key: one.stage for key, one in named.items() if one is not None and one.stage is not None}

    def teacher_of(self, parent: str) -> TeacherSettings:
        """Who writes tests and solutions for a stage with this parent."""
        return self.teacher or TeacherSettings(stage=parent)

    def asker_of(self, parent: str) -> TeacherSettings:
        """Who writes the questions for a stage with this parent."""
        return self.questions_from or self.teacher_of(parent)


TEACHERS = ("teacher", "questions_from")
RUN_ONLY = (*TEACHERS, "made_in")
"""What the command does not read: it has a model, options and a folder of its own."""


def merged_self_instruct(shared: Any, own: Any, seed: Any) -> Any:
    """A stage's table with what it leaves out taken from the recipe's. Wrong values are left for validation.

    Args:
        seed: the stage's, where neither has one.
    """
    shared, own = as_self_instruct(shared), as_self_instruct(own)
    if not isinstance(own, dict) or not isinstance(shared, dict):
        return own
    merged = {"seed": seed, **shared, **own}
    if isinstance(shared.get("question"), dict) and isinstance(own.get("question"), dict):
        merged["question"] = {**shared["question"], **own["question"]}
    return merged


def as_self_instruct(table: Any) -> Any:
    """The table with ``teacher = "MODEL"`` as a table of its own."""
    if not isinstance(table, dict):
        return table
    return {
        key: {"model": value} if key in TEACHERS and isinstance(value, str) else value
        for key, value in table.items()
    }
