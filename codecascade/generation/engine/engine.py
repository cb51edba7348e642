"""Continuous batching: requests come and go between the passes of a model, which all that run share.

One :meth:`Engine.step` packs the next tokens of many sequences into one forward pass, chunks of prompts beside single
tokens of texts, and chooses what follows. There are no threads here: :mod:`~codecascade.generation.engine.service`
serves coroutines, :mod:`~codecascade.generation.engine.generator` lists of requests.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from collections.abc import Sequence as SequenceOf
from concurrent.futures import Future
from dataclasses import replace

import torch
from torch import Tensor

from codecascade.generation.engine.admission import check_cache, check_queue, check_tokens, room_for
from codecascade.generation.engine.blocks import BlockManager
from codecascade.generation.engine.drafts import Drafter
from codecascade.generation.engine.memory import free_bytes
from codecascade.generation.engine.model_runner import ModelRunner, default_cache_tokens, token_bytes
from codecascade.generation.engine.output import Output, after_pass, chosen_tokens
from codecascade.generation.engine.request_state import RequestState
from codecascade.generation.engine.sampling.grammar_compiler import GrammarCompiler
from codecascade.generation.engine.sampling.grammar_matcher import GrammarMatcher
from codecascade.generation.engine.sampling.selection import Chosen, select
from codecascade.generation.engine.scheduler import Scheduled, Scheduler
from codecascade.generation.engine.sequence import Sequence
from codecascade.generation.engine.weights.health import no_numbers
from codecascade.generation.grammar import Grammar
from codecascade.generation.requests import Request
from codecascade.generation.streaming import Delta, Load
from codecascade.ground.errors import UserError
from codecascade.model.cache import BLOCK_SIZE
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer


class Engine:
    """Completes requests with a model in memory, many at a time.

    Results depend on what else runs only as far as rounding does: a kernel for another number of rows may round
    differently, which can turn a near tie (seldom in fp32, now and then in bf16).

    Args:
        cache_tokens: tokens that the cache has memory for, of all sequences together. None: 1 GiB, but at least
            16,384 tokens and what one request of the whole context needs; of the model's own context, if there is
            memory for it.
        chunk_tokens: most tokens of a pass; longer prompts are read in chunks. A cancel acts after one pass.
        max_running: most sequences that run at a time.
        max_waiting: most requests that wait; None for any number.
        context: most tokens of prompt and completion together, of requests that would go beyond the context, too;
            None: the model's own ``max_position_embeddings``. A sliding window ends it.
        speculate: guess the next tokens from what the text repeats, where that is faster. The text stays the same.
    """

    def __init__(
        self,
        model: Llama,
        tokenizer: Tokenizer,
        *,
        cache_tokens: int | None = None,
        chunk_tokens: int = 2_048,
        max_running: int = 256,
        max_waiting: int | None = None,
        context: int | None = None,
        speculate: bool = False,
    ) -> None:
        sizes = {"context": context, "cache_tokens": cache_tokens, "chunk_tokens": chunk_tokens}
        for key, value in sizes.items():
            if value is not None and value < 1:
                raise UserError(f"must be at least 1 (got {value})", key=key)
        model.config.check_window(context or 1, key="context")
        self.model, self.tokenizer = model.eval(), tokenizer
        self.context_length = context or model.config.max_position_embeddings
        self._has_own_context = context is None
        self._drafter = Drafter() if speculate else None
        self._grammars = GrammarCompiler(tokenizer)
        self._max_waiting = max_waiting
        self._states: dict[int, RequestState] = {}
        self._next, self._load = 0, Load()
        self._in_pass: list[Sequence] = []
        tokens = cache_tokens or default_cache_tokens(model, self.context_length, asked=context is not None)
        self._runner = ModelRunner(model, max(1, tokens // BLOCK_SIZE))
        self._blocks = BlockManager(self._runner.cache.keys[0].shape[1], BLOCK_SIZE)
        self._scheduler = Scheduler(
            self._blocks, tokenizer, chunk_tokens=chunk_tokens, max_running=max_running
        )

    @property
    def cache_tokens(self) -> int:
        """Tokens that there is memory for."""
        return self._blocks.count * BLOCK_SIZE

    @property
    def has_work(self) -> bool:
        return self._scheduler.has_work

    def load(self) -> Load:
        """How busy the engine is."""
        scheduler = self._scheduler
        return replace(
            self._load,
            running=len(scheduler.running),
            waiting=scheduler.queued,
            cache_used=self._blocks.used / self._blocks.count,
        )

    def reserve(self, tokens: int) -> None:
        """Have memory for one sequence of so many tokens, whatever the cache was given at first.

        What runs is computed again, for the memory is another.
        """
        # one block more, for the copy of a prompt's last block that each of its samples takes
        blocks = self._blocks.blocks_for(tokens) + 1
        if blocks <= self._blocks.count:
            return
        self._scheduler.preempt_all()
        self._resize(blocks)

    def goes_beyond(self, request: Request) -> bool:
        """Whether the context's end is none for this request: the model's own, not one that was asked for.

        A model with a sliding window has an end.
        """
        has_window = self.model.config.sliding_window is not None
        return request.beyond_context and self._has_own_context and not has_window

    def has_memory_for(self, tokens: int) -> bool:
        """Whether :meth:`reserve` can have the memory for one sequence of so many tokens."""
        more = self._blocks.blocks_for(tokens) + 1 - self._blocks.count
        if more <= 0:
            return True
        free = free_bytes(next(self.model.parameters()).device)
        return free is None or more * BLOCK_SIZE * token_bytes(self.model) <= free

    def room(self, request: Request) -> int:
        """Tokens of a completion at most.

        Raises:
            UserError: the prompt leaves no room in the context.
        """
        return room_for(request, self.context_length, beyond=self.goes_beyond(request))

    def check(self, request: Request) -> int:
        """The :meth:`room` of a request that can be answered.

        Raises:
            UserError: the prompt leaves no room in the context or holds what is no token, or the cache has no memory
                for it.
        """
        room = self.room(request)
        check_tokens(request, self.model.config.vocab_size)
        check_cache(request, room, self.cache_tokens)
        return room

    def check_queue(self, running: int, waiting: int) -> None:
        """Whether one more request may come where so many sequences run and so many requests wait.

        Raises:
            QueueFull: it may not.
        """
        check_queue(waiting, self._max_waiting, self._scheduler.max_running - running)

    def compile(self, grammar: Grammar) -> Future[GrammarMatcher]:
        """Read a request's grammar in another thread, so that whoever asks need not wait; any thread may call this.

        The future raises UserError where the grammar can't be used.
        """
        return self._grammars.compile(grammar)

    def add_request(self, request: Request, grammar: GrammarMatcher | None = None) -> int:
        """Let a request wait for its turn; returns its id.

        Args:
            grammar: what :meth:`compile` made of the request's; None waits for it here.

        Raises:
            QueueFull: too many requests wait.
            UserError: the prompt leaves no room in the context, the cache has no memory for it, or its grammar can't
                be used.
        """
        room = self.check(request)
        self.check_queue(len(self._scheduler.running), self._scheduler.queued)
        state = RequestState(
            self._next, request, room, arrival=time.perf_counter(), unfinished=request.samples
        )
        if request.grammar is not None:
            state.grammar = grammar or self._grammars.matcher(request.grammar)
        self._scheduler.add(state)
        self._states[state.id] = state
        self._next += 1
        return state.id

    def abort(self, request: int) -> None:
        """Take a request out, in whatever state it is; its blocks are free at once. Unknown ones are passed over."""
        if (state := self._states.pop(request, None)) is not None:
            self._scheduler.abort(state)

    def forget_prefixes(self) -> None:
        """Read every prompt and guess every text anew from now on, as for a measurement."""
        self._blocks.clear()
        if self._drafter is not None:
            self._drafter.forget()

    def close(self) -> None:
        """Take all requests out, and give the cache's memory back."""
        for request in list(self._states):
            self.abort(request)
        self._resize(1)

    def step(self) -> list[Output]:
        """One forward pass; what it gave to the samples that were in it."""
        if self._drafter is not None:
            self._drafter.draft([sequence for sequence in self._scheduler.running if sequence.left == 1])
        try:
            batch = self._scheduler.schedule()
            start = time.perf_counter()
            self._in_pass = [entry.sequence for entry in batch]
            outputs = self._compute(batch)
        except BaseException as error:
            if isinstance(error, Exception) and self._in_pass:
                return self._fail(sorted({sequence.state.id for sequence in self._in_pass}), error)
            # an interrupt, above all
            self._forget_pass()
            raise
        finally:
            self._in_pass = []
        self._count(batch, outputs, time.perf_counter() - start)
        return outputs

    def _resize(self, blocks: int) -> None:
        before = self._blocks.count
        # first, so that the two memories do not exist at the same time
        del self._runner
        try:
            self._runner = ModelRunner(self.model, blocks)
        except UserError:
            blocks = before
            self._runner = ModelRunner(self.model, before)
            raise
        finally:
            self._blocks = self._scheduler.blocks = BlockManager(blocks, BLOCK_SIZE)
            self._scheduler.soiled = []

    # ---------------------------------------------------------------- one pass

    def _compute(self, batch: SequenceOf[Scheduled]) -> list[Output]:
        chosen: list[tuple[Sequence, list[Chosen]]] = []
        if batch:
            self._clean()
            batch, logits = self._runner.run(batch)
            choosing = [entry.sequence for entry in batch if entry.chooses]
            first = 0
            for entry in batch:
                entry.sequence.computed += entry.count - len(entry.sequence.draft)
                state = entry.sequence.state
                if entry.chooses and not state.read:
                    state.read = True
                    self._load = self._load.plus(
                        prompt_tokens=len(state.request.ids), cached_tokens=state.cached_tokens
                    )
                if entry.chooses and state.pending and state.logits is None and not entry.sequence.generated:
                    state.logits = logits[first].clone()
                    self._scheduler.hold(entry.sequence)
                first += entry.chooses
            chosen += self._select(choosing, logits)
        forks, copies = self._scheduler.fork()
        if forks:
            self._in_pass += [sequence for sequence, _ in forks]
            self._clean()
            self._runner.cache.copy_blocks(copies)
            after = torch.stack([logits for _, logits in forks])
            chosen += self._select([sequence for sequence, _ in forks], after)
        outputs: list[Output] = []
        for sequence, tokens in chosen:
            if sequence.state.id in self._states:
                outputs += self._push(sequence, tokens)
        return outputs

    def _clean(self) -> None:
        """Clear free blocks that hold what is no number, before somebody gets them."""
        # hidden by a weight of 0 it would still turn the next user's text into nothing
        self._runner.cache.clear_blocks(self._scheduler.soiled)
        self._scheduler.soiled = []

    def _select(self, sequences: list[Sequence], logits: Tensor) -> list[tuple[Sequence, list[Chosen]]]:
        if not sequences:
            return []
        found = select(self._runner, sequences, logits, self.tokenizer.vocab_size)
        return list(zip(sequences, found, strict=True))

    def _push(self, sequence: Sequence, tokens: SequenceOf[Chosen]) -> Iterator[Output]:
        """Give a sequence what was chosen, up to the token that ends it."""
        state = sequence.state
        drafted, sequence.draft = len(sequence.draft), []
        if drafted and self._drafter is not None:
            self._drafter.learn(sequence, drafted, len(tokens) - 1)
            self._load = self._load.plus(accepted_tokens=len(tokens) - 1)
        for chosen in tokens:
            if chosen.is_broken:
                self.abort(state.id)
                yield Output(state.id, Delta(sequence.sample), error=no_numbers(self.model))
                return
            if state.room == 0:
                yield self._finish(sequence, sequence.end_without_text())
                return
            delta = sequence.push(chosen.token, chosen.logprob, chosen.top)
            if delta.finish_reason is not None:
                yield self._finish(sequence, delta)
                return
            yield Output(state.id, delta)
        # the right tokens of the draft were computed as well
        sequence.computed += len(tokens) - 1

    def _finish(self, sequence: Sequence, delta: Delta) -> Output:
        self._scheduler.finish(sequence)
        if self._drafter is not None:
            self._drafter.remember(sequence)
        sequence.state.unfinished -= 1
        if not sequence.state.unfinished:
            del self._states[sequence.state.id]
        return Output(sequence.state.id, delta, sequence.completion())

    def fail(self, error: Exception) -> list[Output]:
        """End all requests with an error."""
        return self._fail(list(self._states), error)

    def _fail(self, requests: SequenceOf[int], error: Exception) -> list[Output]:
        """End requests with an error, and let all others be computed again."""
        for request in requests:
            self.abort(request)
        self._forget_pass()
        return [Output(request, Delta(sample=0), error=error) for request in requests]

    def _forget_pass(self) -> None:
        """Let all be computed again: what a pass was to fill does not hold what was said of it."""
        self._scheduler.preempt_all()
        self._blocks.clear()

    def _count(self, batch: SequenceOf[Scheduled], outputs: SequenceOf[Output], seconds: float) -> None:
        """Learn from the time of a pass, and add it to the load."""
        decoding = [entry for entry in batch if entry.decodes]
        tokens, decoded = sum(entry.count for entry in batch), sum(entry.count for entry in decoding)
        drafted, chosen = decoded - len(decoding), chosen_tokens(outputs)
        if self._drafter is not None and decoding and decoded == tokens:
            self._drafter.observe(len(decoding), drafted > 0, chosen, seconds)
        self._load = after_pass(self._load, tokens, decoded, chosen, seconds).plus(drafted_tokens=drafted)
