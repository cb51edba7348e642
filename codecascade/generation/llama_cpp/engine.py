"""Continuous batching over llama.cpp: its kernels, our tokenizer, prompts, sampler and rules of a text.

The tokens are chosen by our sampler from llama.cpp's logits, so that every setting means what it means with our own
engine, and the same seed draws the same way whatever else runs.

One :meth:`LlamaCppEngine.step` is one ``llama_decode``: a token of each text, and chunks of prompts in what is left
of the batch. A cancel acts between two of them. The beginning that a prompt shares with what a slot holds is not read
again; samples of one prompt share the memory of it.
"""

from __future__ import annotations

import math
import time
from bisect import insort
from collections.abc import Sequence as SequenceOf
from concurrent.futures import Future
from dataclasses import dataclass, replace

from torch import Tensor

from codecascade.generation.engine.admission import check_cache, check_queue, check_tokens, room_for
from codecascade.generation.engine.output import Output, after_pass, chosen_tokens
from codecascade.generation.engine.request_state import RequestState
from codecascade.generation.engine.sampling.grammar_compiler import GrammarCompiler
from codecascade.generation.engine.sampling.grammar_matcher import GrammarMatcher
from codecascade.generation.engine.sampling.selection import select
from codecascade.generation.engine.sequence import Sequence
from codecascade.generation.engine.weights.health import overflow
from codecascade.generation.grammar import Grammar
from codecascade.generation.llama_cpp.runtime import CellsFull, Entry, Runtime
from codecascade.generation.llama_cpp.slots import Slot, Slots
from codecascade.generation.requests import Request
from codecascade.generation.streaming import Delta, Load
from codecascade.ground.errors import UserError
from codecascade.tokens.tokenizer import Tokenizer


@dataclass(frozen=True)
class _Scheduled:
    """The next tokens of a sequence."""

    slot: Slot
    sequence: Sequence
    count: int

    @property
    def chooses(self) -> bool:
        return self.count == self.sequence.left

    @property
    def entry(self) -> Entry:
        start = self.sequence.computed
        return Entry(self.slot.number, start, self.sequence.ids[start : start + self.count], self.chooses)


