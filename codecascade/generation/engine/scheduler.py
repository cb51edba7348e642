"""Who is in the next pass: decoding first, then prompts in chunks, within the memory of the cache.

Requests are served in the order in which they came. Each pass has a budget of tokens. Every sequence that decodes
gets its one token, and these are never more than three quarters of the budget, so that neither decoding nor reading
waits for the other. Of what is left the oldest unread prompt gets at least half; the rest goes to the prompts with
the fewest tokens left, so that a short one does not wait for a long one.

Where the cache is full, the youngest sequence gives its blocks back and is computed again later (Kwon et al. 2023).
"""

from __future__ import annotations

import time
from bisect import insort
from collections.abc import Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from codecascade.generation.engine.blocks import BlockManager, CacheFull
from codecascade.generation.engine.request_state import RequestState
from codecascade.generation.engine.sequence import Sequence
from codecascade.model.cache import BlockCopy
from codecascade.tokens.tokenizer import Tokenizer

# Queries of a chunk times the keys before them: bounds the memory of attention on long prompts.
_CHUNK_PAIRS = 1 << 25
# Blocks that are kept free for what each running sequence may write.
_RESERVED = 8


@dataclass(frozen=True)
class Scheduled:
    """The next ``count`` tokens of a sequence, its draft included.

    Attributes:
        chooses: at how many of them, the last ones, the next token is chosen; 0 while a prompt is being read.
        decodes: whether they continue a text, rather than a prompt or what is computed again.
    """

    sequence: Sequence
    count: int
    chooses: int
    decodes: bool = False

    def without_draft(self) -> Scheduled:
        """The same once the sequence has lost its draft: the one token that the draft was to follow."""
        return replace(self, count=1, chooses=1)


