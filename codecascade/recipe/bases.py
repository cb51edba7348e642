"""``[bases.NAME]``: models that come into a cascade besides its ``base``, and models that start from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.ground.choices import TokenizerKind
from codecascade.ground.settings import Settings
from codecascade.model.config import LIMITS
from codecascade.tokens.training import SMALLEST_VOCABULARY


class TokenizerSettings(Settings):
    """The tokenizer of a model that starts from scratch: one that is trained on the corpus, or another model's."""

    vocabulary: int | None = Field(
        None,
        ge=SMALLEST_VOCABULARY,
        le=int(LIMITS["vocab_size"]),
        description="ids of a tokenizer that is trained, control tokens and bytes included",
    )
    model: str | None = Field(None, min_length=1, description="the model whose tokenizer is taken instead")
    kind: TokenizerKind = Field("llama", description="laid out as Llama 2's, or as SmolLM2's")
    characters: int = Field(20_000_000, gt=0, description="of training code that it is trained on, at most")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.vocabulary is None) == (self.model is None):
            raise ValueError(
                "must have either a vocabulary, to be trained, or a model, whose tokenizer is taken"
            )
        return self


class BaseSettings(Settings):
    """A model that comes in: stages start from it as from ``base``, and it is measured as they are."""

    model: str = Field(
        min_length=1, description="a model folder, GGUF file, hub name or preset; default: the recipe's base"
    )
    random_weights: bool = Field(
        False, description="take the model's shape alone: weights are drawn by the seed, a start from scratch"
    )
    tokenizer: TokenizerSettings | None = Field(
        None, description="with random_weights; default: the recipe's [tokenizer], else the model's own"
    )
    seed: int = Field(0, ge=0, description="of random weights")
    evaluate: EvaluateSettings = Field(description="what is measured; default: the recipe's [evaluate]")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.tokenizer is not None and not self.random_weights:
            raise ValueError(
                "has a tokenizer, which is for random_weights = true; a model has its own tokenizer"
            )
        return self

    @property
    def tokenizer_model(self) -> str | None:
        """The model whose tokenizer a start from scratch takes; None if one is trained."""
        return self.model if self.tokenizer is None else self.tokenizer.model


def as_tokenizer(table: Any) -> Any:
    """``tokenizer = "MODEL"`` as a table of its own."""
    return {"model": table} if isinstance(table, str) else table


def with_base_defaults(base: Any, recipe: Mapping[str, Any]) -> Any:
    """A table of ``[bases]`` with what it leaves out, but for ``evaluate``. A wrong value is left for validation."""
    if not isinstance(base, dict):
        return base
    full = {"seed": recipe["seed"], **({"model": recipe["base"]} if "base" in recipe else {}), **base}
    if "tokenizer" in full:
        full["tokenizer"] = as_tokenizer(full["tokenizer"])
    elif full.get("random_weights") is True and "tokenizer" in recipe:
        full["tokenizer"] = recipe["tokenizer"]
    return full
