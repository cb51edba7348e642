"""llama.cpp's low-level interface: tokens of several sequences in, logits out, and the memory of what was read."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence as SequenceOf
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from codecascade.ground.errors import UserError

_LEAST_CELLS = 16_384
_LOGGED = 20
"""Lines of llama.cpp's log that are kept, for the message where a file can't be loaded."""


@dataclass(frozen=True)
class Entry:
    """The next tokens of a sequence.

    Attributes:
        slot: the memory of the sequence.
        start: the position of the first token.
        chooses: whether the logits after the last token are wanted.
    """

    slot: int
    start: int
    tokens: SequenceOf[int]
    chooses: bool


class CellsFull(Exception):
    """The memory has no room for the tokens; nothing was computed."""


class Runtime(Protocol):
    """What an engine needs of llama.cpp.

    Attributes:
        context_length: tokens of a sequence at most.
        cells: tokens that there is memory for, of all sequences together; shared beginnings count once.
        slots: sequences at a time.
        batch_tokens: tokens of a :meth:`decode` at most.
    """

    context_length: int
    cells: int
    slots: int
    batch_tokens: int

    def decode(self, entries: SequenceOf[Entry]) -> Tensor:
        """Logits (rows, vocabulary) of the entries that choose, in their order; fp32.

        Raises:
            CellsFull: there is no memory for the tokens.
        """
        ...

    def copy(self, source: int, target: int, length: int) -> None:
        """Let ``target``, which is empty, begin with the first tokens of ``source``; they share their memory."""
        ...

    def truncate(self, slot: int, length: int) -> int:
        """Forget the tokens of a slot from ``length`` on; how many stay (none, if the model can't forget some)."""
        ...

    def close(self) -> None:
        """Give the memory back."""
        ...


class LlamaCpp:
    """See :class:`Runtime`.

    Args:
        file: a GGUF file.
        context: tokens of a sequence at most; None: what the model was made for.
        slots: sequences at a time.

    Raises:
        UserError: the package is not installed, or llama.cpp can't load the file.
    """

    def __init__(
        self, file: Path, *, context: int | None = None, slots: int = 32, batch_tokens: int = 512
    ) -> None:
        try:
            import llama_cpp
        except ImportError:
            raise UserError(
                "needs llama-cpp-python; install codecascade[llama-cpp]", key="--backend llama.cpp"
            ) from None
        self._library: Any = llama_cpp
        self._log: list[str] = []
        self._callback = llama_cpp.llama_log_callback(self._note)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))
        llama_cpp.llama_backend_init()
        self.slots, self.batch_tokens = slots, batch_tokens
        loading = llama_cpp.llama_model_default_params()
        # Its kernels for AMX end the process (seen with 0.3.36, whatever the file), and there is no other way
        # to leave them out than to leave out all weights in a layout of their own.
        loading.use_extra_bufts = b"AMX_INT8 = 1" not in llama_cpp.llama_print_system_info()
        self._model = llama_cpp.llama_model_load_from_file(os.fsencode(file), loading)
        if not self._model:
            raise UserError(f"llama.cpp can't load it: {self._said()}", file=file)
        self._vocabulary = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self._model))
        self.context_length = context or llama_cpp.llama_model_n_ctx_train(self._model)
        params = llama_cpp.llama_context_default_params()
        params.n_ctx = -(-max(self.context_length, min(4 * self.context_length, _LEAST_CELLS)) // 256) * 256
        params.n_batch, params.n_seq_max, params.kv_unified = batch_tokens, slots, True
        # torch's number, which OMP_NUM_THREADS sets
        params.n_threads = params.n_threads_batch = torch.get_num_threads()
        self._context = llama_cpp.llama_init_from_model(self._model, params)
        if not self._context:
            llama_cpp.llama_model_free(self._model)
            raise UserError(f"llama.cpp has no memory for {params.n_ctx:,} tokens: {self._said()}", file=file)
        self.cells = int(llama_cpp.llama_n_ctx(self._context))
        self._memory = llama_cpp.llama_get_memory(self._context)
        self._batch = llama_cpp.llama_batch_init(batch_tokens, 0, 1)

    @property
    def vocab_size(self) -> int:
        """Columns of the logits."""
        return int(self._vocabulary)

    def decode(self, entries: SequenceOf[Entry]) -> Tensor:
        """See :meth:`Runtime.decode`.

        Raises:
            CellsFull: there is no memory for the tokens.
            RuntimeError: llama.cpp failed.
        """
        batch, wanted, row = self._batch, [], 0
        for entry in entries:
            for place, token in enumerate(entry.tokens):
                batch.token[row], batch.pos[row] = token, entry.start + place
                batch.n_seq_id[row] = 1
                batch.seq_id[row][0] = entry.slot
                batch.logits[row] = last = entry.chooses and place == len(entry.tokens) - 1
                if last:
                    wanted.append(row)
                row += 1
        batch.n_tokens = row
        answer = self._library.llama_decode(self._context, batch)
        if answer == 1:
            raise CellsFull
        if answer:
            raise RuntimeError(f"llama.cpp failed ({answer}): {self._said()}")
        logits = np.empty((len(wanted), self.vocab_size), dtype=np.float32)
        for index, place in enumerate(wanted):
            pointer = self._library.llama_get_logits_ith(self._context, place)
            logits[index] = np.ctypeslib.as_array(pointer, (self.vocab_size,))
        return torch.from_numpy(logits)

    def copy(self, source: int, target: int, length: int) -> None:
        self._library.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def truncate(self, slot: int, length: int) -> int:
        if self._library.llama_memory_seq_rm(self._memory, slot, length, -1):
            return length
        self._library.llama_memory_seq_rm(self._memory, slot, -1, -1)
        return 0

    def close(self) -> None:
        if self._context:
            self._library.llama_batch_free(self._batch)
            self._library.llama_free(self._context)
            self._library.llama_model_free(self._model)
            self._context = None

    def _note(self, level: int, text: bytes, _data: object) -> None:
        self._log = [*self._log, text.decode(errors="replace").strip()][-_LOGGED:]

    def _said(self) -> str:
        """The last thing that llama.cpp logged about an error."""
        errors = [line for line in self._log if "error" in line.lower() or "fail" in line.lower()]
        return (errors or self._log or ["it does not say why"])[0]