class Scheduler:
    """Waiting and running sequences.

    Args:
        chunk_tokens: most tokens of a pass.
        max_running: most sequences that hold blocks at a time.
    """

    def __init__(
        self,
        blocks: BlockManager,
        tokenizer: Tokenizer,
        *,
        chunk_tokens: int,
        max_running: int,
    ) -> None:
        self.blocks = blocks
        self.chunk_tokens = chunk_tokens
        self.max_running = max(1, min(max_running, chunk_tokens * 3 // 4))
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        # requests whose prompt is read and that have samples which were not begun
        self.forking: list[RequestState] = []
        # free blocks that hold what is no number
        self.soiled: list[int] = []
        self.preemptions = 0
        self._tokenizer = tokenizer

    @property
    def has_work(self) -> bool:
        return bool(self.waiting or self.running or self.forking)

    @property
    def queued(self) -> int:
        """Requests of which nothing has been read yet."""
        return sum(sequence.state.started is None for sequence in self.waiting)

    def add(self, state: RequestState) -> None:
        """Let a request wait for its turn."""
        state.pending.extend(state.request.sample_numbers)
        insort(self.waiting, self._begin(state), key=lambda sequence: sequence.order)

    def abort(self, state: RequestState) -> None:
        """Take a request out, in whatever state it is, and free its blocks."""
        state.pending.clear()
        self._stop_forking(state)
        self.waiting = [sequence for sequence in self.waiting if sequence.state is not state]
        for sequence in [sequence for sequence in self.running if sequence.state is state]:
            self.finish(sequence)

    def finish(self, sequence: Sequence) -> None:
        """Take a running sequence out, and free its blocks."""
        self.running.remove(sequence)
        self._give_back(sequence)

    # ---------------------------------------------------------------- samples of one prompt

    def hold(self, sequence: Sequence) -> None:
        """The prompt of a sequence has been read: keep its blocks for the samples that were not begun."""
        state = sequence.state
        state.blocks = sequence.blocks[: self.blocks.blocks_for(len(state.request.ids))]
        state.keys = sequence.keys[: len(state.request.ids) // self.blocks.block_size]
        self.blocks.share(state.blocks)
        insort(self.forking, state, key=lambda waiting: waiting.id)

    def fork(self) -> tuple[list[tuple[Sequence, Tensor]], list[BlockCopy]]:
        """Begin samples whose prompt is read, as many as fit.

        Returns:
            The sequences, each with the logits after its prompt; and the blocks that have to be copied because a
            prompt fills them in part.
        """
        begun: list[tuple[Sequence, Tensor]] = []
        copies: list[BlockCopy] = []
        reserved = sum(map(self._claim, self.running)) if self.forking else 0
        while self.forking and self._may_run(self.forking[0].id):
            state = self.forking[0]
            assert state.logits is not None
            if self.running and self.blocks.free <= reserved:
                break
            sequence = self._begin(state)
            length, whole = len(sequence.ids), len(state.keys)
            sequence.blocks, sequence.keys = state.blocks[:whole], list(state.keys)
            self.blocks.share(sequence.blocks)
            sequence.computed = whole * self.blocks.block_size
            claim = self._claim(sequence)
            short = self.running and self.blocks.free < reserved + claim
            if short or not self._grow(sequence, sequence.left):
                self._give_back(sequence)
                state.pending.appendleft(sequence.sample)
                if self.running or not self._preempt_youngest():
                    break
                continue
            copies += [
                BlockCopy(source, target, length - whole * self.blocks.block_size)
                for source, target in zip(state.blocks[whole:], sequence.blocks[whole:], strict=False)
            ]
            sequence.computed = length
            reserved += self._claim(sequence)
            self.running.append(sequence)
            begun.append((sequence, state.logits))
            if not state.pending:
                self._stop_forking(state)
        return begun, copies

    def _begin(self, state: RequestState) -> Sequence:
        return Sequence(state, state.pending.popleft(), self._tokenizer)

    def _may_run(self, request: int) -> bool:
        """Whether there is a row for a request, and no older one waits for it."""
        older = bool(self.waiting) and self.waiting[0].state.id < request
        return len(self.running) < self.max_running and not older

    def _stop_forking(self, state: RequestState) -> None:
        if state in self.forking:
            self.forking.remove(state)
            self._release(state, state.blocks)
            state.blocks, state.logits = [], None

    # ---------------------------------------------------------------- a pass

    def schedule(self) -> list[Scheduled]:
        """The next pass; empty only if nothing is to be computed."""
        self.running.sort(key=lambda sequence: sequence.order)
        while True:
            self._admit()
            batch = list(self._schedule_decoding())
            batch += self._schedule_prompts(self.chunk_tokens - sum(entry.count for entry in batch))
            if batch or not (self.running or self.waiting):
                break
            # the cache is full of what can't go on: all but the oldest make room
            if not self._preempt_youngest(but=self.running[0] if self.running else None):
                raise CacheFull("one sequence does not fit into the cache alone")
        now = time.perf_counter()
        for entry in batch:
            if entry.sequence.state.started is None:
                entry.sequence.state.started = now
        return batch

    def _schedule_decoding(self) -> Iterator[Scheduled]:
        decoding = [sequence for sequence in self.running if sequence.left == 1]
        spare = self.chunk_tokens * 3 // 4 - len(decoding)
        for sequence in decoding:
            if sequence not in self.running:
                # gave its blocks to an older one
                continue
            del sequence.draft[max(0, spare) :]
            if sequence.draft and not self._grow(sequence, 1 + len(sequence.draft)):
                sequence.draft = []
            while not self._grow(sequence, 1):
                self._preempt_youngest()
                if sequence not in self.running:
                    break
            else:
                spare -= len(sequence.draft)
                self._register(sequence, len(sequence.ids))
                tokens = 1 + len(sequence.draft)
                yield Scheduled(sequence, tokens, tokens, decodes=sequence.generated > 0)

    def _schedule_prompts(self, budget: int) -> Iterator[Scheduled]:
        unread = [sequence for sequence in self.running if sequence.left > 1]
        if not unread:
            return
        oldest = unread.pop(0)
        unread.sort(key=lambda sequence: (sequence.left, sequence.order))
        others = sum(sequence.left for sequence in unread)
        shares = [max(budget - budget // 2, budget - others)]
        for sequence, share in [(oldest, shares[0]), *((sequence, budget) for sequence in unread)]:
            self._extend_by_cache(sequence)
            most = max(self.blocks.block_size, _CHUNK_PAIRS // len(sequence.ids))
            count = min(sequence.left, share, budget, most)
            while count > 0 and not self._grow(sequence, count):
                # what is left of the last block and the free ones
                size = self.blocks.block_size
                room = (len(sequence.blocks) + self.blocks.free) * size - sequence.computed
                count = min(count - 1, room)
            if count > 0:
                budget -= count
                self._register(sequence, sequence.computed + count)
                yield Scheduled(sequence, count, int(count == sequence.left))

    def _admit(self) -> None:
        """Give rows to those that wait, the first come first, as far as the cache has memory for them."""
        reserved = sum(map(self._claim, self.running))
        while self.waiting and len(self.running) < self.max_running:
            sequence = self.waiting[0]
            if self.running and (
                self.blocks.free <= reserved or (self.forking and self.forking[0].id < sequence.state.id)
            ):
                return
            self._extend_by_cache(sequence)
            claim = self._claim(sequence)
            if self.running and self.blocks.free < reserved + claim:
                self._give_back(sequence)
                return
            reserved += claim
            self.running.append(self.waiting.pop(0))

    def _claim(self, sequence: Sequence) -> int:
        """Blocks that a sequence will soon want: for what it has not read, and for some of what it may write."""
        length = len(sequence.ids)
        soon = length + min(sequence.room, _RESERVED * self.blocks.block_size)
        return max(0, self.blocks.blocks_for(soon) - len(sequence.blocks))

    # ---------------------------------------------------------------- blocks

    def _grow(self, sequence: Sequence, count: int) -> bool:
        """Give a sequence blocks for its next ``count`` tokens; False, and nothing, if they are not there."""
        end = sequence.computed + count + sequence.looks_ahead
        wanted = self.blocks.blocks_for(end) - len(sequence.blocks)
        if wanted > self.blocks.free:
            return False
        for _ in range(wanted):
            sequence.blocks.append(self.blocks.allocate(sequence.blocks[-1] if sequence.blocks else None))
        return True

    def _extend_by_cache(self, sequence: Sequence) -> None:
        """Go on with blocks that others have filled, or fill in this pass, but for the last token's."""
        size, state = self.blocks.block_size, sequence.state
        # of the others the model has to see what comes next
        most = state.request.scored_from - 1 if state.wants_prompt_logprobs else len(sequence.ids)
        while sequence.computed % size == 0 and sequence.left > size and sequence.computed + size <= most:
            index = sequence.computed // size
            if len(sequence.blocks) > index:
                return
            before = sequence.keys[index - 1] if index else None
            key = self.blocks.key(before, sequence.ids[sequence.computed : sequence.computed + size])
            block = self.blocks.find(key)
            if block is None:
                return
            self.blocks.share([block])
            if not sequence.state.read:
                sequence.state.cached_tokens += size
            sequence.blocks.append(block)
            sequence.keys.append(key)
            sequence.computed += size

    def _register(self, sequence: Sequence, end: int) -> None:
        """The blocks of the tokens up to ``end`` hold a known prefix, once this pass is made."""
        size = self.blocks.block_size
        while (len(sequence.keys) + 1) * size <= end:
            index = len(sequence.keys)
            tokens = sequence.ids[index * size : (index + 1) * size]
            key = self.blocks.key(sequence.keys[-1] if sequence.keys else None, tokens)
            self.blocks.register(sequence.blocks[index], key)
            sequence.keys.append(key)

    def _give_back(self, sequence: Sequence) -> None:
        self._release(sequence.state, sequence.blocks)
        if not sequence.state.read:
            sequence.state.cached_tokens = 0
        sequence.blocks, sequence.keys, sequence.draft, sequence.computed = [], [], [], 0

    def _release(self, state: RequestState, blocks: list[int]) -> None:
        released = self.blocks.release(blocks, forget=not state.healthy)
        if not state.healthy:
            self.soiled += released

    def preempt(self, sequence: Sequence) -> None:
        """Let a running sequence wait again; it will be computed anew, up to the tokens that it has."""
        self.finish(sequence)
        insort(self.waiting, sequence, key=lambda waiting: waiting.order)
        self.preemptions += 1

    def preempt_all(self) -> None:
        """Let all wait again, with nothing in the cache."""
        for sequence in list(self.running):
            self.preempt(sequence)
        while self._preempt_youngest():
            pass

    def _preempt_youngest(self, but: Sequence | None = None) -> bool:
        """Free the blocks of one sequence, or of a prompt that is kept for samples."""
        if self.running and self.running[-1] is not but and (len(self.running) > 1 or not self.forking):
            self.preempt(self.running[-1])
            return True
        if self.forking:
            state = self.forking[-1]
            self._stop_forking(state)
            insort(self.waiting, self._begin(state), key=lambda sequence: sequence.order)
            return True
        return False
