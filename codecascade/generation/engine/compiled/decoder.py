"""Runs passes over few tokens in compiled code: the weights and the cache of a model, where the code finds them.

Imported only where numba is installed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from codecascade.generation.engine.compiled.kernels import COUNTERS, close, run_linear
from codecascade.generation.engine.compiled.layers import PHASES, run_layers
from codecascade.generation.engine.compiled.workers import WORKERS
from codecascade.generation.engine.weights.fused import FusedLayer
from codecascade.generation.engine.weights.packed import rows_of
from codecascade.model.cache import KeyValueCache
from codecascade.model.llama import Llama
from codecascade.model.rope import rotation

# Bytes of the weights of a piece, and keys of one where there are too few pieces.
_PIECE_BYTES, _PIECE_KEYS = 1 << 15, 128


class CompiledDecoder:
    """The layers and the head of ``model`` with its ``cache``, for passes of few tokens.

    The weights are those of :mod:`~codecascade.generation.engine.weights.packed`, which are not copied.
    """

    def __init__(self, model: Llama, cache: KeyValueCache) -> None:
        self._model, self._memory = model, cache.memory
        layers: list[FusedLayer] = list(model.model.layers)  # type: ignore[arg-type]
        first = layers[0]
        self._heads, self._groups = first.query_heads, first.key_heads
        self._width, self._block = first.head_dim, cache.block_size
        self._channels = model.config.hidden_size
        self._ffn = model.config.intermediate_size
        self._dtype = cache.keys[0].dtype
        self._like = np.zeros(1, np.uint16 if self._dtype == torch.bfloat16 else np.float32)
        # kept here, because the code knows their addresses alone
        self._kept: list[Tensor] = []
        self._addresses = np.array([self._of_layer(layer) for layer in layers], np.int64)
        self._memories = np.array([memory.data_ptr() for memory in cache.memory], np.int64)
        self._norms = np.stack(
            [
                _numbers(layer.input_layernorm.weight, layer.post_attention_layernorm.weight)
                for layer in layers
            ]
        )
        self._head_norms = np.stack(
            [
                np.zeros((2, 0), np.float32)
                if layer.q_norm is None or layer.k_norm is None
                else _numbers(layer.q_norm.weight, layer.k_norm.weight)
                for layer in layers
            ]
        )
        self._rotates = np.array([layer.rotates for layer in layers], np.int64)
        self._scale = first.query_scale * self._width**-0.5
        self._step = self._piece(self._channels)
        self._final = model.model.norm.weight.detach().float()
        head = model._modules.get("lm_head")
        self._head = self._keep(model.head_weight if head is None else rows_of(head))

    def _of_layer(self, layer: FusedLayer) -> list[int]:
        parts: list[Any] = [layer.qkv_proj, layer.o_proj, layer.gate_proj, layer.up_proj, layer.down_proj]
        weights = [self._keep(rows_of(part)) for part in parts]
        biases = [0 if part.bias is None else self._keep(part.bias.detach().float()) for part in parts]
        return weights + biases

    def _keep(self, tensor: Tensor | None) -> int:
        assert tensor is not None
        self._kept.append(tensor.detach().contiguous())
        return self._kept[-1].data_ptr()

    def _piece(self, columns: int) -> int:
        """Rows of a weight in a piece."""
        return min(64, max(4, _PIECE_BYTES // (columns * self._like.itemsize) // 4 * 4))

    def hidden(self, ids: Sequence[int], cache: KeyValueCache, lengths: Sequence[int]) -> Tensor:
        """Hidden states (tokens, H) of a pass, whose keys and values are added to the cache.

        Args:
            ids: the tokens, row after row.
            cache: rows of the memory that the decoder was made with.
            lengths: new tokens of each row.
        """
        cache.check(lengths)
        tokens, config = len(ids), self._model.config
        x = self._model.model.embed_tokens(torch.tensor(ids)).float()
        if config.embedding_multiplier != 1:
            x = x * config.embedding_multiplier
        x = F.pad(x, (0, 0, 0, _padded(tokens) - tokens))
        rows = np.repeat(np.arange(len(lengths)), lengths)
        positions = np.concatenate(
            [np.arange(past, past + new) for past, new in zip(cache.lengths, lengths, strict=True)]
        )
        tables = np.zeros((len(lengths), max(map(len, cache.tables))), np.int64)
        for row, table in enumerate(cache.tables):
            tables[row, : len(table)] = table
        cos, sin = (part[:, 0].numpy() for part in rotation(config, torch.from_numpy(positions)))
        self._run(x, rows, positions, tables, cos, sin)
        cache.advance(lengths)
        hidden = F.rms_norm(x[:tokens], self._final.shape, self._final, config.rms_norm_eps)
        if config.logits_scaling != 1:
            hidden = hidden / config.logits_scaling
        return hidden.to(self._dtype)

    def _run(
        self,
        x: Tensor,
        rows: NDArray[np.int64],
        positions: NDArray[np.int64],
        tables: NDArray[np.int64],
        cos: NDArray[np.float32],
        sin: NDArray[np.float32],
    ) -> None:
        tokens, count, threads = len(rows), len(x), torch.get_num_threads()
        longest = int(positions.max()) + 1
        most = max(1, min(-(-longest // _PIECE_KEYS), -(-4 * threads // (tokens * self._groups))))
        keys = -(-longest // (most * self._block)) * self._block
        layers, config = len(self._addresses), self._model.config
        sizes = np.array(
            [
                self._width,
                self._heads,
                self._groups,
                self._memory[0].shape[2],
                self._block,
                keys,
                most,
                tokens,
                self._step,
            ],
            np.int64,
        )
        shared = (
            np.zeros((PHASES * layers + 1, COUNTERS), np.int64),
            np.zeros((layers * tokens, self._groups), np.int64),
            sizes,
            self._addresses,
            self._memories,
            self._norms,
            self._head_norms,
            self._rotates,
            config.rms_norm_eps,
            self._scale,
            float(config.residual_multiplier),
            self._like,
            tables,
            rows,
            positions,
            cos,
            sin,
            x.numpy(),
            _scratch(tokens, self._heads, self._width),
            # rows of padding are multiplied, too
            np.zeros((count, self._heads, self._width), np.float32),
            _scratch(count, self._ffn),
            _scratch(tokens, most, self._heads, self._width + 2),
        )
        columns = max(self._width, self._step)
        arguments = [
            (
                thread,
                *shared,
                _scratch(count, self._channels),
                _scratch(2, count, columns),
                _scratch(self._heads // self._groups, keys),
            )
            for thread in range(threads)
        ]
        _share(run_layers, arguments, shared[0])

    def logits(self, hidden: Tensor) -> Tensor:
        """(tokens, H) to (tokens, V) fp32."""
        x = F.pad(hidden.float(), (0, 0, 0, _padded(len(hidden)) - len(hidden)))
        out = torch.empty(len(x), self._model.config.vocab_size)
        shared = (np.zeros((2, COUNTERS), np.int64), self._head, self._like, 2 * self._step, x.numpy())
        arguments = [
            (thread, *shared, out.numpy(), _scratch(2, len(x), 2 * self._step))
            for thread in range(torch.get_num_threads())
        ]
        _share(run_linear, arguments, shared[0])
        return out[: len(hidden)]


def _share(function: Any, arguments: list[tuple[Any, ...]], counters: Any) -> None:
    try:
        WORKERS.share(function, arguments)
    finally:
        # an interrupt may come before this thread begins, when others are at work in the cache
        close(counters)


def _padded(rows: int) -> int:
    """Products are with one row or a multiple of four."""
    return rows if rows == 1 else -(-rows // 4) * 4


def _numbers(*weights: Tensor) -> NDArray[np.float32]:
    return np.stack([weight.detach().float().numpy() for weight in weights])


def _scratch(*shape: int) -> NDArray[np.float32]:
    return np.empty(shape, np.float32)
