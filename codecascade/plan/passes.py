"""How often each stage reads its sources, and what the corpora take as tokens where these are kept.

It is passes over a corpus that is built, and else how much text the tokens are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from codecascade.corpus.corpus import is_corpus
from codecascade.corpus.manifest import SplitManifest, read_manifest
from codecascade.ground.errors import UserError
from codecascade.ground.files.paths import expanded
from codecascade.ground.format import listed, show_bytes, show_count
from codecascade.recipe.settings import Recipe
from codecascade.training.stream.settings import MixtureItem
from codecascade.training.stream.tokenized.shard import BYTES_PER_TOKEN, id_bytes

DIALOGUES = "dialogues"


@dataclass(frozen=True)
class Passes:
    """How much of one source a stage reads (estimates).

    Attributes:
        tokens: that it trains on.
        passes: over the source; None where the corpus is not built yet, or does not say how much of it there is.
        corpus: the folder that has the source, as the recipe names it.
        built: whether the corpus is.
    """

    stage: str
    source: str
    tokens: float
    passes: float | None
    corpus: str | None = None
    built: bool = True

    def of_steps(self, steps: int) -> Passes:
        """What so many steps read, of which each reads this."""
        times = None if self.passes is None else self.passes * steps
        return replace(self, tokens=self.tokens * steps, passes=times)

    @property
    def text_bytes(self) -> float:
        """Of the text that so many tokens are."""
        return self.tokens * BYTES_PER_TOKEN

    def __str__(self) -> str:
        read = f"{self.source} {show_count(self.tokens)} tokens"
        if self.passes is None:
            return f"{read}, about {show_bytes(self.text_bytes)} of text"
        return f"{read}, {self.passes:,.2g} passes"


def passes_of_a_step(recipe: Recipe) -> tuple[Passes, ...]:
    """What one step of each stage reads of each source of documents."""
    return tuple(_passes_of_a_step(recipe))


def _passes_of_a_step(recipe: Recipe) -> Iterator[Passes]:
    own = _own_corpus(recipe)
    opened: dict[str | None, SplitManifest | None] = {None: None}
    for stage in recipe.stage:
        total = sum(item.share for item in stage.mixture)
        for item in stage.mixture:
            if item.source == DIALOGUES:
                continue
            place = item.corpus or own
            if place not in opened:
                opened[place] = _training_split(place)
            tokens = stage.batch_tokens * item.share / total
            there = _source_bytes(opened[place], item.source)
            # of functions and of documents of some lengths, the corpus does not say how many there are
            times = tokens * BYTES_PER_TOKEN / there if there and item.reads_all else None
            yield Passes(stage.name, item.source, tokens, times, place, built=opened[place] is not None)


@dataclass(frozen=True)
class KeptTokens:
    """What ``[run] token_cache`` keeps.

    Attributes:
        folder: where.
        bytes: of the corpora as tokens (estimate); None where one of them is not here.
        id_bytes: of a token.
        whole: the stages that read all their documents there.
        partly: those that infill, and read there what they do not infill.
    """

    folder: str
    bytes: int | None
    id_bytes: int
    whole: tuple[str, ...]
    partly: tuple[str, ...]

    def __str__(self) -> str:
        size = f"{self.id_bytes} bytes a token" if self.bytes is None else f"about {show_bytes(self.bytes)}"
        uses = [f"{', '.join(self.whole)} read all documents there"] if self.whole else []
        uses += [f"{', '.join(self.partly)} only those that are not infilled"] if self.partly else []
        return (
            f"token_cache {self.folder}: the corpora take {size}; {', '.join(uses) or 'no stage reads there'}"
        )


def kept_tokens(recipe: Recipe, vocabularies: Mapping[str, int]) -> KeptTokens | None:
    """What the recipe's ``token_cache`` keeps; None if it has none.

    Args:
        vocabularies: rows of each stage's vocabulary, by its name, where they are known.
    """
    if recipe.run.token_cache is None:
        return None
    own = _own_corpus(recipe)
    readers = {
        stage.name: [item.corpus or own for item in stage.mixture if _by_whole_documents(item)]
        for stage in recipe.stage
    }
    splits = [_training_split(place) for place in {place for places in readers.values() for place in places}]
    text = None if None in splits else sum(split.total.bytes for split in splits if split is not None)
    reading = [stage for stage in recipe.stage if readers[stage.name]]
    width = max((id_bytes(vocabularies.get(stage.name, 2**32)) for stage in reading), default=2)
    return KeptTokens(
        recipe.run.token_cache,
        None if text is None else round(text / BYTES_PER_TOKEN * width),
        width,
        tuple(stage.name for stage in reading if not stage.uses_infilling),
        tuple(stage.name for stage in reading if stage.uses_infilling),
    )


def read_too_little(found: Sequence[Passes]) -> list[str]:
    """A warning of the sources that all stages together read for less than a pass: to keep their tokens is a loss."""
    totals: dict[tuple[str | None, str], float] = {}
    for each in found:
        if each.passes is not None:
            # another corpus may have a source of the same name
            read = each.corpus, each.source
            totals[read] = totals.get(read, 0.0) + each.passes
    several = len({corpus for corpus, _ in totals}) > 1
    little = [
        f"{times:,.2g} passes of {source!r}{f' in {corpus}' * several}"
        for (corpus, source), times in totals.items()
        if times < 1
    ]
    if not little:
        return []
    return [
        f"run.token_cache: all stages together read {listed(little)}; to tokenise it all takes longer than it saves"
    ]


def _own_corpus(recipe: Recipe) -> str | None:
    """What may be the corpus of the stages that name none; several sources are none that was built."""
    return recipe.corpus[0] if len(recipe.corpus) == 1 else None


def _by_whole_documents(item: MixtureItem) -> bool:
    return item.source != DIALOGUES and item.granularity == "document"


def _training_split(place: str | None) -> SplitManifest | None:
    folder = expanded(place or "")
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
