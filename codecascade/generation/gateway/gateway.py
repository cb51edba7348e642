"""A model on an OpenAI-compatible server, vLLM first, behind the interface of our server.

Prompts are made here and sent as token ids. What comes back goes through the rules of our own engine's texts
(:class:`~codecascade.generation.engine.sequence.Sequence`): healing, stop strings, editor stops, stop tokens. A text
that ends here closes its connection, by which the server knows that nobody wants the rest.

**Healing.** The end of the prompt was taken off, so the text has to begin with it. The server is asked without a
constraint first, which is right most of the time. At the first token that disagrees the connection is closed, and
that one token is asked for among those that agree (``allowed_token_ids``): greedy text is then what our engine
would write. A server without that field gets the prompt whole instead.

**Samples** are requests of their own, each with its own seed: a server that caches prefixes reads the prompt once.

**Trouble.** A request that fails for a passing reason is made again, after what the text already has if the server
tells its tokens.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace

from codecascade.generation.engine.admission import room_for
from codecascade.generation.engine.request_state import RequestState
from codecascade.generation.engine.sequence import Sequence
from codecascade.generation.gateway.body import MOST_ALLOWED, check_request
from codecascade.generation.gateway.pieces import Piece, as_told
from codecascade.generation.gateway.probe import Abilities, probe
from codecascade.generation.gateway.streams import Busy
from codecascade.generation.gateway.upstream import Patience, Upstream
from codecascade.generation.openai_server import login_headers, served_context, server_url
from codecascade.generation.requests import Request
from codecascade.generation.streaming import Delta, Load, QueueFull
from codecascade.generation.transport import NoReplyError, Transport
from codecascade.ground.errors import RunFailed, UserError
from codecascade.ground.merging import merged
from codecascade.tokens.healing import spelled
from codecascade.tokens.tokenizer import Tokenizer


class Gateway:
    """See :class:`~codecascade.generation.streaming.StreamingGenerator`.

    Args:
        url: of the server, with or without ``/v1``; a login in it is sent and shown nowhere.
        model: the name by which it serves the model.
        tokenizer: the model's.
        name: what clients call the model; None: the same.
        context: tokens of prompt and completion together; None: what the server says.
        key: that the server wants; None: that of the environment.
        connections: requests at a time.
        timeout: seconds until the first token, which waits for the server's queue and for the prompt to be read.
        silence: seconds between two tokens.
        attempts: how often a request is made without getting on before it has failed.
        first_wait: seconds before the second attempt; each further wait is twice as long.

    Raises:
        UserError: there is no such server or model, the server takes no prompts of token ids, its tokenizer is
            another, or nobody tells how long the context is.
    """

    def __init__(
        self,
        url: str,
        model: str,
        tokenizer: Tokenizer,
        *,
        name: str | None = None,
        context: int | None = None,
        key: str | None = None,
        connections: int = 256,
        timeout: float = 300.0,
        silence: float = 60.0,
        attempts: int = 3,
        first_wait: float = 0.25,
    ) -> None:
        self.url = server_url(url)
        self._name, self._tokenizer = name or model, tokenizer
        headers = login_headers(url, key)
        first = Transport(1, headers)
        told = served_context(
            first, self.url, model, timeout=timeout, attempts=attempts, first_wait=first_wait
        )
        if told is None and context is None:
            raise UserError("does not tell the length of its context; give it by --context", file=self.url)
        self._context = min(length for length in (told, context) if length is not None)
        self.abilities: Abilities = probe(first, self.url, model, tokenizer)
        self._upstream = Upstream(
            self.url,
            model,
            self.abilities,
            connections=connections,
            headers=headers,
            patience=Patience(timeout, silence, attempts, first_wait),
        )
        self._load = Load()
        self._refuses: str | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def tokenizer(self) -> Tokenizer:
        return self._tokenizer

    @property
    def context_length(self) -> int:
        return self._context

    def load(self) -> Load:
        """What was asked for here; what the server does besides is not known."""
        return self._load

    async def drain(self) -> None:
        """Refuse new requests, and return when those that are there have ended."""
        self._refuses = "the server is shutting down"
        while self._load.running:
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Refuse new requests and close the connections."""
        self._refuses = "the server has shut down"
        await self._upstream.aclose()

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """See :meth:`~codecascade.generation.streaming.StreamingGenerator.stream`.

        Raises:
            QueueFull: the server has no room for the request.
            UserError: the server refuses it, or the prompt leaves no room in the context.
            RunFailed: the server does not answer, or wrongly, however often it is asked.
        """
        if self._refuses is not None:
            raise QueueFull(self._refuses)
        check_request(request, self.abilities)
        state = RequestState(
            0,
            request,
            room_for(request, self._context, beyond=request.beyond_context),
            arrival=time.perf_counter(),
        )
        state.started = state.arrival
        self._count(running=1, prompt_tokens=len(request.ids))
        try:
            if request.sampling.prompt_logprobs is not None:
                state.prompt_logprobs = await self._upstream.prompt_logprobs(request)
            elif not state.room:
                await self._upstream.read(Sequence(state, request.sample_numbers[0], self._tokenizer))
            samples = [self._sample(state, number) for number in request.sample_numbers]
            async with aclosing(merged(samples)) as deltas:
                async for place, delta in deltas:
                    self._count(completion_tokens=delta.tokens)
                    yield replace(delta, sample=place)
        finally:
            self._count(running=-1)

    # ---------------------------------------------------------------- one sample

    async def _sample(self, state: RequestState, number: int) -> AsyncGenerator[Delta, None]:
        request = state.request
        sequence = Sequence(state, number, self._tokenizer)
        if not state.room:
            yield sequence.end_without_text()
            return
        allowed: list[int] | None = None
        failures = 0
        while sequence.finish_reason is None:
            length = len(sequence.ids)
            most = 1 if allowed is not None else sequence.room
            disagrees = False
            try:
                async with aclosing(self._upstream.pieces(sequence, most=most, allowed=allowed)) as pieces:
                    async for piece in pieces:
                        deltas, disagrees = self._read(sequence, piece, is_step=allowed is not None)
                        for delta in deltas:
                            yield delta
                        if disagrees or sequence.finish_reason is not None:
                            break
            except (Busy, NoReplyError) as trouble:
                got_on = len(sequence.ids) > length
                failures = 1 if got_on else failures + 1
                if sequence.has_untold_text:
                    raise RunFailed(f"{self.url}: {trouble}; the text can't be continued") from None
                await self._upstream.wait(trouble, failures)
                continue
            if allowed is not None and len(sequence.ids) == length:
                disagrees = True
            if not disagrees:
                allowed = None
                continue
            if not sequence.constrained:
                # the model ends a text that may not be empty, though it was told so
                if len(sequence.ids) == length:
                    yield sequence.end("stop", None, tokens=1)
                allowed = None
                continue
            tried, allowed = allowed is not None, self._agreeing(sequence)
            if allowed is None or tried:
                allowed = None
                if sequence.has_untold_text:
                    sequence = Sequence(state, number, self._tokenizer)
                for token in spelled(self._tokenizer, sequence.owed):
                    delta = sequence.push(token, 0.0)
                    if self.abilities.tells_tokens and request.sampling.logprobs is None:
                        yield delta

    def _agreeing(self, sequence: Sequence) -> list[int] | None:
        """The tokens among which the server can be asked to choose, so that they agree with the prompt's end."""
        if not (self.abilities.tells_tokens and self.abilities.takes_allowed):
            return None
        found = sequence.allowed()
        return found if found and len(found) <= MOST_ALLOWED else None

    def _read(self, sequence: Sequence, piece: Piece, *, is_step: bool) -> tuple[list[Delta], bool]:
        """What a piece adds to a text, and whether it can't: see the module's text.

        Args:
            is_step: the piece answers a request for a single token, so its end is no end of the text.
        """
        deltas: list[Delta] = []
        told = piece.tokens if self.abilities.tells_tokens else ()
        nonempty = sequence.request.nonempty
        for token in told:
            ends = token.token in sequence.stop_ids
            if not sequence.agrees(self._tokenizer.token_bytes(token.token)):
                return deltas, True
            if ends and nonempty and sequence.empty:
                return deltas, True
            deltas.append(sequence.push(token.token, token.logprob, token.top))
            if sequence.finish_reason is not None:
                if token is told[-1] and not is_step:
                    deltas[-1] = as_told(sequence, deltas[-1], piece)
                return deltas, False
        if not told and piece.text:
            if self.abilities.tells_tokens:
                raise NoReplyError("text without its tokens", reached=True)
            if not sequence.agrees(piece.text.encode()):
                return deltas, True
            deltas.append(as_told(sequence, sequence.push_text(piece.text), piece))
        if piece.finish_reason is None or sequence.finish_reason is not None or is_step:
            return deltas, False
        if piece.finish_reason not in ("stop", "length"):
            raise NoReplyError(f"the server ends a text by {piece.finish_reason!r}", reached=True)
        if piece.finish_reason == "stop" and sequence.constrained:
            return deltas, True
        if piece.finish_reason == "length":
            return [*deltas, sequence.end("length", None)], False
        # No stop strings were sent, so a token ended the text, though not each server tells it. Under a grammar
        # a text may end by itself.
        is_token = isinstance(piece.stop_reason, int) or sequence.request.grammar is None
        return [*deltas, sequence.end("stop", piece.stop_reason, tokens=int(is_token))], False

    def _count(self, **counts: int) -> None:
        self._load = self._load.plus(**counts)
