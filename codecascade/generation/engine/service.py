"""An engine in a thread of its own, in front of it the coroutines of an event loop.

Coroutines put requests and cancellations into a queue, which the thread empties before each pass. What a pass gave is
handed to the event loop of whoever asked. So a cancel acts within one pass, and a pass never blocks the loop.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Protocol

from codecascade.generation.engine.output import Output
from codecascade.generation.engine.sampling.grammar_matcher import GrammarMatcher
from codecascade.generation.grammar import Grammar
from codecascade.generation.requests import Request
from codecascade.generation.streaming import Delta, Load, QueueFull
from codecascade.ground.errors import RunFailed, UserError
from codecascade.tokens.tokenizer import Tokenizer

_log = logging.getLogger(__name__)


class PassEngine(Protocol):
    """What works in passes; :class:`~codecascade.generation.engine.engine.Engine` says what each method does."""

    @property
    def tokenizer(self) -> Tokenizer: ...

    @property
    def context_length(self) -> int: ...

    @property
    def has_work(self) -> bool: ...

    def load(self) -> Load: ...

    def check(self, request: Request) -> int: ...

    def check_queue(self, running: int, waiting: int) -> None: ...

    def compile(self, grammar: Grammar) -> Future[GrammarMatcher]: ...

    def add_request(self, request: Request, grammar: GrammarMatcher | None = None) -> int: ...

    def abort(self, request: int) -> None: ...

    def step(self) -> list[Output]: ...

    def fail(self, error: Exception) -> list[Output]: ...

    def close(self) -> None: ...


@dataclass(eq=False)
class _Stream:
    """A request on its way, and where its deltas go."""

    request: Request
    loop: asyncio.AbstractEventLoop
    items: asyncio.Queue[Delta | Exception] = field(default_factory=asyncio.Queue)
    # what was made of the request's grammar
    grammar: GrammarMatcher | None = None
    # the engine's number of the request, once the thread has added it
    number: int | None = None
    # samples that the thread has not seen ending
    unfinished: int = 0

    def put(self, item: Delta | Exception) -> bool:
        """From the engine's thread; False if nobody can read it any more."""
        try:
            self.loop.call_soon_threadsafe(self.items.put_nowait, item)
        except RuntimeError:
            # the loop is closed
            return False
        return True


class EngineService:
    """Serves many requests at once to coroutines; see
    :class:`~codecascade.generation.streaming.StreamingGenerator`.

    Args:
        engine: belongs to the service from now on.
        name: what clients call the model.
    """

    def __init__(self, engine: PassEngine, name: str) -> None:
        self._engine, self._name = engine, name
        self._commands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # only the engine's thread touches these two
        self._streams: dict[int, _Stream] = {}
        self._stopping = False
        self._load = engine.load()
        # streams that have not ended; only event loops touch it, and under the lock
        self._open: set[_Stream] = set()
        self._unseen = 0
        self._lock = threading.Lock()
        self._refuses: str | None = None
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self._name

    @property
    def tokenizer(self) -> Tokenizer:
        return self._engine.tokenizer

    @property
    def context_length(self) -> int:
        return self._engine.context_length

    def load(self) -> Load:
        """As it was after the last pass, with the requests that came since."""
        load = self._load
        return replace(load, waiting=load.waiting + self._unseen)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See :meth:`~codecascade.generation.streaming.StreamingGenerator.stream`.

        Raises:
            QueueFull: too many requests wait, or the service is being closed.
            UserError: the prompt leaves no room in the context, the cache has no memory for it, or its grammar can't
                be used.
            RunFailed: the model failed while this request was in a pass.
        """
        if self._refuses is not None:
            raise QueueFull(self._refuses)
        self._engine.check(request)
        stream = _Stream(request, asyncio.get_running_loop(), unfinished=request.samples)
        if request.grammar is not None:
            # Neither the loop nor the engine's thread waits for a grammar. It is shared, so a cancel leaves it alone.
            compiled = asyncio.wrap_future(self._engine.compile(request.grammar))
            stream.grammar = await asyncio.shield(compiled)
        self._submit(stream)
        left = request.samples
        try:
            while left:
                item = await stream.items.get()
                if isinstance(item, Exception):
                    raise item
                left -= item.finish_reason is not None
                yield item
        finally:
            with self._lock:
                self._open.discard(stream)
            if left:
                self._commands.put(lambda: self._cancel(stream))

    async def drain(self) -> None:
        """Refuse new requests, and return when those that are there have ended."""
        self._refuses = "the server is shutting down"
        while self._open:
            with self._lock:
                # where a loop was closed nobody is left who could end the stream
                self._open = {stream for stream in self._open if not stream.loop.is_closed()}
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """End what runs, with an error, and give the memory back."""
        with self._lock:
            self._refuses = "the server has shut down"
        self._commands.put(self._stop)
        while self._thread.is_alive():
            await asyncio.sleep(0.005)

    # ---------------------------------------------------------------- in event loops

    def _submit(self, stream: _Stream) -> None:
        with self._lock:
            if self._refuses is not None:
                raise QueueFull(self._refuses)
            self._engine.check_queue(self._load.running, self._load.waiting + self._unseen)
            self._open.add(stream)
            self._unseen += 1
            self._commands.put(lambda: self._add(stream))

    # ---------------------------------------------------------------- in the engine's thread

    def _run(self) -> None:
        while not self._stopping:
            self._obey(wait=not self._engine.has_work)
            self._load = self._engine.load()
            if self._engine.has_work and not self._stopping:
                for output in self._step():
                    self._deliver(output)
            self._load = self._engine.load()
        with self._lock:
            for stream in self._open:
                stream.put(RunFailed("the server has shut down"))
        self._streams.clear()
        self._engine.close()

    def _obey(self, *, wait: bool) -> None:
        """Do what coroutines asked for; with ``wait``, until there is something."""
        try:
            while True:
                self._commands.get(block=wait)()
                wait = False
        except queue.Empty:
            return

    def _step(self) -> list[Output]:
        try:
            return self._engine.step()
        except Exception as error:
            _log.exception("the engine failed outside of a pass")
            return self._engine.fail(error)

    def _deliver(self, output: Output) -> None:
        stream = self._streams.get(output.request)
        if stream is None:
            return
        if output.error is not None:
            stream.put(_failure(output.error))
            del self._streams[output.request]
            return
        if not stream.put(output.delta):
            self._cancel(stream)
            return
        stream.unfinished -= output.completion is not None
        if not stream.unfinished:
            self._streams.pop(output.request, None)

    def _add(self, stream: _Stream) -> None:
        with self._lock:
            self._unseen -= 1
            if stream not in self._open:
                # cancelled before it was seen
                return
        try:
            stream.number = self._engine.add_request(stream.request, stream.grammar)
        except Exception as error:
            stream.put(error)
            return
        self._streams[stream.number] = stream

    def _cancel(self, stream: _Stream) -> None:
        with self._lock:
            self._open.discard(stream)
        if stream.number is not None:
            self._engine.abort(stream.number)
            self._streams.pop(stream.number, None)

    def _stop(self) -> None:
        self._stopping = True


def _failure(error: Exception) -> RunFailed:
    """What a client is told of a pass that failed."""
    if isinstance(error, UserError):
        # says all that is known, such as weights that are no numbers
        _log.error("a pass of the model failed: %s", error)
        return RunFailed(f"the model failed: {error}")
    _log.error("a pass of the model failed", exc_info=error)
    return RunFailed(f"the model failed: {type(error).__name__}: {error}")
