"""What each stage of a cascade is trained on: documents of the run's corpus or of others, and dialogues."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from codecascade.cascade.run_folder import RunFolder
from codecascade.corpus.corpus import Corpus, DocumentTable
from codecascade.ground.errors import UserError
from codecascade.ground.files.paths import expanded
from codecascade.ground.files.values import short
from codecascade.ground.seeds import draw
from codecascade.instruct.dialogues.dialogue import Dialogue, DialogueTable
from codecascade.instruct.dialogues.reading import ReadDialogues, read_source, reason
from codecascade.instruct.dialogues.settings import MADE, DialogueSource
from codecascade.instruct.mine import mine_dialogues
from codecascade.recipe.defaults import MOST_MINED
from codecascade.recipe.settings import Recipe, Stage
from codecascade.sandbox.sandbox import Sandbox
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.dialogue_examples import dialogue_example
from codecascade.training.stream.examples import TrainingExample
from codecascade.training.stream.settings import MixtureItem
from codecascade.training.stream.stream import TokenStream
from codecascade.training.stream.stream_sources import StreamSource
from codecascade.training.stream.tokenized.cache import Progress, TokenCache
from codecascade.training.stream.tokenized.shard import BYTES_PER_TOKEN

_TRIED = 1000
_Shape = tuple[str, int]
"""What a template decides by: the first role, and the number of messages up to :data:`_LONGEST_SHAPE`."""
_LONGEST_SHAPE = 12
"""Dialogues of more messages than this are alike to a template."""
_TOKENS_AROUND_MESSAGE = 5
"""About what a chat format adds to a message."""
MANY_PASSES = 10
"""A stage that reads a source more often is warned of."""


class Mixtures:
    """The sources of all stages. Each corpus is opened once.

    Args:
        tokens: where the documents are kept as tokens, if they are.
    """

    def __init__(self, corpus: Corpus, run: RunFolder, tokens: TokenCache | None = None) -> None:
        self._corpus, self._run, self._tokens = corpus, run, tokens
        self._others: dict[str, Corpus] = {}
        self._read: dict[str, ReadDialogues] = {}
        self._left_out: dict[tuple[str, str], ReadDialogues] = {}
        """By stage and source, what is left where the stage's chat format refuses some."""

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
                try:
                    self._sources(stage, item, made=False)
                except UserError as error:
                    key = error.key or f"stage[{index}].mixture[{number}]"
                    raise UserError(error.message, file=error.file, key=key) from None

    def check_formats(self, stage: Stage, tokenizer: Tokenizer, *, only_made: bool = False) -> None:
        """Write a dialogue of each shape in the stage's chat format: a template may refuse a system message.

        Where a source's unusable lines are skipped, the stage does without the dialogues of a shape that is refused.

        Args:
            only_made: look at no others than those that the run has made.

        Raises:
            UserError: the format can't hold one of them, or does not tell where an answer begins and ends.
        """
        for source in self._sources_there(stage):
            if only_made and source.kind not in MADE:
                continue
            read = self._dialogues(stage, source)
            refused, fits = self._refused_shapes(stage, tokenizer, source, read)
            if refused:
                read = self._left_out[stage.name, source.source] = _without(read, refused, source.source)
            if not fits and not any(len(_example(stage, tokenizer, each)) for each in read.table[:_TRIED]):
                raise UserError(
                    f"of none of the first dialogues an answer fits into sequence_length, {stage.sequence_length:,} "
                    f"tokens; give {stage.name!r} longer sequences",
                    file=source.source,
                )

    def _refused_shapes(
        self, stage: Stage, tokenizer: Tokenizer, source: DialogueSource, read: ReadDialogues
    ) -> tuple[dict[_Shape, UserError], bool]:
        """The shapes that the chat format refuses, and whether an answer of one of the others fits into a row."""
        shapes: dict[_Shape, Dialogue] = {}
        for dialogue in read.table:
            shapes.setdefault(_shape(dialogue), dialogue)
        refused: dict[_Shape, UserError] = {}
        fits = False
        for shape, dialogue in shapes.items():
            try:
                fits |= len(_example(stage, tokenizer, dialogue)) > 0
            except UserError as error:
                if source.unusable == "error":
                    start = short(dialogue.messages[0].content)
                    why = f"{error}; the first message of the dialogue: {start}"
                    if error.key == "messages" and source.kind not in MADE:
                        why += '; take such lines out, or set unusable = "skip"'
                    raise UserError(why, file=dialogue.location or source.source) from None
                refused[shape] = error
        return refused, fits

    def others(self, stages: Sequence[Stage]) -> tuple[list[Corpus], list[DialogueSource]]:
        """What ``stages`` read: corpora other than the run's, and dialogues other than those that the run makes."""
        corpora: dict[str, Corpus] = {}
        dialogues: dict[str, DialogueSource] = {}
        for stage in stages:
            dialogues |= {
                source.source: source for source in stage.dialogue_sources if source.kind not in MADE
            }
            for item in stage.mixture:
                if item.source != "dialogues" and item.corpus is not None:
                    corpora[item.corpus] = self._opened(item.corpus)
        return list(corpora.values()), list(dialogues.values())

    def read(self, stage: Stage) -> list[tuple[str, ReadDialogues]]:
        """The sources of the stage's dialogues that are there, by their names, as they were read."""
        return [(source.source, self._dialogues(stage, source)) for source in self._sources_there(stage)]

    def stream(
        self, stage: Stage, tokenizer: Tokenizer, progress: Progress = lambda what, done, total: None
    ) -> TokenStream:
        """The stage's data stream. All ranks must call this.

        Its draws are keyed by the stage's seed, and by its name or that of the stage whose data it has.

        Args:
            progress: of the making of tokens that are to be kept and are not there.
        """
        sources = [source for item in stage.mixture for source in self._sources(stage, item)]
        if self._tokens is not None:
            sources = self._tokens.with_tokens(sources, tokenizer, progress)
        return TokenStream(
            sources,
            tokenizer,
            sequence_length=stage.sequence_length,
            rows=stage.rows,
            seed=draw(stage.seed, stage.same_data_as or stage.name, size=4),
            infilling=stage.infilling if stage.uses_infilling else None,
            document_masks=stage.document_masks,
            chat=stage.chat,
        )

    def passes(self, stage: Stage) -> tuple[float, str]:
        """How often the stage reads the source that it reads most often, and that source's name (estimate)."""
        documents = [
            item for item in stage.mixture if item.source != "dialogues" and item.granularity == "document"
        ]
        return self._most_read(stage, documents, (stage.total_steps or 0) * stage.batch_tokens)

    def most_steps(self, stage: Stage) -> int | None:
        """The steps of as many passes as the stage may make at most; None if it may make any number (estimate)."""
        if stage.most_passes is None:
            return None
        whole = [item for item in stage.mixture if item.reads_all]
        of_a_step, _ = self._most_read(stage, whole, stage.batch_tokens)
        return max(1, int(stage.most_passes / of_a_step))

    def _most_read(self, stage: Stage, items: Sequence[MixtureItem], tokens: int) -> tuple[float, str]:
        """The passes that so many tokens of the stage make over the item that they read most often."""
        total = sum(item.share for item in stage.mixture)
        read = [(0.0, "")]
        for item in items:
            table = self._documents(item)
            read.append((tokens * item.share / total * BYTES_PER_TOKEN / table.total_bytes, item.source))
        return max(read)

    def dialogue_passes(self, stage: Stage) -> tuple[float, str]:
        """How often the stage reads the dialogues that it reads most often, and their source (estimate)."""
        share = sum(item.share for item in stage.mixture if item.source == "dialogues")
        total = sum(item.share for item in stage.mixture)
        tokens = (stage.total_steps or 0) * stage.batch_tokens * share / total
        shares = {source.source: source.share for source in stage.dialogue_sources}
        passes = [(0.0, "")]
        for name, read in self.read(stage):
            messages = [message for dialogue in read.table for message in dialogue.messages]
            characters = sum(len(message.content) for message in messages)
            length = characters / BYTES_PER_TOKEN + len(messages) * _TOKENS_AROUND_MESSAGE
            passes.append((tokens * shares[name] / sum(shares.values()) / max(1.0, length), name))
        return max(passes)

    def to_make(self, stage: Stage) -> list[str]:
        """The kinds of dialogues that the run makes for the stage and has not made yet."""
        return [kind for kind in MADE if stage.makes(kind) and not self._run.has_dialogues(stage.name, kind)]

    def mine(self, stage: Stage, sandbox: Sandbox, progress: Callable[[int, int], None]) -> int:
        """Mine the stage's dialogues from the corpus; returns their number.

        Args:
            progress: gets the numbers of docstrings tried and of dialogues kept.
        """
        return mine_dialogues(
            self._corpus,
            sandbox,
            self._run.made_dialogues(stage.name, "mined").parent,
            limit=stage.mined_dialogues or MOST_MINED,
            seed=stage.seed,
            progress=progress,
        ).dialogues

    def _sources(self, stage: Stage, item: MixtureItem, *, made: bool = True) -> list[StreamSource]:
        """What one item of the mixture is to the stream: documents, or dialogues of one source or several.

        Args:
            made: with the dialogues that the run makes itself; they are not there before training.
        """
        if item.source != "dialogues":
            return [StreamSource.of(item, self._documents(item))]
        sources = stage.dialogue_sources
        total = sum(source.share for source in sources)
        found = []
        for source in sources:
            if source.kind in MADE and not made:
                continue
            table = self._dialogues(stage, source).table
            # one source keeps the item's name, by which its draws are keyed
            name = item.source if len(sources) == 1 else f"{item.source}/{source.source}"
            share = item.share * source.share / total
            found.append(replace(StreamSource.of(item, table), name=name, share=share))
        return found

    def _documents(self, item: MixtureItem) -> DocumentTable:
        corpus = self._corpus if item.corpus is None else self._opened(item.corpus)
        return corpus.documents("train", item.source)

    def _sources_there(self, stage: Stage) -> list[DialogueSource]:
        return [
            source
            for source in stage.dialogue_sources
            if source.kind not in MADE or self._run.has_dialogues(stage.name, source.kind)
        ]

    def _dialogues(self, stage: Stage, source: DialogueSource) -> ReadDialogues:
        if (left := self._left_out.get((stage.name, source.source))) is not None:
            return left
        if source.kind in MADE:
            path = self._run.made_dialogues(stage.name, source.kind)
            if path.stat().st_size == 0:
                raise UserError(
                    "none are left: no example in a docstring of the corpus has passed; take 'mined' out, and "
                    f"delete {path.parent}",
                    key=f"stage.{stage.name}.dialogues",
                )
            source = DialogueSource(source=str(path), format="messages", limit=source.limit)
        key = source.model_dump_json(exclude={"share"})
        if key not in self._read:
            self._read[key] = read_source(source)
        return self._read[key]

    def _opened(self, name: str) -> Corpus:
        if name not in self._others:
            self._others[name] = Corpus.open(expanded(name))
        return self._others[name]


def _shape(dialogue: Dialogue) -> _Shape:
    return dialogue.messages[0].role, min(len(dialogue.messages), _LONGEST_SHAPE)


def _example(stage: Stage, tokenizer: Tokenizer, dialogue: Dialogue) -> TrainingExample:
    return dialogue_example(
        tokenizer,
        dialogue.messages,
        context=stage.sequence_length + 1,
        document_id=dialogue.id,
        settings=stage.chat,
        without_loss=dialogue.without_loss,
    )


def _without(read: ReadDialogues, refused: Mapping[_Shape, UserError], name: str) -> ReadDialogues:
    """``read`` without the dialogues of some shapes, which count as skipped."""
    kept = [dialogue for dialogue in read.table if _shape(dialogue) not in refused]
    skipped = read.skipped + Counter(
        reason(refused[_shape(dialogue)]) for dialogue in read.table if _shape(dialogue) in refused
    )
    if not kept:
        raise UserError(f"holds no dialogue that can be used: {skipped.most_common(1)[0][0]}", file=name)
    return replace(read, table=DialogueTable(kept), skipped=skipped)
