"""Shares the requests of a measuring out over the ranks, each of which has the whole model on its device.

The first rank asks, judges and writes, as a single process does. Each other rank waits for its share of
each list of requests meanwhile, and completes it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from codecascade.generation.requests import Completion, Generator, Request, Scorer
from codecascade.ground.errors import RunFailed, UserError
from codecascade.tokens.reference import ReferenceTokens
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.parallel.messages import Messages

_REPORT_SECONDS = 1.0
"""How often a rank sends what it has completed, and the first one looks for it."""
Item = TypeVar("Item")
Answer = TypeVar("Answer")


class ScoringGenerator(Generator, Scorer, Protocol):
    """A generator that can also score."""


class SharedGenerator:
    """The generator of the first rank, which has the others complete a part of each list.

    What is completed is what one rank completes, up to rounding: a batch has other neighbours.
    """

    def __init__(self, own: ScoringGenerator, messages: Messages) -> None:
        self._own, self._messages, self._others = own, messages, range(1, messages.world.size)

    @property
    def tokenizer(self) -> Tokenizer:
        return self._own.tokenizer

    @property
    def context_length(self) -> int:
        return self._own.context_length

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        return self._shared("generate", requests, self._own.generate, _renumber_completion)

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
        return self._shared("log_probabilities", sequences, self._own.log_probabilities, _renumber_scores)

    def reference_scores(self, references: Sequence[ReferenceTokens]) -> Iterator[tuple[int, list[float]]]:
        return self._shared("reference_scores", references, self._own.reference_scores, _renumber_scores)

    def _shared(
        self,
        method: str,
        items: Sequence[Item],
        own: Callable[[Sequence[Item]], Iterator[Answer]],
        renumber: Callable[[Answer, Callable[[int], int]], Answer],
    ) -> Iterator[Answer]:
        # one after the other, because lists are sorted by length
        ranks = len(self._others) + 1
        busy = {rank for rank in self._others if items[rank::ranks]}
        for rank in busy:
            self._messages.send(rank, (method, list(items[rank::ranks])))

        def place(rank: int) -> Callable[[int], int]:
            return lambda index: index * ranks + rank

        def arrived(*, wait: bool) -> Iterator[Answer]:
            for rank in sorted(busy):
                while wait or self._messages.waiting(rank):
                    answers, ended = _opened(self._messages.fetch(rank))
                    yield from (renumber(answer, place(rank)) for answer in answers)
                    if ended:
                        busy.discard(rank)
                        break

        looked = time.monotonic()
        for answer in own(items[0::ranks]):
            yield renumber(answer, place(0))
            if time.monotonic() > looked + _REPORT_SECONDS:
                yield from arrived(wait=False)
                looked = time.monotonic()
        yield from arrived(wait=True)


@contextmanager
def on_all_ranks(own: ScoringGenerator, messages: Messages) -> Iterator[ScoringGenerator | None]:
    """The generator that the first rank measures with, which asks the others. All ranks must call this.

    On the other ranks it is None: they have completed their shares when the block begins, and have nothing to do.
    """
    world = messages.world
    if world.size == 1:
        yield own
    elif world.first:
        try:
            yield SharedGenerator(own, messages)
        finally:
            for rank in range(1, world.size):
                messages.send(rank, None)
    else:
        _answer(own, messages)
        yield None


def _answer(own: ScoringGenerator, messages: Messages) -> None:
    """Complete what the first rank sends, until it has ended. A mistake is sent to it, and told there."""
    while (work := messages.fetch(0)) is not None:
        method, items = work
        done: list[object] = []
        sent = time.monotonic()
        try:
            for one in getattr(own, method)(items):
                done.append(one)
                if time.monotonic() > sent + _REPORT_SECONDS:
                    messages.send(0, (done, False))
                    done, sent = [], time.monotonic()
        except UserError as error:
            messages.send(0, error)
        except Exception as error:
            messages.send(
                0, RunFailed(f"another rank could not complete its share: {type(error).__name__}: {error}")
            )
        else:
            messages.send(0, (done, True))


def _opened(message: Any) -> tuple[list[Any], bool]:
    """The answers in a message, and whether they are the last."""
    if isinstance(message, Exception):
        raise message
    answers, ended = message
    return answers, ended


def _renumber_completion(completion: Completion, place: Callable[[int], int]) -> Completion:
    return replace(completion, request=place(completion.request))


def _renumber_scores(scores: tuple[int, list[float]], place: Callable[[int], int]) -> tuple[int, list[float]]:
    return place(scores[0]), scores[1]
