"""What a cascade is trained on: its corpus, opened or built, and each stage's mixture of it."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from codecascade.cascade.benchmark_texts import benchmark_texts, in_words
from codecascade.cascade.folder import RunFolder
from codecascade.corpus.build import build_corpus
from codecascade.corpus.corpus import Corpus, DocumentTable, is_corpus
from codecascade.corpus.engines.local import LocalEngine
from codecascade.corpus.fingerprints import request_fingerprint
from codecascade.ground.errors import UserError
from codecascade.ground.seeds import draw
from codecascade.instruct.dialogues import read_dialogues
from codecascade.instruct.mine import mine_dialogues
from codecascade.recipe.settings import Recipe, Stage
from codecascade.sandbox.sandbox import Sandbox
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.settings import MixtureItem
from codecascade.training.stream.sources import StreamSource, Table
from codecascade.training.stream.stream import TokenStream

logger = logging.getLogger(__name__)

BYTES_PER_TOKEN = 3.5  # of code, about
MANY_PASSES = 10

Progress = Callable[[str, int, int], None]


def is_built(recipe: Recipe, run: RunFolder) -> bool:
    """Whether the recipe's corpus needs no sources any more: it is shards, or was built in this folder."""
    if len(recipe.corpus) == 1 and is_corpus(Path(os.path.expanduser(recipe.corpus[0]))):
        return True
    request = request_fingerprint(recipe.corpus, recipe.corpus_build)
    return is_corpus(run.corpus) and Corpus.open(run.corpus).manifest.request == request


def open_corpus(recipe: Recipe, run: RunFolder, progress: Progress) -> Corpus:
    """The recipe's corpus: a folder of shards as it is, or ``RUN/corpus``, built if it is not there.

    A corpus that this run has built stays as it is, whatever became of its sources since.

    Raises:
        UserError: a source is missing, or nothing in the sources is usable.
    """
    folder = Path(os.path.expanduser(recipe.corpus[0]))
    if len(recipe.corpus) == 1 and is_corpus(folder):
        return Corpus.open(folder)
    if not is_built(recipe, run):
        settings = [recipe.evaluate, *(stage.evaluate for stage in recipe.stage)]
        benchmarks = benchmark_texts(in_use=[name for one in settings for name in one.benchmarks])
        if said := in_words(benchmarks):
            logger.warning("corpus: %s", said)
        engine = LocalEngine(os.cpu_count() or 1)
        build_corpus(
            recipe.corpus,
            run.corpus,
            recipe.corpus_build,
            benchmarks=benchmarks,
            engine=engine,
            progress=progress,
        )
    return Corpus.open(run.corpus)


class Mixtures:
    """The stages' sources; each corpus is opened once."""

    def __init__(self, corpus: Corpus, run: RunFolder) -> None:
        self._corpus, self._run = corpus, run
        self._others: dict[str, Corpus] = {}

    def check(self, recipe: Recipe, stages: Sequence[Stage]) -> None:
        """Look at everything that ``stages`` of ``recipe`` read and that is there, before training begins.

        Raises:
            UserError: a source is empty or unknown, or a file of dialogues is broken.
        """
        names = {stage.name for stage in stages}
        for index, stage in enumerate(recipe.stage):
            if stage.name not in names:
                continue
            for number, item in enumerate(stage.mixture):
                if item.source == "dialogues" and (item.corpus or stage.dialogues) == "mined":
                    continue
                try:
                    StreamSource.of(item, self._table(stage, item))
                except UserError as error:
                    key = error.key or f"stage[{index}].mixture[{number}]"
                    raise UserError(error.message, file=error.file, key=key) from None

    def others(self, stages: Sequence[Stage]) -> tuple[list[Corpus], list[Path]]:
        """The corpora besides the run's own, and the files of dialogues, that ``stages`` read; not what is mined."""
        corpora: dict[str, Corpus] = {}
        dialogues: dict[Path, None] = {}
        for stage in stages:
            for item in stage.mixture:
                if item.source == "dialogues":
                    file = item.corpus or stage.dialogues
                    if file is not None and file != "mined":
                        dialogues[Path(os.path.expanduser(file))] = None
                elif item.corpus is not None:
                    corpora[item.corpus] = self._opened(item.corpus)
        return list(corpora.values()), list(dialogues)

    def stream(self, stage: Stage, tokenizer: Tokenizer) -> TokenStream:
        """The stage's data stream. Stages of one seed draw differently, for the key is the stage's name too."""
        sources = [StreamSource.of(item, self._table(stage, item)) for item in stage.mixture]
        return TokenStream(
            sources,
            tokenizer,
            sequence_length=stage.sequence_length,
            rows=stage.rows,
            seed=draw(stage.seed, stage.name, size=4),
            infilling=stage.infilling if stage.uses_infilling else None,
            document_masks=stage.document_masks,
        )

    def passes(self, stage: Stage) -> tuple[float, str]:
        """How often the stage reads the source that it reads most often, and that source's name (estimate)."""
        tokens = (stage.total_steps or 0) * stage.batch_tokens
        total = sum(item.share for item in stage.mixture)
        read = [(0.0, "")]
        for item in stage.mixture:
            if item.source != "dialogues" and item.granularity == "document":
                table = self._table(stage, item)
                assert isinstance(table, DocumentTable)
                read.append((tokens * item.share / total * BYTES_PER_TOKEN / table.total_bytes, item.source))
        return max(read)

    def needs_mining(self, stage: Stage) -> bool:
        return stage.dialogues == "mined" and not self._mined(stage).exists()

    def mine(self, stage: Stage, sandbox: Sandbox, progress: Callable[[int, int], None]) -> int:
        """Make the stage's dialogues of the corpus; returns their number."""
        assert stage.mined_dialogues is not None
        return mine_dialogues(
            self._corpus,
            sandbox,
            self._mined(stage).parent,
            limit=stage.mined_dialogues,
            seed=stage.seed,
            progress=progress,
        ).dialogues

    def _mined(self, stage: Stage) -> Path:
        return self._run.path / "dialogues" / stage.name / "dialogues.jsonl"

    def _table(self, stage: Stage, item: MixtureItem) -> Table:
        if item.source == "dialogues":
            file = item.corpus or stage.dialogues
            assert file is not None
            return read_dialogues(self._mined(stage) if file == "mined" else Path(os.path.expanduser(file)))
        corpus = self._corpus
        if item.corpus is not None:
            corpus = self._opened(item.corpus)
        return corpus.documents("train", item.source)

    def _opened(self, name: str) -> Corpus:
        if name not in self._others:
            self._others[name] = Corpus.open(Path(os.path.expanduser(name)))
        return self._others[name]
