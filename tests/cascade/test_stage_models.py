"""How the model of a stage's parent becomes the one that the stage trains."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from codecascade.cascade.stage_models import stage_model, stage_tokenizers
from codecascade.ground.errors import UserError
from codecascade.model.presets import PRESETS
from codecascade.recipe import make_recipe
from codecascade.recipe.shapes import rows_with
from codecascade.tokens.chat import with_chat_format
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.training import train_tokenizer


def test_a_token_in_the_place_of_a_dropped_one_is_new(data: dict[str, Any]) -> None:
    """Its row is an infilling token's, which says nothing of what it means."""
    changes = {"parent": "base", "chat_format": "step", "keep_infilling_tokens": False}
    recipe = make_recipe({**data, "stage": [{**data["stage"][3], **changes}]})
    plain = train_tokenizer(["x"], 300, "llama")
    before = add_infilling_tokens(plain)
    config = replace(PRESETS["tiny"], vocab_size=rows_with(0, before.vocab_size))
    parent: Any = SimpleNamespace(tokenizer=before, config=config)
    made = stage_model(parent, recipe["chat"])
    assert made.tokenizer.vocabulary["<step>"] == plain.vocab_size
    assert plain.vocab_size in made.added and made.new_token_ids == (plain.vocab_size,)


def test_infilling_tokens_before_others_are_not_dropped(data: dict[str, Any]) -> None:
    recipe = make_recipe(data)
    before = with_chat_format(add_infilling_tokens(train_tokenizer(["x"], 300, "llama")), "step")
    with pytest.raises(UserError, match=r"stage\[1\]\.keep_infilling_tokens: .*<step> comes after them"):
        stage_tokenizers(recipe, [recipe["code"], recipe["python"]], {"base": before})
