"""How ranks share the tokens of rows: index arithmetic, against a reference that looks at every pair of tokens."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codecascade.model import attention
from codecascade.training import varlen
from codecascade.training.parallel.methods.context import own_positions, pieces, row_order
from codecascade.training.varlen import VariableLengths


@st.composite
def packed_rows(draw: st.DrawFn) -> tuple[list[int], int, int]:
    """Lengths of documents that fill some rows, the length of a row, and the number of ranks."""
    ranks = draw(st.integers(2, 4))
    length = 2 * ranks * draw(st.integers(1, 5))
    lengths: list[int] = []
    for _ in range(draw(st.integers(1, 3))):
        cuts = draw(st.sets(st.integers(1, length - 1), max_size=6))
        bounds = [0, *sorted(cuts), length]
        lengths += [end - start for start, end in pairwise(bounds)]
    return lengths, length, ranks


@given(packed_rows())
@settings(max_examples=60)
def test_each_query_meets_the_keys_of_its_document_up_to_itself(case: tuple[list[int], int, int]) -> None:
    lengths, length, ranks = case
    document = [number for number, count in enumerate(lengths) for _ in range(count)]
    rows = len(document) // length
    seen: dict[int, set[int]] = {}
    for rank in range(ranks):
        positions = own_positions(length, ranks, rank).tolist()
        tokens = [row * length + position for row in range(rows) for position in positions]
        found = list(pieces(lengths, length, ranks, rank))
        assert [query for piece in found for query in piece.queries] == [*range(len(tokens))]
        for piece in found:
            for number, query in enumerate(piece.queries):
                # the queries are the last of the keys
                end = piece.keys.stop - len(piece.queries) + number + 1
                seen[tokens[query]] = set(range(piece.keys.start, end))
    assert seen == {
        token: {key for key in range(token + 1) if document[key] == document[token]}
        for token in range(len(document))
    }


@pytest.mark.parametrize(("length", "ranks"), [(8, 2), (24, 3), (64, 4)])
def test_ranks_have_all_tokens_once_and_the_same_work(length: int, ranks: int) -> None:
    own = [own_positions(length, ranks, rank) for rank in range(ranks)]
    assert torch.equal(torch.cat(own)[row_order(length, ranks)], torch.arange(length))
    # a query at position p attends to p + 1 keys
    assert len({int(positions.sum()) for positions in own}) == 1


@pytest.mark.parametrize("fused", [False, True])
def test_the_last_queries_of_a_document_have_gradients_in_bf16(
    fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a CPU context parallelism attends with the last queries of a document, which else only inference does."""
    monkeypatch.setattr(attention, "fused_is_fast", lambda: fused)
    torch.manual_seed(0)
    exact = [
        torch.randn(heads, tokens, 16, requires_grad=True) for heads, tokens in ((4, 70), (2, 90), (2, 90))
    ]
    rounded = [tensor.detach().bfloat16().requires_grad_() for tensor in exact]
    found = []
    for tensors in (exact, rounded):
        out = attention.attend_last(*tensors)
        (out.float() * torch.linspace(-1, 1, out.numel()).view_as(out)).sum().backward()
        found.append(
            [out.detach().float(), *(tensor.grad.float() for tensor in tensors if tensor.grad is not None)]
        )
    assert len(found[1]) == 4
    for expected, got in zip(*found, strict=True):
        assert (got - expected).norm() < 0.02 * expected.norm()


def test_documents_become_the_starts_that_the_kernel_takes() -> None:
    """The kernel for GPUs is not run here. It attends to what lies between two starts, the last queries to all."""
    queries, keys = [2, 3, 1], [4, 3, 7]
    lengths = VariableLengths.of(queries, keys, longest=16, device=torch.device("cpu"))
    for starts, counts in ((lengths.query_starts, queries), (lengths.key_starts, keys)):
        assert starts.dtype == torch.int32
        assert starts[:4].tolist() == [0, *accumulate(counts)]
        # what follows are empty documents, so that compiled code meets one number of documents
        assert len(starts) == varlen._STEP and set(starts[4:].tolist()) == {sum(counts)}
    assert lengths.longest == 16
