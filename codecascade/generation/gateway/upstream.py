"""The server behind a gateway: what it is asked for, and what its trouble means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace

from codecascade.generation.engine.sequence import Sequence
from codecascade.generation.gateway.body import next_tokens_body, prompt_logprobs_body
from codecascade.generation.gateway.pieces import Piece, WholeCharacters, piece_of
from codecascade.generation.gateway.probe import Abilities
from codecascade.generation.gateway.streams import Busy, Deadline, StreamedTransport
from codecascade.generation.logprob_table import LogprobTable
from codecascade.generation.openai_server import Refused
from codecascade.generation.replies import Body, is_over_context
from codecascade.generation.requests import Request
from codecascade.generation.streaming import QueueFull
from codecascade.generation.transport import NoReplyError
from codecascade.ground.errors import RunFailed, UserError
from codecascade.ground.format import counted

_LONGEST_WAIT = 10.0


@dataclass
class Patience:
    """How long a server is waited for, and how often it is asked; see :class:`.gateway.Gateway`."""

    timeout: float
    silence: float
    attempts: int
    first_wait: float


class Upstream:
    """Asks a server.

    Args:
        url: of the server, as it may be shown.
        model: the name by which it serves the model.
        connections: requests at a time.
        headers: of every request.
    """

    def __init__(
        self,
        url: str,
        model: str,
        abilities: Abilities,
        *,
        connections: int,
        headers: Mapping[str, str],
        patience: Patience,
    ) -> None:
        self.patience = patience
        self._url, self._model, self._abilities = url, model, abilities
        self._transport = StreamedTransport(connections, headers)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    def pieces(
        self, sequence: Sequence, *, most: int, allowed: list[int] | None = None
    ) -> AsyncGenerator[Piece, None]:
        """The next tokens of a text; see :meth:`_answer`."""
        body = next_tokens_body(self._model, sequence, self._abilities, most=most, allowed=allowed)
        return self._answer(body, sequence.request.sampling.logprobs)

    async def read(self, sequence: Sequence) -> None:
        """Let the server read a prompt, as clients ask for that will soon need it; no token is wanted.

        Raises:
            UserError: the server refuses it.
            RunFailed, QueueFull: it does not answer.
        """
        failures = 0
        while True:
            try:
                async with aclosing(self.pieces(sequence, most=1)) as pieces:
                    await anext(pieces, None)
                return
            except (Busy, NoReplyError) as trouble:
                failures += 1
                await self.wait(trouble, failures)

    async def prompt_logprobs(self, request: Request) -> LogprobTable:
        """Of the tokens of a prompt from ``scored_from`` on.

        Raises:
            UserError: the server refuses it, or does not know them.
            RunFailed, QueueFull: it does not answer.
        """
        body, wanted = prompt_logprobs_body(self._model, request), request.sampling.prompt_logprobs
        length, failures = len(request.ids), 0
        while True:
            told = LogprobTable()
            try:
                async with aclosing(self._answer(body, wanted)) as pieces:
                    async for piece in pieces:
                        told.extend(piece.tokens)
            except (Busy, NoReplyError) as trouble:
                failures += 1
                await self.wait(trouble, failures)
                continue
            if [token.token for token in told][:length] != list(request.ids):
                raise UserError(
                    "the server behind this one tells no log-probabilities of a prompt", key="echo"
                )
            return LogprobTable(told[index] for index in range(request.scored_from, length))

    async def _answer(self, body: Body, wanted: int | None) -> AsyncGenerator[Piece, None]:
        """The pieces of a streamed answer, up to its end.

        Args:
            wanted: how many of the likeliest tokens are wanted with each token; None for no log-probabilities.

        Raises:
            UserError: the server refuses the request.
            RunFailed: it refuses everything, as it wants another key.
            Busy, NoReplyError: it may answer when asked again.
        """
        deadline, characters = Deadline(self.patience.timeout), WholeCharacters()
        try:
            async with aclosing(
                self._transport.events(f"{self._url}/v1/completions", body, deadline)
            ) as events:
                async for event in events:
                    piece = piece_of(event, wanted)
                    if piece.is_progress:
                        # Only what brings the text on: events without end are silence, too.
                        deadline.extend(self.patience.silence)
                        if not self._abilities.tells_tokens:
                            piece = replace(piece, text=characters.push(piece.text))
                        yield piece
                    if piece.finish_reason is not None:
                        return
        except Refused as refusal:
            if refusal.status in (400, 413, 422) or is_over_context(refusal.message):
                raise UserError(
                    f"the server behind this one refuses the request: {refusal.message}"
                ) from None
            raise RunFailed(f"{self._url} refuses requests ({refusal})") from None
        raise NoReplyError("the answer ends before its text", reached=True)

    async def wait(self, trouble: Busy | NoReplyError, failures: int) -> None:
        """Wait for the next attempt.

        Args:
            failures: attempts that were made without getting on.

        Raises:
            QueueFull: there is none, and the server has no room.
            RunFailed: there is none.
        """
        if failures >= self.patience.attempts:
            if isinstance(trouble, Busy) and trouble.status in (429, 503):
                raise QueueFull(f"the server behind this one has no room ({trouble})") from None
            attempts = counted(failures, "attempt")
            raise RunFailed(f"{self._url} gave no answer in {attempts}, at last: {trouble}") from None
        asked = trouble.wait if isinstance(trouble, Busy) else 0.0
        await asyncio.sleep(min(max(self.patience.first_wait * 2 ** (failures - 1), asked), _LONGEST_WAIT))
