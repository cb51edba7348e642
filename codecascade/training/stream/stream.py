"""The data stream: a weighted mixture of documents and dialogues, infilled and packed into rows.

The stream is a function of the seed. The batch of a step has ``rows`` rows. Each row is filled from a logical stream
of its own, and the streams take the examples of the sources in turn. Which process computes a row, and when, changes
nothing. So a run can be resumed exactly on any number of ranks. The state of a logical stream is a few integers.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codecascade.corpus.code.grammars import without_grammar
from codecascade.corpus.code.structure import has_parser
from codecascade.ground.errors import UserError
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.stream.packing import LogicalStream
from codecascade.training.stream.settings import ChatSettings, InfillingSettings
from codecascade.training.stream.stream_sources import ExampleSequence, StreamSource

__all__ = ["Batch", "StreamSource", "TokenStream"]


@dataclass(frozen=True, eq=False)
class Batch:
    """``R`` rows of a step; ``T`` is the sequence length.

    Attributes:
        tokens: (R, T + 1) int64.
        weights: (R, T) float32, the loss weight of predicting ``tokens[:, 1:]``.
        document_ids: (R, T) int32, the number of the segment in its row that ``tokens[:, :-1]`` belong to.
        documents: ids of the documents of each row.
        counts: of these rows: ``documents`` (begun here), and of them ``fitting`` (no longer than a row),
            ``infilled``, ``cut`` and ``truncated`` (dialogues without their last turns); ``passed_over`` (draws with
            nothing to train on), and of them ``too_long`` (dialogues that fit into no row); ``padding`` (tokens), and
            ``tokens/<source>``. The effective infilling rate is ``infilled / documents``.
    """

    tokens: Tensor
    weights: Tensor
    document_ids: Tensor
    documents: list[list[str]]
    counts: dict[str, int]

    @staticmethod
    def join(parts: Sequence[Batch]) -> Batch:
        """The rows of all parts, in order."""
        counts: Counter[str] = Counter()
        for part in parts:
            counts.update(part.counts)
        return Batch(
            torch.cat([part.tokens for part in parts]),
            torch.cat([part.weights for part in parts]),
            torch.cat([part.document_ids for part in parts]),
            [row for part in parts for row in part.documents],
            dict(counts),
        )


class TokenStream:
    """Batches for training.

    Args:
        sources: what is mixed; shares are of tokens and need not add up to 1.
        sequence_length: ``T``, tokens predicted a row; a row has ``T + 1`` tokens, and rows don't overlap.
        rows: logical streams: the rows of a step over all ranks.
        infilling: None for left-to-right training alone.
        document_masks: attention stays inside a document, so the label that crosses from one to the next is masked.
        chat: how dialogues are trained on.

    Attributes:
        identity: everything that the batches depend on, as nested JSON values, with hashes of contents. A run that
            is resumed compares it.
        unparsed: the languages whose statements and functions are no gaps, though editors ask for them, since their
            grammars are not installed.

    Raises:
        UserError: no source, two of one name, or a tokenizer without infilling tokens where they are needed.
    """

    def __init__(
        self,
        sources: Sequence[StreamSource],
        tokenizer: Tokenizer,
        *,
        sequence_length: int,
        rows: int,
        seed: int,
        infilling: InfillingSettings | None,
        document_masks: bool = False,
        chat: ChatSettings = ChatSettings(),  # noqa: B008  (immutable)
    ) -> None:
        names = [source.name for source in sources]
        if not names or len(set(names)) < len(names):
            raise UserError(f"a mixture needs sources of different names (got {', '.join(names) or 'none'})")
        if infilling is not None and infilling.rate and tokenizer.infilling is None:
            raise UserError("the tokenizer has no infilling tokens, which this stage's infilling needs")
        self._length, self._pad_id, self._document_masks = sequence_length, tokenizer.pad_id, document_masks
        sequences = [
            ExampleSequence(
                source, tokenizer, context=sequence_length + 1, seed=seed, infilling=infilling, chat=chat
            )
            for source in sources
        ]
        self._streams = [LogicalStream(row, rows, sequences, sequence_length + 1) for row in range(rows)]
        self.identity: dict[str, Any] = {
            "sources": {
                s.name: {
                    "share": s.share,
                    s.kind: len(s.table),
                    "content": s.table.fingerprint,
                    "granularity": s.granularity,
                    "min_characters": s.min_characters,
                    "max_characters": s.max_characters,
                }
                for s in sources
            },
            "order": names,
            "tokenizer": {
                "ids": tokenizer.vocab_size,
                "content": _hash([tokenizer.spec, tokenizer.config]),
            },
            "sequence_length": sequence_length,
            "rows": rows,
            "seed": seed,
            "document_masks": document_masks,
            "infilling": None if infilling is None else infilling.model_dump(),
        }
        if any(source.kind == "dialogues" for source in sources):
            self.identity["chat"] = chat.model_dump()
        self.unparsed: tuple[str, ...] = ()
        if infilling is not None and (infilling.neighbour_share or infilling.editor_share):
            # The texts say nothing of whose neighbours they are, and in which language.
            columns = {
                s.name: [s.repositories.values(column) for column in ("path", "repository", "language")]
                for s in sources
                if s.kind == "documents"
            }
            for name, places in columns.items():
                self.identity["sources"][name]["places"] = _hash(places)
            if infilling.editor_share:
                # Earlier versions laid them out without healing.
                self.identity["editor_gaps"] = "healed"
                languages = sorted({language for _, _, each in columns.values() for language in each})
                self.identity["parsed"] = [each for each in languages if has_parser(each)]
                self.unparsed = without_grammar(languages)

    def batch(self, rows: range) -> Batch:
        """The next row of each of these logical streams."""
        return Batch.join([self._batch_of_one(row) for row in rows])

    def state_dict(self, rows: range) -> dict[str, Any]:
        """The states of these logical streams by row: JSON-able, about 100 bytes a row."""
        return {str(row): self._streams[row].state_dict() for row in rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the logical streams in ``state``, which may have more than this process needs."""
        for row, row_state in state.items():
            self._streams[int(row)].load_state_dict(row_state)

    def fingerprint(self) -> str:
        """A hash of :attr:`identity`: equal if and only if the batches are."""
        return _hash(self.identity)

    def _batch_of_one(self, row: int) -> Batch:
        segments, counts = self._streams[row].next_row()
        tokens = np.full(self._length + 1, self._pad_id, np.int64)
        weights = np.zeros(self._length + 1, np.float32)
        document_ids = np.full(self._length + 1, len(segments), np.int32)
        position = 0
        for number, segment in enumerate(segments):
            span = slice(position, position + segment.end - segment.start)
            tokens[span] = segment.example.ids[segment.start : segment.end]
            weights[span] = segment.example.weights[segment.start : segment.end]
            document_ids[span] = number
            # A later segment of a document repeats the last token of the segment before, which was predicted there.
            if self._document_masks or segment.start:
                weights[position] = 0
            position = span.stop
        return Batch(
            torch.from_numpy(tokens)[None],
            torch.from_numpy(weights)[None, 1:],
            torch.from_numpy(document_ids)[None, :-1],
            [[segment.example.id for segment in segments]],
            dict(counts),
        )


def _hash(value: Any) -> str:
    return blake2b(json.dumps(value, sort_keys=True).encode(), digest_size=16).hexdigest()
