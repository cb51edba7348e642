"""Whether a stage's settings go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from codecascade.ground.errors import UserError
from codecascade.ground.files.values import short
from codecascade.ground.nearest import nearest
from codecascade.recipe.self_instruct import KEY, KIND
from codecascade.training.stream.settings import ChatSettings

if TYPE_CHECKING:
    from codecascade.recipe.settings import Stage


def check_stage(stage: Stage, key: str) -> None:
    """Raise UserError for a stage's settings that do not go together."""
    sources = [item.source for item in stage.mixture]
    if len(set(sources)) < len(sources):
        raise UserError(f"names a source twice ({', '.join(sources)})", key=f"{key}.mixture")
    if stage.kind != "long_context":
        for name in ("rope_theta", "max_position_embeddings", "rope_scaling_factor"):
            if getattr(stage, name) is not None:
                raise UserError("only a long_context stage changes it", key=f"{key}.{name}")
    elif stage.max_position_embeddings is not None and stage.max_position_embeddings < stage.sequence_length:
        raise UserError(
            f"must be at least sequence_length, {stage.sequence_length:,} (got {stage.max_position_embeddings:,})",
            key=f"{key}.max_position_embeddings",
        )
    if stage.timed_minutes is not None and not stage.steps:
        raise UserError("is what `steps` was timed for, and needs it", key=f"{key}.timed_minutes")
    if stage.most_passes is not None and stage.minutes is None and stage.timed_minutes is None:
        raise UserError("is not used: the stage has no `minutes`", key=f"{key}.most_passes")
    if stage.most_passes is not None and not any(item.reads_all for item in stage.mixture):
        raise UserError(
            "needs a source of which all documents are read; the stage reads functions, dialogues or some lengths",
            key=f"{key}.most_passes",
        )
    if stage.kind == "instruct" and stage.steps == 0:
        raise UserError("must be > 0 in an instruct stage (got 0)", key=f"{key}.steps")
    if stage.kind == "instruct" and "dialogues" not in sources:
        raise UserError("an instruct stage needs the source 'dialogues'", key=f"{key}.mixture")
    unnamed = any(item.source == "dialogues" and item.corpus is None for item in stage.mixture)
    if unnamed and stage.dialogues is None:
        raise UserError(
            "is missing: a file of JSON lines with `messages`, or 'mined'", key=f"{key}.dialogues"
        )
    if stage.dialogues is not None and not unnamed:
        raise UserError(
            "is not used: the mixture has no source 'dialogues' without a file", key=f"{key}.dialogues"
        )
    if stage.chat != ChatSettings() and "dialogues" not in sources:
        raise UserError("is not used: the mixture has no source 'dialogues'", key=f"{key}.chat")
    if stage.mined_dialogues is not None and stage.dialogues is None:
        raise UserError("is not used: the stage has no dialogues", key=f"{key}.mined_dialogues")
    if stage.dialogues is not None and not stage.dialogues:
        raise UserError("must be a list that is not empty", key=f"{key}.dialogues")
    if stage.makes(KIND) != (stage.self_instruct is not None):
        raise UserError(
            "is missing"
            if stage.makes(KIND)
            else "is not used: the stage's dialogues are not 'self-instruct'",
            key=f"{key}.{KEY}",
        )
    names = [source.source for source in stage.dialogue_sources]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UserError(f"names {twice!r} twice; give it one share", key=f"{key}.dialogues")
    for name in ("rehearsal_code", "rehearsal_natural_language"):
        if getattr(stage, name) is not None:
            raise UserError(
                "is for an instruct stage without [[stage.mixture]]; give the share there",
                key=f"{key}.{name}",
            )
    if not stage.keep_infilling_tokens and stage.infilling.rate > 0:
        raise UserError(
            f"must be true in a stage with infilling (rate {stage.infilling.rate})",
            key=f"{key}.keep_infilling_tokens",
        )


def check_same_data(stage: Stage, key: str, before: Sequence[Stage]) -> None:
    """Raise UserError if a stage can't have the data of the stage that it names.

    Args:
        before: the stages before it.
    """
    if stage.same_data_as is None:
        return
    key = f"{key}.same_data_as"
    names = [other.name for other in before]
    if stage.same_data_as not in names:
        raise UserError(
            f"no stage before this one is called {short(stage.same_data_as)}; "
            f"{nearest(stage.same_data_as, names) if names else 'it is the first'}",
            key=key,
        )
    other = before[names.index(stage.same_data_as)]
    if _data_of(other) != _data_of(stage):
        raise UserError(
            f"{other.name!r} has another mixture or seed, or other dialogues, and so other data", key=key
        )


def _data_of(stage: Stage) -> tuple[Any, ...]:
    """The settings that decide what a stage reads, and in which order."""
    return (stage.mixture, stage.seed, stage.dialogues, stage.mined_dialogues, stage.self_instruct)
