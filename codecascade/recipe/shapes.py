"""The shapes of a recipe's models, known without their weights."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codecascade.corpus.sources.find import source_exists
from codecascade.ground.errors import UserError
from codecascade.instruct.dialogues.places import is_there
from codecascade.model.config import LlamaConfig
from codecascade.model.folder import read_tokenizer
from codecascade.model.rope_scaling import RopeScaling
from codecascade.model.sources import Source, config_of, resolve, tokenizer_of
from codecascade.recipe.bases import BaseSettings
from codecascade.recipe.self_instruct import KEY
from codecascade.recipe.settings import BASE, Recipe, Stage
from codecascade.tokens.infilling import add_infilling_tokens, drop_infilling_tokens, rows_for
from codecascade.tokens.tokenizer import Tokenizer

_LLAMA_2_IDS, _CODE_LLAMA_IDS, _CODE_LLAMA_ROWS = 32_000, 32_011, 32_016
_OWN_INFILLING_TOKENS = ("qwen2", "qwen3", "granite")


@dataclass(frozen=True)
class BaseShape:
    """What of the base model decides the shapes of the stages' models.

    Attributes:
        infilling: whether it has infilling tokens.
        own: whether these are its family's own and not Code Llama's. No stage drops them.
        plain_ids: number of token ids without Code Llama's infilling tokens.
        infilling_ids: number of token ids with them.
    """

    config: LlamaConfig
    infilling: bool
    own: bool
    plain_ids: int
    infilling_ids: int

    @classmethod
    def guess(cls, config: LlamaConfig, ids: int | None = None) -> BaseShape:
        """What can be known without the tokenizer.

        Llama 2 and Code Llama are known by their number of rows. The vocabularies of some model types have infilling
        tokens of their own. Of any other model every row is taken to be a token's.
        """
        rows = config.vocab_size
        if config.model_type == "llama" and ids is None and rows in (_LLAMA_2_IDS, _CODE_LLAMA_ROWS):
            return cls(config, rows == _CODE_LLAMA_ROWS, False, _LLAMA_2_IDS, _CODE_LLAMA_IDS)
        own = config.model_type in _OWN_INFILLING_TOKENS
        return cls(config, own, own, ids or rows, (ids or rows) + 4)

    @classmethod
    def of(cls, config: LlamaConfig, tokenizer: Tokenizer) -> BaseShape:
        """What the tokenizer shows."""
        plain = drop_infilling_tokens(tokenizer)
        return cls(
            config,
            infilling=tokenizer.infilling is not None,
            own=plain.infilling is not None,
            plain_ids=plain.vocab_size,
            infilling_ids=add_infilling_tokens(plain).vocab_size,
        )


def rows_with(rows: int, ids: int) -> int:
    """Rows that a model of ``rows`` rows needs for ``ids`` token ids. A padded vocabulary may have enough."""
    return rows if ids <= rows else rows_for(ids)


def model_shapes(
    recipe: Recipe, bases: Mapping[str, BaseShape], file: str | Path | None = None
) -> dict[str, LlamaConfig]:
    """The shape of each stage's model, by the stage's name, where that of its base is known.

    Args:
        bases: the shapes that are known of the models that come in, by their names in the recipe.

    Raises:
        UserError: a stage's sequences are longer than its model allows.
    """
    models = dict(bases)
    for index, stage in enumerate(recipe.stage):
        if stage.parent not in models:
            continue
        parent = models[stage.parent]
        config, infilling = parent.config, parent.infilling
        if stage.uses_infilling and not infilling:
            rows = rows_with(config.vocab_size, parent.infilling_ids)
            config, infilling = replace(config, vocab_size=rows), True
        if not stage.keep_infilling_tokens and infilling and not parent.own:
            config, infilling = replace(config, vocab_size=rows_for(parent.plain_ids)), False
        if stage.kind == "long_context":
            try:
                config = long_context_shape(config, stage)
            except UserError as error:
                raise UserError(error.message, file=file, key=f"stage[{index}].{error.key}") from None
        if stage.sequence_length > config.max_position_embeddings:
            raise UserError(
                f"is {stage.sequence_length:,}, but {stage.parent!r} has {config.max_position_embeddings:,} "
                "positions (max_position_embeddings); shorten it, or put a long_context stage before",
                file=file,
                key=f"stage[{index}].sequence_length",
            )
        models[stage.name] = replace(parent, config=config, infilling=infilling)
    return {stage.name: models[stage.name].config for stage in recipe.stage if stage.name in models}


def long_context_shape(config: LlamaConfig, stage: Stage) -> LlamaConfig:
    """A model's shape with the RoPE base, scaling and positions that a long_context stage gives it.

    Raises:
        UserError: the model has a sliding window, which is shorter.
    """
    positions = stage.max_position_embeddings or max(config.max_position_embeddings, stage.sequence_length)
    config.check_window(
        positions,
        key="sequence_length" if stage.max_position_embeddings is None else "max_position_embeddings",
    )
    factor = stage.rope_scaling_factor
    return replace(
        config,
        rope_theta=stage.rope_theta or config.rope_theta,
        rope_scaling=config.rope_scaling if factor is None else RopeScaling("linear", factor),
        max_position_embeddings=positions,
    )


def look_at_bases(recipe: Recipe, warnings: list[str]) -> dict[str, BaseShape]:
    """The shapes that are known of the models that come in, by their names in the recipe.

    A warning for each missing part is added to ``warnings``.

    Raises:
        UserError: a base is there, but it is no model that can be used.
    """
    looked = {name: _look_at(base, base_key(name), warnings) for name, base in recipe.roots.items()}
    return {name: shape for name, shape in looked.items() if shape is not None}


def base_key(name: str) -> str:
    """The key of a model that comes in, as the recipe has it."""
    return BASE if name == BASE else f"bases.{name}"


def _look_at(base: BaseSettings, key: str, warnings: list[str]) -> BaseShape | None:
    """The shape of a base, or None if it is not known."""
    model = base.model
    try:
        source = resolve(model)
    except UserError as error:
        if error.key is not None or os.path.exists(model):
            raise
        warnings.append(f"{key}: {error}; its shape is unknown")
        return None
    config = source.config or config_of(model)
    if config is None:
        warnings.append(f"{key}: {model} is not here, and its shape could not be fetched from the hub")
        return None
    if base.random_weights:
        return _shape_from_scratch(base, config, key, warnings)
    if source.path is None:
        warnings.append(f"{key}: the weights of {model} are not here{_where(source)}")
    if source.kind == "meta":
        return BaseShape.of(config, tokenizer_of(model))
    if source.kind != "folder" or source.path is None:
        return BaseShape.guess(config)
    if not any(source.path.glob("*.safetensors")):
        warnings.append(f"{key}: {model} holds no weights")
    if not any((source.path / name).exists() for name in ("tokenizer.json", "tokenizer.model")):
        warnings.append(f"{key}: {model} holds no tokenizer")
        return BaseShape.guess(config)
    return BaseShape.of(config, read_tokenizer(source.path))


def _shape_from_scratch(base: BaseSettings, config: LlamaConfig, key: str, warnings: list[str]) -> BaseShape:
    """The shape that random weights get: ``config`` with a row for each id of the tokenizer."""
    ids = None if base.tokenizer is None else base.tokenizer.vocabulary
    if ids is not None:
        return BaseShape.guess(replace(config, vocab_size=rows_for(ids)), ids)
    assert base.tokenizer_model is not None
    try:
        tokenizer = tokenizer_of(base.tokenizer_model)
    except UserError as error:
        warnings.append(f"{key}: its tokenizer can't be read ({error})")
        return BaseShape.guess(config)
    return BaseShape.of(replace(config, vocab_size=rows_for(tokenizer.vocab_size)), tokenizer)


def _where(source: Source) -> str:
    if source.kind == "hub":
        return "; a run fetches them from the hub"
    return "; it is a shape alone: name a folder, or add [tokenizer] to start from scratch" * (
        source.kind == "preset"
    )


def missing_texts(
    recipe: Recipe,
    stages: Sequence[Stage] | None = None,
    *,
    sources: bool = True,
    made: Collection[str] = (),
) -> list[str]:
    """A sentence, after its keys, for each corpus, source and file of dialogues or questions that is not there.

    Args:
        stages: those whose files are looked for; None: all.
        sources: whether the sources of the recipe's own corpus are looked for.
        made: the stages that have their dialogues by self-instruct, so that their questions are not looked for.
    """
    named = [("corpus", source) for source in recipe.corpus] if sources else []
    for stage in recipe.stage if stages is None else stages:
        named += [
            (f"stage.{stage.name}", item.corpus)
            for item in stage.mixture
            if item.corpus and item.source != "dialogues"
        ]
        asked = stage.self_instruct
        if asked is not None and asked.made_in is None and stage.name not in made:
            paths = (source.path for source in asked.question.sources)
            named += [(f"stage.{stage.name}.{KEY}", path) for path in paths if path]
    missing: dict[str, list[str]] = {}
    for key, source in named:
        if not source_exists(source):
            missing.setdefault(source, []).append(key)
    for stage in recipe.stage if stages is None else stages:
        for dialogues in stage.dialogue_sources:
            if not is_there(dialogues):
                missing.setdefault(dialogues.source, []).append(f"stage.{stage.name}")
    return [f"{', '.join(dict.fromkeys(keys))}: there is no {source}" for source, keys in missing.items()]
