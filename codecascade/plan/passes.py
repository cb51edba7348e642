"""How often each stage reads its sources: passes over a corpus that is here, and else the text for one pass."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from codecascade.corpus.corpus import is_corpus
from codecascade.corpus.manifest import SplitManifest, read_manifest
from codecascade.ground.errors import UserError
from codecascade.ground.format import show_bytes, show_count
from codecascade.recipe.settings import Recipe

BYTES_PER_TOKEN = 3.5
"""Of code, about."""
DIALOGUES = "dialogues"


@dataclass(frozen=True)
class Passes:
    """How much of one source a stage reads (estimates).

    Attributes:
        tokens: that it trains on.
        passes: over the source; None where the corpus is not here.
    """

    stage: str
    source: str
    tokens: float
    passes: float | None

    @property
    def text_bytes(self) -> float:
        """Of the text that so many tokens are."""
        return self.tokens * BYTES_PER_TOKEN

    def __str__(self) -> str:
        read = f"{self.source} {show_count(self.tokens)} tokens"
        if self.passes is None:
            return f"{read}, one pass over {show_bytes(self.text_bytes)} of text"
        return f"{read}, {self.passes:,.2g} passes"


def passes(recipe: Recipe, steps: Mapping[str, int | None]) -> tuple[Passes, ...]:
    """What each stage reads of each source of documents, for the stages whose number of steps is known.

    Args:
        steps: of each stage, by its name.
    """
    return tuple(_passes(recipe, steps))


def _passes(recipe: Recipe, steps: Mapping[str, int | None]) -> Iterator[Passes]:
    own = recipe.corpus[0] if len(recipe.corpus) == 1 else None
    opened: dict[str | None, SplitManifest | None] = {None: None}
    for stage in recipe.stage:
        count = steps.get(stage.name)
        if not count:
            continue
        total = sum(item.share for item in stage.mixture)
        for item in stage.mixture:
            if item.source == DIALOGUES or not item.share:
                continue
            place = item.corpus or own
            if place not in opened:
                opened[place] = _training_split(place)
            tokens = count * stage.batch_tokens * item.share / total
            there = _source_bytes(opened[place], item.source)
            # of functions and of documents of some lengths, the corpus does not say how many there are
            whole = item.granularity == "document" and not item.min_characters and item.max_characters is None
            times = tokens * BYTES_PER_TOKEN / there if there and whole else None
            yield Passes(stage.name, item.source, tokens, times)


def _training_split(place: str | None) -> SplitManifest | None:
    folder = Path(os.path.expanduser(place or ""))
    if place is None or not is_corpus(folder):
        return None
    try:
        return read_manifest(folder).splits.get("train")
    except UserError:
        # whoever opens the corpus says what is wrong with it
        return None


def _source_bytes(split: SplitManifest | None, source: str) -> int:
    if split is None:
        return 0
    return sum(
        count.bytes
        for kind, languages in split.kinds.items()
        for language, count in languages.items()
        if source in (kind, language)
    )
