"""How the model of a stage's parent becomes the one that the stage trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from codecascade.ground.errors import UserError
from codecascade.model.config import LlamaConfig
from codecascade.model.stored.model import StoredModel
from codecascade.model.stored.weights import StoredWeights
from codecascade.recipe.settings import Recipe, Stage
from codecascade.recipe.shapes import long_context_shape, rows_with
from codecascade.tokens.chat import chat_token_ids, with_chat_format
from codecascade.tokens.infilling import add_infilling_tokens, drop_infilling_tokens, rows_for
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.embeddings import GrownWeights, NewRowValues, new_row_values
from codecascade.training.parallel.ranks import World

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class StageModel:
    """What a stage trains: its parent's model, with the stage's tokens and RoPE; the weights are the parent's files.

    Attributes:
        added: ids of the tokens that the parent did not have, and rows that only pad the vocabulary tables.
        new_token_ids: those of them that are infilling and chat tokens.
    """

    parent: StoredModel
    config: LlamaConfig
    tokenizer: Tokenizer
    added: tuple[int, ...]
    new_token_ids: tuple[int, ...]

    def weights(self, stage: Stage, world: World) -> StoredWeights:
        """The weights at the stage's beginning. All ranks must call this.

        The values of new rows are computed from the whole tables, so one rank does that for all.

        Raises:
            UserError: the parent's files can't be read. Every rank raises it.
        """
        before = self.parent.weights
        if not self.added and self.config.vocab_size == self.parent.config.vocab_size:
            return before
        new = world.from_first(
            lambda: (
                new_row_values(before, self.config, self.tokenizer, self.added, stage.seed)
                if self.added
                else NewRowValues((), {})
            )
        )
        return GrownWeights(before, self.config.vocab_size, new)


def tokenizer_for(stage: Stage, tokenizer: Tokenizer) -> Tokenizer:
    """The stage's tokenizer, made from its parent's ``tokenizer``.

    Raises:
        UserError: the stage's chat format needs control tokens that are not there, or other tokens come after the
            infilling tokens that it drops.
    """
    if not stage.keep_infilling_tokens:
        tokenizer = drop_infilling_tokens(tokenizer)
    if stage.uses_infilling:
        tokenizer = add_infilling_tokens(tokenizer)
    if any(item.source == "dialogues" for item in stage.mixture):
        tokenizer = with_chat_format(tokenizer, stage.chat_format)
    return tokenizer


def stage_tokenizers(
    recipe: Recipe, stages: Sequence[Stage], bases: Mapping[str, Tokenizer]
) -> dict[str, Tokenizer]:
    """The tokenizer of each model by its name, given those of the bases. Raises as :func:`tokenizer_for`."""
    tokenizers = dict(bases)
    for stage in stages:
        index = recipe.stage.index(recipe[stage.name])
        try:
            tokenizers[stage.name] = tokenizer_for(stage, tokenizers[stage.parent])
        except UserError as error:
            key = f"stage[{index}].{error.key or 'chat_format'}"
            raise UserError(error.message, file=error.file, key=key) from None
    return tokenizers


def stage_model(parent: StoredModel, stage: Stage) -> StageModel:
    """The model that ``stage`` makes of its parent's. Nothing is read."""
    before, old_rows = parent.tokenizer, parent.config.vocab_size
    tokenizer = tokenizer_for(stage, before)
    if tokenizer.vocab_size < before.vocab_size:
        rows = rows_for(tokenizer.vocab_size)
    else:
        rows = rows_with(old_rows, tokenizer.vocab_size)
    # an id of a token that was dropped may be another token's now
    named = tokenizer.vocabulary.items()
    new = {token_id for name, token_id in named if before.vocabulary.get(name) != token_id}
    new |= {*range(old_rows, rows)}
    config = replace(parent.config, vocab_size=rows)
    if stage.kind == "long_context":
        config = long_context_shape(config, stage)
    added = (() if tokenizer.infilling is None else _ids(tokenizer)) + chat_token_ids(tokenizer)
    new_token_ids = tuple(token_id for token_id in added if token_id in new)
    return StageModel(parent, config, tokenizer, tuple(sorted(new)), new_token_ids)


def _ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    tokens = tokenizer.infilling
    assert tokens is not None
    known = (tokens.prefix, tokens.suffix, tokens.middle, tokens.end)
    return tuple(token_id for token_id in known if token_id is not None)
