"""Context parallelism: the ranks of a group share the tokens of every row.

A causal mask gives late tokens more work than early ones. So a row is cut into two parts for each rank, and rank r of
n has part r and part 2n - 1 - r: all have the same work. All but attention is done token by token. Attention gathers
the keys and values of all tokens, and each rank attends with the queries of its own.

Keys and values are gathered rather than passed on in a ring. Documents that are packed into a row then need no more
than other ranges of keys, and keys and values are small: with grouped-query attention often an eighth of the queries.
(Llama 3 does so for the same two reasons, section 3.3.2 of its paper.) PyTorch's own context parallelism has no
document masks and no kernel for CPUs. This one is index arithmetic and the attention that everything else uses.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard

from codecascade.model.attention import Documents, attend_last
from codecascade.training.parallel.mesh import Mesh
from codecascade.training.varlen import VariableLengths, has_varlen_kernel


def own_positions(length: int, ranks: int, rank: int) -> Tensor:
    """Positions, (length / ranks,) int64, of the tokens of a row that rank ``rank`` has."""
    return torch.arange(length).view(2 * ranks, -1)[[rank, 2 * ranks - 1 - rank]].flatten()


def row_order(length: int, ranks: int) -> Tensor:
    """Where each token of a row is, (length,) int64, among those of all ranks one after another."""
    return torch.cat([own_positions(length, ranks, rank) for rank in range(ranks)]).argsort()


@dataclass(frozen=True)
class Piece:
    """Neighbouring queries of one document.

    Attributes:
        queries: among this rank's tokens of all rows, one row after another.
        keys: those that the last query sees, among all tokens of all rows, one row after another. The queries are the
            last of them.
    """

    queries: range
    keys: range


def pieces(documents: Sequence[int], length: int, ranks: int, rank: int) -> Iterator[Piece]:
    """The pieces that rank ``rank`` attends with, in the order of its tokens.

    Args:
        documents: their lengths in tokens, row after row. No document goes on in the next row.
        length: of each row.
    """
    part = length // (2 * ranks)
    starts = [0, *accumulate(documents)]
    for row in range(starts[-1] // length):
        for order, number in enumerate((rank, 2 * ranks - 1 - rank)):
            begin = row * length + number * part
            end = begin + part
            # from a token's number among all tokens to that among this rank's
            offset = (2 * row + order) * part - begin
            document = bisect_right(starts, begin) - 1
            while document < len(documents) and starts[document] < end:
                start, stop = max(begin, starts[document]), min(end, starts[document + 1])
                if start < stop:
                    yield Piece(range(start + offset, stop + offset), range(starts[document], stop))
                document += 1


@dataclass(frozen=True)
class RowPart:
    """This rank's part of the rows of a micro-batch: the positions of its tokens, and how they attend."""

    positions: Tensor
    attention: GatheredKeys


def row_part(mesh: Mesh, rows: int, length: int, document_ids: Tensor | None) -> RowPart | None:
    """This rank's part of ``rows`` rows of ``length`` tokens; None if it has them all.

    Args:
        document_ids: (rows, length), on the CPU; None where a row is one document.
    """
    ranks = mesh.context
    if ranks is None:
        return None
    documents = (length,) * rows if document_ids is None else Documents.of(document_ids).lengths
    positions = own_positions(length, ranks.size(), mesh.context_rank)
    return RowPart(positions, GatheredKeys(documents, rows, length, ranks))


class GatheredKeys:
    """Attention of this rank's queries on the keys of all ranks, for one pass of the model.

    Args:
        documents: lengths, as in :func:`pieces`. Without document masks each row is one document.
        rows, length: of the micro-batch.
    """

    def __init__(self, documents: Sequence[int], rows: int, length: int, mesh: DeviceMesh) -> None:
        self.mesh, self.rows = mesh, rows
        ranks, rank = mesh.size(), mesh.get_local_rank()
        self.pieces = list(pieces(documents, length, ranks, rank))
        device = mesh.device_type
        self.order = row_order(length, ranks).to(device)
        if device == "cuda":
            kept = torch.cat([torch.arange(piece.keys.start, piece.keys.stop) for piece in self.pieces])
            self.kept = kept.to(device, non_blocking=True)
            self.lengths = VariableLengths.of(
                [len(piece.queries) for piece in self.pieces],
                [len(piece.keys) for piece in self.pieces],
                longest=length,
                device=torch.device(device),
            )

    # collectives and lists of lengths: what a compiler would only make again for each batch
    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def attend(self, layer: int, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Of this rank's (N, heads, D) queries and (N, G, D) keys and values, row after row, make (N, heads, D)."""
        with torch.autocast(queries.device.type, enabled=False):
            keys, values = self._gather(keys, values)
            if has_varlen_kernel(queries):
                return self.lengths.attend(layer, queries, keys[self.kept], values[self.kept])
            attended = [
                attend_last(
                    *(
                        tensor[part.start : part.stop].transpose(0, 1)
                        for tensor, part in (
                            (queries, piece.queries),
                            (keys, piece.keys),
                            (values, piece.keys),
                        )
                    )
                ).transpose(0, 1)
                for piece in self.pieces
            ]
            return torch.cat(attended)

    def _gather(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """(B x T, G, D) of all tokens in the order of their rows; the gradient is added up over the ranks."""
        # both in one, (2, B, T / ranks, G, D)
        own = torch.stack((keys, values)).view(2, self.rows, -1, *keys.shape[1:])
        spread = DTensor.from_local(own, self.mesh, [Shard(2)], run_check=False)
        whole = spread.redistribute(placements=[Replicate()]).to_local(grad_placements=[Partial()])
        gathered_keys, gathered_values = whole.index_select(2, self.order).flatten(1, 2)
        return gathered_keys, gathered_values
