"""The sources of a stream: each is a table of documents or dialogues, read as an endless sequence of examples.

Example ``n`` depends on nothing but the seed. Its epoch is ``n // len(table)``; its row in the table is what a keyed
permutation makes of ``n % len(table)``. Every draw for a document is keyed by seed, epoch and document.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol, cast

from numpy.typing import NDArray

from codecascade.corpus.documents import Document
from codecascade.corpus.neighbours import Neighbours, RepositoryTable
from codecascade.corpus.reading.functions import PythonFunction, python_functions
from codecascade.ground.errors import UserError
from codecascade.ground.seeds import draw, generator
from codecascade.tokens.chat import Message
from codecascade.tokens.repository import repository_context
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.dialogue_examples import dialogue_example
from codecascade.training.stream.examples import TrainingExample, training_example
from codecascade.training.stream.settings import ChatSettings, InfillingSettings, MixtureItem


class ExampleTable(Protocol):
    """What examples are made of: :class:`codecascade.corpus.corpus.DocumentTable`, or a table of dialogues."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...

    @property
    def fingerprint(self) -> str:
        """Another one if the content or its order is another."""
        ...


class DialogueRow(Protocol):
    """A row of a table of dialogues."""

    @property
    def id(self) -> str: ...

    @property
    def messages(self) -> Sequence[Message]: ...

    @property
    def without_loss(self) -> frozenset[int]:
        """Indices of answers that are context only."""
        ...

    @property
    def location(self) -> str:
        """The file and line that it was read from; "" where it was read from none."""
        ...


class TokenizedDocument(Protocol):
    """A document as ids of a tokenizer."""

    @property
    def id(self) -> str: ...

    @property
    def characters(self) -> int:
        """The length of its text."""
        ...

    @property
    def ids(self) -> NDArray[Any]:
        """Of its whole text, without BOS and end of document."""
        ...


class TokenizedTable(Protocol):
    """The documents of a table, as ids."""

    def __getitem__(self, index: int, /) -> TokenizedDocument: ...


@dataclass(frozen=True)
class StreamSource:
    """A table, and its share of a mixture. The fields from ``granularity`` on are those of :class:`MixtureItem`.

    Attributes:
        tokenized: the table's documents as ids of the stream's tokenizer, where they are known. They change no batch.
    """

    name: str
    share: float
    table: ExampleTable
    kind: Literal["documents", "dialogues"] = "documents"
    granularity: Literal["document", "function"] = "document"
    min_characters: int = 0
    max_characters: int | None = None
    tokenized: TokenizedTable | None = None

    def __post_init__(self) -> None:
        if not len(self.table):
            raise UserError(f"the source {self.name!r} is empty; take it out of the mixture, or fill it")
        if self.kind == "dialogues" and (self.granularity, self.min_characters, self.max_characters) != (
            "document",
            0,
            None,
        ):
            raise UserError(
                f"the source {self.name!r} holds dialogues: granularity, min_characters and max_characters "
                "are for documents"
            )

    @property
    def repositories(self) -> RepositoryTable:
        """The table of documents, each of which knows its repository."""
        return cast(RepositoryTable, self.table)

    @classmethod
    def of(cls, item: MixtureItem, table: ExampleTable) -> StreamSource:
        """A recipe's mixture item with its table."""
        return cls(
            item.source,
            item.share,
            table,
            "dialogues" if item.source == "dialogues" else "documents",
            item.granularity,
            item.min_characters,
            item.max_characters,
        )