class LlamaCppEngine:
    """See :class:`~codecascade.generation.engine.service.PassEngine`.

    Args:
        runtime: belongs to the engine from now on.
        max_waiting: most requests that wait; None for any number.
    """

    def __init__(self, runtime: Runtime, tokenizer: Tokenizer, *, max_waiting: int | None = None) -> None:
        self._runtime, self.tokenizer = runtime, tokenizer
        self.context_length = runtime.context_length
        self._slots = Slots(runtime)
        self._grammars = GrammarCompiler(tokenizer)
        self._max_waiting = max_waiting
        self._waiting: list[Sequence] = []
        self._running: dict[Sequence, Slot] = {}
        self._states: dict[int, RequestState] = {}
        self._next = 0
        self._load = Load()

    @property
    def has_work(self) -> bool:
        return bool(self._waiting or self._running)

    def load(self) -> Load:
        """How busy the engine is."""
        waiting = sum(sequence.state.started is None for sequence in self._waiting)
        used = min(1.0, self._slots.held / self._runtime.cells)
        return replace(self._load, running=len(self._running), waiting=waiting, cache_used=used)

    # ---------------------------------------------------------------- requests

    def check(self, request: Request) -> int:
        """The room of a request that can be answered, in tokens.

        Raises:
            UserError: the prompt leaves no room in the context or in the memory, or holds what is no token.
        """
        if request.sampling.prompt_logprobs is not None:
            raise UserError(
                "llama.cpp's backend tells no log-probabilities of a prompt; torch does", key="echo"
            )
        # llama.cpp has memory for the context and no more
        room = room_for(request, self.context_length, beyond=False)
        check_tokens(request, self.tokenizer.vocab_size)
        check_cache(request, room, self._runtime.cells)
        return room

    def check_queue(self, running: int, waiting: int) -> None:
        """Whether one more request may come.

        Raises:
            QueueFull: it may not.
        """
        check_queue(waiting, self._max_waiting, self._runtime.slots - running)

    def compile(self, grammar: Grammar) -> Future[GrammarMatcher]:
        """Read a grammar in another thread; the future raises UserError where it can't be used."""
        return self._grammars.compile(grammar)

    def add_request(self, request: Request, grammar: GrammarMatcher | None = None) -> int:
        """Let a request wait for its turn; returns its id.

        Args:
            grammar: what :meth:`compile` made of the request's; None waits for it here.

        Raises:
            QueueFull: too many requests wait.
            UserError: see :meth:`check`; or the grammar can't be used.
        """
        room = self.check(request)
        self.check_queue(len(self._running), len(self._waiting))
        state = RequestState(
            self._next, request, room, arrival=time.perf_counter(), unfinished=request.samples
        )
        if request.grammar is not None:
            state.grammar = grammar or self._grammars.matcher(request.grammar)
        state.pending.extend(request.sample_numbers)
        self._states[state.id] = state
        self._next += 1
        # The others wait until this one has read the prompt.
        self._wait(Sequence(state, state.pending.popleft(), self.tokenizer))
        return state.id

    def abort(self, request: int) -> None:
        """Take a request out, in whatever state it is. Unknown ones are passed over."""
        state = self._states.pop(request, None)
        if state is None:
            return
        self._waiting = [sequence for sequence in self._waiting if sequence.state is not state]
        for sequence in [sequence for sequence in self._running if sequence.state is state]:
            self._slots.give_back(self._running.pop(sequence))

    def fail(self, error: Exception) -> list[Output]:
        """End all requests with an error."""
        return self._fail(list(self._states), error)

    def close(self) -> None:
        """Take all requests out, and give the memory back."""
        for request in list(self._states):
            self.abort(request)
        self._runtime.close()

    # ---------------------------------------------------------------- a pass

    def step(self) -> list[Output]:
        """One pass; what it gave to the samples that were in it."""
        start = time.perf_counter()
        self._admit()
        batch = self._schedule()
        try:
            logits = self._decode(batch)
            outputs = self._choose(batch, logits)
        except Exception as error:
            return self._fail(sorted({scheduled.sequence.state.id for scheduled in batch}), error)
        tokens = sum(scheduled.count for scheduled in batch)
        decoded = sum(scheduled.count == 1 and scheduled.sequence.generated > 0 for scheduled in batch)
        seconds = time.perf_counter() - start
        self._load = after_pass(self._load, tokens, decoded, chosen_tokens(outputs), seconds)
        return outputs

    def look_ahead(self, sequences: SequenceOf[Sequence], tokens: SequenceOf[int]) -> Tensor:
        """Logits (rows, vocabulary) after one more token of each sequence, which does not become part of it."""
        slots = [self._running[sequence] for sequence in sequences]
        logits = self._decode_entries(
            [
                Entry(slot.number, sequence.computed, [token], True)
                for slot, sequence, token in zip(slots, sequences, tokens, strict=True)
            ]
        )
        for slot, sequence in zip(slots, sequences, strict=True):
            sequence.computed = self._runtime.truncate(slot.number, sequence.computed)
            del slot.tokens[sequence.computed :]
        return logits

    def _wait(self, sequence: Sequence) -> None:
        insort(self._waiting, sequence, key=lambda waiting: waiting.order)

    def _admit(self) -> None:
        while self._waiting:
            sequence = self._waiting[0]
            slot = self._slots.take(sequence)
            if slot is None:
                return
            del self._waiting[0]
            self._running[sequence] = slot
            if sequence.state.started is None:
                sequence.state.started = time.perf_counter()
                sequence.state.cached_tokens = sequence.computed

    def _schedule(self) -> list[_Scheduled]:
        """A token of each text, then prompts in the order in which they came, within the batch."""
        left = self._runtime.batch_tokens
        batch = []
        by_order = sorted(self._running, key=lambda sequence: (sequence.left > 1, sequence.order))
        for sequence in by_order:
            count = min(sequence.left, left)
            if count:
                batch.append(_Scheduled(self._running[sequence], sequence, count))
                left -= count
        return batch

    def _decode(self, batch: list[_Scheduled]) -> Tensor:
        """Compute a batch, without those for which there is no memory: they are taken out of it."""
        while True:
            try:
                logits = self._runtime.decode([scheduled.entry for scheduled in batch])
                break
            except CellsFull:
                if not self._slots.forget_oldest() and not self._preempt_youngest(batch):
                    raise
        for scheduled in batch:
            sequence = scheduled.sequence
            sequence.computed += scheduled.count
            scheduled.slot.tokens = sequence.ids[: sequence.computed]
        return logits

    def _decode_entries(self, entries: list[Entry]) -> Tensor:
        while True:
            try:
                return self._runtime.decode(entries)
            except CellsFull:
                if not self._slots.forget_oldest():
                    raise

    def _preempt_youngest(self, batch: list[_Scheduled]) -> bool:
        """Let the youngest sequence begin anew later; False if there is only one."""
        if len(self._running) < 2:
            return False
        youngest = max(self._running, key=lambda sequence: sequence.order)
        self._slots.give_back(self._running.pop(youngest), forget=True)
        youngest.computed = 0
        self._wait(youngest)
        batch[:] = [scheduled for scheduled in batch if scheduled.sequence is not youngest]
        return True

    def _choose(self, batch: list[_Scheduled], logits: Tensor) -> list[Output]:
        choosing = [scheduled.sequence for scheduled in batch if not scheduled.sequence.left]
        if not choosing:
            return []
        for sequence in choosing:
            state = sequence.state
            if not state.read:
                state.read = True
                self._load = self._load.plus(
                    prompt_tokens=len(state.request.ids), cached_tokens=state.cached_tokens
                )
                while state.pending:
                    self._wait(Sequence(state, state.pending.popleft(), self.tokenizer))
        chosen = select(self, choosing, logits, self.tokenizer.vocab_size)
        outputs = []
        for sequence, [choice] in zip(choosing, chosen, strict=True):
            if sequence.state.id not in self._states:
                continue
            if choice.is_broken:
                outputs.append(self._break(sequence))
                continue
            if sequence.state.room == 0:
                delta = sequence.end_without_text()
            else:
                delta = sequence.push(choice.token, choice.logprob, choice.top)
            outputs.append(self._output(sequence, delta))
        return outputs

    def _output(self, sequence: Sequence, delta: Delta) -> Output:
        state = sequence.state
        if delta.finish_reason is None:
            return Output(state.id, delta)
        # Numbers that are none would stay in the cache.
        self._slots.give_back(self._running.pop(sequence), forget=not math.isfinite(sequence.log_probability))
        state.unfinished -= 1
        if not state.unfinished:
            del self._states[state.id]
        return Output(state.id, delta, sequence.completion())

    def _break(self, sequence: Sequence) -> Output:
        """End a request for which the model gives no numbers; they would stay in the cache."""
        state = sequence.state
        for running in [running for running in self._running if running.state is state]:
            self._slots.give_back(self._running.pop(running), forget=True)
        self.abort(state.id)
        reason = "the file holds values that are no numbers, or what llama.cpp computes with it overflows"
        return Output(state.id, Delta(sequence.sample), error=overflow(reason))

    def _fail(self, requests: list[int], error: Exception) -> list[Output]:
        """End requests with an error, and let all others be computed again."""
        for request in requests:
            self.abort(request)
        for sequence, slot in list(self._running.items()):
            self._slots.give_back(slot, forget=True)
            del self._running[sequence]
            sequence.computed = 0
            self._wait(sequence)
        while self._slots.forget_oldest():
            pass
        return [Output(request, Delta(sample=0), error=error) for request in requests]
