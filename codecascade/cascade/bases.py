"""The models that come into a cascade: found before it begins, and made where they start from scratch."""

from __future__ import annotations

from dataclasses import replace

from codecascade.cascade.run_folder import RunFolder
from codecascade.cascade.stage_models import DTYPES
from codecascade.corpus.corpus import Corpus, sample_texts
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_folder
from codecascade.model.folder import check_target, write_description
from codecascade.model.presets import build, initial_weights
from codecascade.model.sources import config_of, load, resolve, tokenizer_of
from codecascade.model.stored.writing import write_in_turn
from codecascade.recipe.bases import BaseSettings
from codecascade.recipe.settings import BASE, Recipe
from codecascade.recipe.shapes import base_key
from codecascade.tokens.infilling import rows_for
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer


def check_bases(recipe: Recipe) -> None:
    """Check that every base can be used, without loading its weights.

    Raises:
        UserError: it is not there, or it is a shape without weights and does not start from scratch.
    """
    for name, base in recipe.roots.items():
        key = base_key(name)
        setting = key if name == BASE else f"{key}.model"
        try:
            _check_model(base)
        except UserError as error:
            raise UserError(f"{error} (--set {setting}=MODEL takes another one)", key=setting) from None
        if base.random_weights and base.tokenizer_model is not None:
            try:
                _check_tokenizer(base.tokenizer_model)
            except UserError as error:
                raise UserError(str(error), key="tokenizer" if name == BASE else f"{key}.tokenizer") from None
    if recipe.tokenizer is not None and resolve(recipe.base).kind != "preset":
        raise UserError(
            f"is for a preset as base, which has no weights; {recipe.base} has some", key="tokenizer"
        )


def _check_model(base: BaseSettings) -> None:
    source = resolve(base.model)
    if source.path is None and source.kind != "hub" and not base.random_weights:
        # raises the error that says what is missing, and how to get it
        load(base.model)


def _check_tokenizer(model: str) -> None:
    source = resolve(model)
    if source.kind == "preset":
        raise UserError(
            f"{model} is a shape without a tokenizer; name a model that has one, or give a vocabulary"
        )
    if source.path is None and source.kind != "hub":
        load(model)


def make_base(recipe: Recipe, name: str, run: RunFolder, corpus: Corpus) -> None:
    """Write a base that starts from scratch: a model's shape, random weights by the seed, and a tokenizer.

    Each tensor is drawn when its turn comes, so the model is never in memory as a whole.
    """
    base = recipe.roots[name]
    config = config_of(base.model)
    if config is None:
        raise UserError(f"the shape of {base.model} is not here and can't be fetched", key=base_key(name))
    tokenizer = _tokenizer(base, corpus)
    config = replace(config, vocab_size=rows_for(tokenizer.vocab_size))
    shapes = {key: tuple(tensor.shape) for key, tensor in build(config, "meta").state_dict().items()}
    path, dtype = run.base(name), DTYPES[recipe.dtype]
    check_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(path) as folder:
        write_in_turn(folder, shapes, initial_weights(config, base.seed), dtype)
        write_description(folder, config, tokenizer, dtype=dtype)


def _tokenizer(base: BaseSettings, corpus: Corpus) -> Tokenizer:
    """The tokenizer of a base that starts from scratch: another model's, or trained on the corpus's code."""
    if base.tokenizer_model is not None:
        return tokenizer_of(base.tokenizer_model)
    settings = base.tokenizer
    assert settings is not None
    assert settings.vocabulary is not None
    texts = sample_texts(corpus, ["code"], settings.characters)
    return train_tokenizer(texts, settings.vocabulary, settings.kind)