class ExampleSequence:
    """The endless sequence of a source's examples: ``sequence.example(n)`` for any ``n >= 0``, in any order."""

    def __init__(
        self,
        source: StreamSource,
        tokenizer: Tokenizer,
        *,
        context: int,
        seed: int,
        infilling: InfillingSettings | None,
        chat: ChatSettings = ChatSettings(),  # noqa: B008  (immutable)
    ) -> None:
        self.source, self._tokenizer = source, tokenizer
        self._context, self._seed, self._infilling, self._chat = context, seed, infilling, chat
        self._neighbours = None
        if infilling is not None and infilling.neighbour_share and source.kind == "documents":
            self._neighbours = Neighbours([source.repositories], infilling.neighbours)

    def example(self, number: int) -> TrainingExample | None:
        """The example, or None where there is nothing to train on; without ids, a dialogue that fits into no row."""
        table = self.source.table
        epoch, position = divmod(number, len(table))
        row = permuted(position, len(table), key=f"{self._seed},{epoch},{self.source.name}")
        if self.source.kind == "dialogues":
            return self._dialogue(table[row], epoch)
        if self.source.granularity == "function":
            return self._function(table[row], epoch)
        return self._document(row, epoch)

    @cached_property
    def has_any(self) -> bool:
        """Whether anything of the source can be trained on. The whole table is looked at until something can."""
        examples = map(self.example, range(len(self.source.table)))
        return any(example is not None and len(example) for example in examples)

    def _dialogue(self, dialogue: DialogueRow, epoch: int) -> TrainingExample:
        try:
            return dialogue_example(
                self._tokenizer,
                dialogue.messages,
                context=self._context,
                document_id=dialogue.id,
                settings=self._chat,
                without_loss=dialogue.without_loss,
                epoch=epoch,
            )
        except UserError as error:
            raise UserError(
                error.message, file=dialogue.location or self.source.name, key=error.key
            ) from None

    def _document(self, row: int, epoch: int) -> TrainingExample | None:
        if self.source.tokenized is not None:
            known = self.source.tokenized[row]
            if not self._accepts(known.characters):
                return None
            return self._example(known.id, lambda: self.source.table[row], epoch, ids=known.ids)
        document = self.source.table[row]
        if not self._accepts(len(document.text)):
            return None
        return self._example(document.id, lambda: document, epoch)

    def _function(self, document: Document, epoch: int) -> TrainingExample | None:
        """One of the document's functions."""
        functions = [f for f in _functions(document.text) if self._accepts(len(f.source))]
        if not functions:
            return None
        # each epoch takes the next one of a shuffled order, so that all come before one comes again
        generator(self._seed, document.id).shuffle(functions)
        chosen = functions[epoch % len(functions)]
        alone = document._replace(text=chosen.standalone.rstrip() + "\n")
        above = document.text[: chosen.start]
        return self._example(f"{document.id}/{chosen.qualified_name}", lambda: alone, epoch, above=above)

    def _example(
        self,
        id_: str,
        document: Callable[[], Document],
        epoch: int,
        *,
        ids: NDArray[Any] | None = None,
        above: str = "",
    ) -> TrainingExample:
        """The example of a document, which is read where its text is needed.

        Args:
            above: what is before it in its file, where it is a part of one.
        """
        return training_example(
            self._tokenizer,
            document,
            generator(self._seed, epoch, id_),
            self._infilling,
            context=self._context,
            document_id=id_,
            ids=ids,
            others=None
            if self._neighbours is None
            else lambda before, room: self._others(document(), above + before, room),
        )

    def _others(self, document: Document, before: str, room: int) -> list[int]:
        assert self._neighbours is not None
        chunks = self._neighbours.of(document, before)
        return repository_context(
            self._tokenizer, chunks, room, repository=document.repository, path=document.path
        )

    def _accepts(self, characters: int) -> bool:
        longest = self.source.max_characters
        return self.source.min_characters <= characters and (longest is None or characters <= longest)


def _functions(text: str) -> list[PythonFunction]:
    # the parser is slow, and much text is not Python
    return python_functions(text) if "def " in text else []


def permuted(position: int, size: int, *, key: str) -> int:
    """Where a permutation of ``range(size)``, chosen by ``key``, puts ``position``.

    No table of ``size`` numbers has to be shuffled, kept or saved. A Feistel network of four rounds permutes the
    numbers below the next even power of two; it is applied again until the result is below ``size``.
    """
    half = max(1, ((size - 1).bit_length() + 1) // 2)
    while True:
        left, right = position >> half, position & ((1 << half) - 1)
        for number in range(4):
            left, right = right, left ^ (draw(key, number, right) & ((1 << half) - 1))
        position = left << half | right
        if position < size:
            return position
