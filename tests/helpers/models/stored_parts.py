"""Checks that parts of stored tensors are the parts of the whole ones."""

from __future__ import annotations

import torch

from codecascade.model.stored.weights import StoredWeights


def assert_parts(weights: StoredWeights) -> None:
    """Parts of every tensor: rows across the borders of heads and files, columns, a single number, and none."""
    whole = dict(weights.tensors())
    assert {name: tuple(tensor.shape) for name, tensor in whole.items()} == dict(weights.shapes)
    for name, tensor in whole.items():
        assert torch.equal(weights.read(name), tensor), name
        rows = len(tensor)
        for first, last in ((0, rows), (1, rows - 1), (rows // 3, rows // 2 + 1), (rows - 1, rows), (3, 3)):
            columns = [slice(0, 1), slice(5, tensor.shape[1] - 3)] if tensor.ndim > 1 else []
            parts: list[tuple[slice, ...]] = [(slice(first, last),)]
            parts += [(slice(first, last), some) for some in columns]
            for part in parts:
                assert torch.equal(weights.read(name, part), tensor[part]), (name, part)
