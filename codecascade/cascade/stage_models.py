"""The base model of a cascade, and how the model of a stage's parent becomes the one that the stage trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from codecascade.cascade.run_folder import RunFolder
from codecascade.corpus.corpus import Corpus, sample_texts
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_folder
from codecascade.model.config import LlamaConfig
from codecascade.model.folder import check_target, write_description
from codecascade.model.presets import build, initial_weights
from codecascade.model.sources import load, resolve
from codecascade.model.stored.model import StoredModel
from codecascade.model.stored.weights import StoredWeights
from codecascade.model.stored.writing import write_in_turn
from codecascade.recipe.settings import BASE, Recipe, Stage
from codecascade.recipe.shapes import long_context_shape, rows_with
from codecascade.tokens.chat import chat_token_ids, with_chat_format
from codecascade.tokens.infilling import add_infilling_tokens, drop_infilling_tokens, rows_for
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer
from codecascade.training.embeddings import GrownWeights, NewRowValues, new_row_values
from codecascade.training.parallel.ranks import World

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def check_base(recipe: Recipe) -> None:
    """Check that the base can be used, without loading its weights.

    Raises:
        UserError: it is not there, or it is a shape without weights and the recipe has no ``[tokenizer]``.
    """
    try:
        source = resolve(recipe.base)
        if source.path is None and source.kind != "hub" and recipe.tokenizer is None:
            # raises the error that says what is missing, and how to get it
            load(recipe.base)
    except UserError as error:
        raise UserError(f"{error} (--set base=MODEL takes another one)", key="base") from None
    if recipe.tokenizer is not None and source.kind != "preset":
        raise UserError(
            f"is for a preset as base, which has no weights; {recipe.base} has some", key="tokenizer"
        )


def base_name(recipe: Recipe, run: RunFolder) -> str:
    """What :func:`codecascade.model.sources.load` takes for the base model."""
    return recipe.base if recipe.tokenizer is None else str(run.model(BASE))


def make_base(recipe: Recipe, run: RunFolder, corpus: Corpus) -> None:
    """Write ``RUN/base``: a preset's shape, random weights by the seed, a tokenizer trained on the corpus's code.

    Each tensor is drawn when its turn comes, so the model is never in memory as a whole.
    """
    config = resolve(recipe.base).config
    assert config is not None
    assert recipe.tokenizer is not None
    texts = sample_texts(corpus, ["code"], recipe.tokenizer.characters)
    tokenizer = train_tokenizer(texts, recipe.tokenizer.vocabulary, recipe.tokenizer.kind)
    config = replace(config, vocab_size=rows_for(tokenizer.vocab_size))
    shapes = {name: tuple(tensor.shape) for name, tensor in build(config, "meta").state_dict().items()}
    path, dtype = run.model(BASE), DTYPES[recipe.dtype]
    check_target(path)
    with atomic_folder(path) as folder:
        write_in_turn(folder, shapes, initial_weights(config, recipe.seed), dtype)
        write_description(folder, config, tokenizer, dtype=dtype)


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
        UserError: the stage's chat format needs control tokens that are not there.
    """
    if not stage.keep_infilling_tokens:
        tokenizer = drop_infilling_tokens(tokenizer)
    if stage.uses_infilling:
        tokenizer = add_infilling_tokens(tokenizer)
    if any(item.source == "dialogues" for item in stage.mixture):
        tokenizer = with_chat_format(tokenizer, stage.chat_format)
    return tokenizer


def stage_tokenizers(recipe: Recipe, stages: Sequence[Stage], tokenizer: Tokenizer) -> dict[str, Tokenizer]:
    """The tokenizer of each stage by its name, given the base's. Raises as :func:`tokenizer_for`."""
    tokenizers = {BASE: tokenizer}
    for stage in stages:
        index = recipe.stage.index(recipe[stage.name])
        try:
            tokenizers[stage.name] = tokenizer_for(stage, tokenizers[stage.parent])
        except UserError as error:
            raise UserError(error.message, file=error.file, key=f"stage[{index}].chat_format") from None
    return tokenizers


def stage_model(parent: StoredModel, stage: Stage) -> StageModel:
    """The model that ``stage`` makes of its parent's. Nothing is read."""
    before, old_rows = parent.tokenizer, parent.config.vocab_size
    tokenizer = tokenizer_for(stage, before)
    if tokenizer.vocab_size < before.vocab_size:
        rows = rows_for(tokenizer.vocab_size)
    else:
        rows = rows_with(old_rows, tokenizer.vocab_size)
    new = {*range(before.vocab_size, tokenizer.vocab_size), *range(old_rows, rows)}
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
