"""A generator and scorer whose model is behind a server that takes token ids.

Prompts are made here, with the model's own tokenizer, and sent as token ids through the
:class:`~codecascade.generation.gateway.gateway.Gateway`. So healing, chat formats, infilling, stops and perplexity
are what they are with our own engine, and figures differ by rounding alone.
"""

from __future__ import annotations

import asyncio
import queue
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeVar, cast

from codecascade.generation.gateway.gateway import Gateway
from codecascade.generation.openai_server import login_headers
from codecascade.generation.requests import Completion, Request
from codecascade.generation.served.scoring import PromptScorer
from codecascade.generation.streaming import Delta, QueueFull
from codecascade.ground.errors import RunFailed, UserError
from codecascade.tokens.reference import ReferenceTokens
from codecascade.tokens.tokenizer import Tokenizer

Job = TypeVar("Job")
Result = TypeVar("Result")

_ATTEMPTS = 6


@dataclass(frozen=True)
class ServerAddress:
    """A server that takes token ids.

    Attributes:
        url: with or without ``/v1``.
        model: the name by which it serves the model.
        key: that it wants; None takes that of the environment.
        check: called when a request has failed; it may raise a better error.
    """

    url: str
    model: str
    key: str | None = None
    check: Callable[[], None] = lambda: None


class ServedGenerator:
    """See :class:`~codecascade.generation.requests.Generator` and :class:`~codecascade.generation.requests.Scorer`.

    Args:
        tokenizer: the model's.
        context_length: tokens of prompt and completion together, as the server is to have it.
        connect: gives the server. It is called at the first request, so that a model that is measured already needs
            no server.
        concurrency: requests at a time.
        timeout: seconds until the first token of an answer.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        context_length: int,
        connect: Callable[[], ServerAddress],
        *,
        concurrency: int,
        timeout: float,
    ) -> None:
        self.tokenizer, self.context_length = tokenizer, context_length
        self._connect, self._concurrency, self._timeout = connect, concurrency, timeout

    @cached_property
    def _server(self) -> ServerAddress:
        return self._connect()

    @cached_property
    def _gateway(self) -> Gateway:
        server = self._server
        gateway = Gateway(
            server.url,
            server.model,
            self.tokenizer,
            context=self.context_length,
            key=server.key,
            connections=self._concurrency + 1,
            timeout=self._timeout,
            attempts=_ATTEMPTS,
            first_wait=1.0,
        )
        if not gateway.abilities.tells_tokens:
            raise UserError(
                "does not tell the tokens that it chooses; set prompts = 'text' in [evaluate.server] to measure its "
                "texts alone",
                file=gateway.url,
            )
        # A server may have less room than the model.
        self.context_length = gateway.context_length
        return gateway

    @cached_property
    def _scorer(self) -> PromptScorer:
        gateway, server = self._gateway, self._server
        return PromptScorer(
            gateway.url,
            server.model,
            login_headers(server.url, server.key),
            context=gateway.context_length,
            connections=self._concurrency,
            timeout=self._timeout,
            attempts=_ATTEMPTS,
        )

    @cached_property
    def _loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.new_event_loop()
        threading.Thread(target=loop.run_forever, name="served model", daemon=True).start()
        weakref.finalize(self, loop.call_soon_threadsafe, loop.stop)
        return loop

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """Completions as they end. A prompt that fills the context is answered with ``finish_reason="context"``.

        Each sample is a request of its own: a server that caches prefixes reads the prompt once.
        """
        gateway = self._gateway
        order = sorted(range(len(requests)), key=lambda index: -len(requests[index].ids))
        jobs = [(index, number) for index in order for number in requests[index].sample_numbers]

        async def complete(job: tuple[int, int]) -> Completion:
            index, number = job
            request = requests[index]
            if len(request.ids) >= self.context_length:
                return Completion(index, number, "", (), "context")
            one = replace(request, samples=1, numbers=(number,), beyond_context=False)
            # The gateway's stream is an asynchronous generator; its type says less.
            deltas = cast(Any, gateway.stream(one))
            async with aclosing(deltas):
                try:
                    stop_ids = request.stop_ids or self.tokenizer.stop_ids
                    return await _whole(index, number, deltas, stop_ids)
                except QueueFull as error:
                    raise RunFailed(
                        f"{error}. What was answered is kept; run the same command again to continue"
                    ) from None

        return self._in_parallel(jobs, complete)

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
        """See :meth:`~codecascade.generation.requests.Scorer.log_probabilities`.

        Raises:
            UserError: a sequence does not fit the server's context.
        """
        scorer = self._scorer
        for sequence in sequences:
            if len(sequence) > self.context_length:
                raise UserError(
                    f"{len(sequence):,} tokens are to be scored, and the server's context has "
                    f"{self.context_length:,}. Give it a longer one (context in [evaluate.server]), or score shorter "
                    "texts (perplexity.tokens)"
                )
        order = sorted(range(len(sequences)), key=lambda index: -len(sequences[index]))
        stopped = threading.Event()
        pool = ThreadPoolExecutor(min(self._concurrency, max(1, len(sequences))), "prompt scores")

        async def score(index: int) -> tuple[int, list[float]]:
            ids = sequences[index]
            if len(ids) < 2:
                # no token comes after another
                return index, []
            return index, await self._loop.run_in_executor(pool, scorer.score, ids, stopped)

        try:
            yield from self._in_parallel(order, score)
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)

    def reference_scores(self, references: Sequence[ReferenceTokens]) -> Iterator[tuple[int, list[float]]]:
        """See :meth:`~codecascade.generation.requests.Scorer.reference_scores`; ``any_last`` is passed over.

        Raises:
            UserError: a reference does not fit the server's context.
        """
        for index, scores in self.log_probabilities([reference.ids for reference in references]):
            yield index, scores[references[index].first - 1 :]

    def _in_parallel(
        self, jobs: Sequence[Job], work: Callable[[Job], Coroutine[Any, Any, Result]]
    ) -> Iterator[Result]:
        """What ``work`` returns of each job, as it comes."""
        results: queue.SimpleQueue[Result | BaseException] = queue.SimpleQueue()
        left = iter(jobs)

        async def worker() -> None:
            # All workers are on one thread, so each takes another job.
            for job in left:
                try:
                    results.put(await work(job))
                except asyncio.CancelledError:
                    raise
                except Exception as error:
                    results.put(error)
                    return

        async def all_workers() -> None:
            await asyncio.gather(*(worker() for _ in range(min(self._concurrency, len(jobs)))))

        running = asyncio.run_coroutine_threadsafe(all_workers(), self._loop)
        try:
            for _ in jobs:
                result = results.get()
                if isinstance(result, BaseException):
                    self._server.check()
                    raise result
                yield result
        finally:
            running.cancel()


async def _whole(
    index: int, number: int, deltas: AsyncIterator[Delta], stop_ids: Collection[int]
) -> Completion:
    """The sample that its deltas make.

    Args:
        stop_ids: tokens that end a text. Of the model's own end servers say nothing: neither a token nor a string.
    """
    text: list[str] = []
    ids: list[int] = []
    last: Delta | None = None
    async for delta in deltas:
        text.append(delta.text)
        ids += delta.ids
        last = delta
    if last is None or last.finish_reason is None:
        raise RunFailed("a server's answer has no end")
    stopped_by = last.stopped_by
    if stopped_by is None and last.finish_reason == "stop":
        stopped_by = min(stop_ids, default=None)
    return Completion(index, number, "".join(text), tuple(ids), last.finish_reason, stopped_by)
