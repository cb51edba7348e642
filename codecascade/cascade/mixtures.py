"""What each stage of a cascade is trained on: documents of the run's corpus or of others, and dialogues."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from codecascade.cascade.run_folder import RunFolder
from codecascade.corpus.corpus import Corpus, DocumentTable
from codecascade.ground.errors import UserError
from codecascade.ground.seeds import draw
from codecascade.instruct.dialogues import read_dialogues
from codecascade.instruct.mine import mine_dialogues
from codecascade.recipe.settings import Recipe, Stage
from codecascade.sandbox.sandbox import Sandbox
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.settings import MixtureItem
from codecascade.training.stream.stream import TokenStream
from codecascade.training.stream.stream_sources import ExampleTable, StreamSource

BYTES_PER_TOKEN = 3.5
"""Of code, about."""
MANY_PASSES = 10
"""A stage that reads a source more often is warned of."""


class Mixtures:
    """The sources of all stages. Each corpus is opened once."""

    def __init__(self, corpus: Corpus, run: RunFolder) -> None:
        self._corpus, self._run = corpus, run
        self._others: dict[str, Corpus] = {}

    def check(self, recipe: Recipe, stages: Sequence[Stage]) -> None:
        """Open everything that ``stages`` of ``recipe`` read, before training begins; not what is still to be mined.

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
        """What ``stages`` read: corpora other than the run's, and files of dialogues other than mined ones."""
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
        """The stage's data stream. Its draws are keyed by the stage's seed and name."""
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
        """Mine the stage's dialogues from the corpus; returns their number.

        Args:
            progress: gets the numbers of docstrings tried and of dialogues kept.
        """
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
        return self._run.mined_dialogues(stage.name)

    def _table(self, stage: Stage, item: MixtureItem) -> ExampleTable:
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
