"""The base model of a cascade, and how the model of a stage's parent becomes the one that the stage trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from codecascade.cascade.run_folder import RunFolder
from codecascade.corpus.corpus import Corpus, sample_texts
from codecascade.ground.errors import UserError
from codecascade.model.folder import LoadedModel, resize_embeddings, save_folder
from codecascade.model.llama import Llama
from codecascade.model.presets import build, initialise
from codecascade.model.sources import load, resolve
from codecascade.recipe.settings import BASE, Recipe, Stage
from codecascade.recipe.shapes import long_context_shape, rows_with
from codecascade.tokens.chat import chat_token_ids, with_chat_format
from codecascade.tokens.infilling import add_infilling_tokens, drop_infilling_tokens, rows_for
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer
from codecascade.training.embeddings import initialise_new_rows

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


def check_base(recipe: Recipe) -> None:
    """Check that the base can be used, without loading its weights.

    Raises:
        UserError: it is not there, or it is a shape without weights and the recipe has no ``[tokenizer]``.
    """
    source = resolve(recipe.base)
    if recipe.tokenizer is not None and source.kind != "preset":
        raise UserError(
            f"is for a preset as base, which has no weights; {recipe.base} has some", key="tokenizer"
        )
    if source.path is None and source.kind != "hub" and recipe.tokenizer is None:
        # raises the error that says what is missing, and how to get it
        load(recipe.base)


def base_name(recipe: Recipe, run: RunFolder) -> str:
    """What :func:`codecascade.model.sources.load` takes for the base model."""
    return recipe.base if recipe.tokenizer is None else str(run.model(BASE))


def make_base(recipe: Recipe, run: RunFolder, corpus: Corpus) -> None:
    """Write ``RUN/base``: a preset's shape, random weights by the seed, a tokenizer trained on the corpus's code."""
    config = resolve(recipe.base).config
    assert config is not None
    assert recipe.tokenizer is not None
    texts = sample_texts(corpus, ["code"], recipe.tokenizer.characters)
    tokenizer = train_tokenizer(texts, recipe.tokenizer.vocabulary, recipe.tokenizer.kind)
    model = build(replace(config, vocab_size=rows_for(tokenizer.vocab_size)))
    initialise(model, recipe.seed)
    save_folder(run.model(BASE), model, model.config, tokenizer, dtype=DTYPES[recipe.dtype])


@dataclass(frozen=True)
class PreparedModel:
    """What a stage trains.

    Attributes:
        new_token_ids: the infilling and chat tokens that the parent did not have.
    """

    model: Llama
    tokenizer: Tokenizer
    new_token_ids: tuple[int, ...]


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


def prepare_model(parent: LoadedModel, stage: Stage) -> PreparedModel:
    """Give the parent's model the stage's tokens and RoPE, in place."""
    model, before = parent.model, parent.tokenizer
    tokenizer = tokenizer_for(stage, before)
    old_rows = model.config.vocab_size
    if tokenizer.vocab_size < before.vocab_size:
        resize_embeddings(model, rows_for(tokenizer.vocab_size))
    elif (rows := rows_with(old_rows, tokenizer.vocab_size)) != old_rows:
        resize_embeddings(model, rows)
    new = {*range(before.vocab_size, tokenizer.vocab_size), *range(old_rows, model.config.vocab_size)}
    if new:
        initialise_new_rows(model, tokenizer, sorted(new), stage.seed)
    if stage.kind == "long_context":
        model.config = long_context_shape(model.config, stage)
    added = (() if tokenizer.infilling is None else _ids(tokenizer)) + chat_token_ids(tokenizer)
    return PreparedModel(model, tokenizer, tuple(token_id for token_id in added if token_id in new))


def _ids(tokenizer: Tokenizer) -> tuple[int, ...]:
    tokens = tokenizer.infilling
    assert tokens is not None
    known = (tokens.prefix, tokens.suffix, tokens.middle, tokens.end)
    return tuple(token_id for token_id in known if token_id is not None)
