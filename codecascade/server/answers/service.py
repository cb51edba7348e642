"""What the protocols share: the model, its limits, and answers as they come."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from types import TracebackType

from codecascade.generation.requests import Request
from codecascade.generation.streaming import Delta, QueueFull, StreamingGenerator
from codecascade.ground.errors import UserError
from codecascade.ground.merging import merged
from codecascade.server.answers.samples import Sample, total
from codecascade.server.http.disconnect import close_at_end
from codecascade.server.http.errors import ApiError
from codecascade.server.http.logs import note
from codecascade.server.http.metrics import Metrics
from codecascade.server.settings import ServerSettings
from codecascade.tokens.healing import unhealed_text
from codecascade.tokens.tokenizer import Tokenizer

logger = logging.getLogger("codecascade.server")


class Service:
    """One model and who uses it.

    Attributes:
        draining: no new requests are taken, as the server is about to end.
        running: requests that generate.
    """

    def __init__(self, generator: StreamingGenerator, settings: ServerSettings) -> None:
        self.generator, self.settings = generator, settings
        self.limits = settings.limits
        self.name = settings.names[0] if settings.names else generator.name
        self.created = int(time.time())
        self.metrics = Metrics(self.name, generator.load)
        self.draining = False
        self.running = 0
        # log-probabilities of prompts in all requests that are being answered
        self._scores = 0

    @property
    def tokenizer(self) -> Tokenizer:
        return self.generator.tokenizer

    @property
    def context_length(self) -> int:
        return self.generator.context_length

    @property
    def can_infill(self) -> bool:
        return self.tokenizer.infilling is not None

    @property
    def can_chat(self) -> bool:
        return self.tokenizer.chat_format is not None

    def is_called(self, name: str | None) -> bool:
        """Whether a request's ``model`` means this one; Ollama's clients add a tag."""
        known = {self.name, *self.settings.names}
        return not name or name in known or name.removesuffix(":latest") in known

    def check_model(self, name: str | None) -> None:
        """Refuse another model's name.

        Raises:
            ApiError: with OpenAI's status and code.
        """
        if not self.is_called(name):
            raise ApiError(
                404,
                f"the model {name!r} does not exist; this server has {self.name!r}",
                "model",
                "model_not_found",
                kind="invalid_request_error",
            )

    async def answer(self, requests: Sequence[Request]) -> Answer:
        """Start requests; returns once the first delta is there, so that what is refused gets a status of its own.

        Raises:
            ApiError: too many are asked for, there is no room, or a request can't be answered.
        """
        wanted = sum(request.samples for request in requests)
        if wanted > self.limits.samples:
            raise ApiError(
                400, f"{wanted:,} completions are asked for; at most {self.limits.samples} are made", "n"
            )
        if self.draining:
            raise ApiError(503, "the server is shutting down")
        if self.running >= self.limits.clients:
            raise ApiError(429, f"{self.running} requests are being answered; try again")
        self._hold_scores(requests)
        answer = Answer(self, requests)
        close_at_end(answer.aclose)
        try:
            await answer.start()
        except BaseException:
            await answer.aclose()
            raise
        return answer

    def _hold_scores(self, requests: Sequence[Request]) -> None:
        """Take memory for the log-probabilities of prompts' tokens, until the answer is sent.

        Raises:
            ApiError: there is not enough.
        """
        wanted = sum(
            len(request.ids) * (1 + request.sampling.prompt_logprobs)
            for request in requests
            if request.sampling.prompt_logprobs is not None
        )
        most = self.limits.prompt_logprobs
        if wanted > most:
            raise ApiError(
                400,
                f"{wanted:,} log-probabilities of the prompts' tokens are asked for; at most {most:,} are given. "
                "Send fewer prompts at a time, or ask for fewer of the likeliest tokens",
                "logprobs",
            )
        if self._scores + wanted > most:
            raise ApiError(
                503, "log-probabilities that others asked for fill the memory for them; try again", "logprobs"
            )
        if not wanted:
            return
        self._scores += wanted

        async def give_back() -> None:
            self._scores -= wanted

        close_at_end(give_back)


class Answer:
    """The samples of one or several requests, which are read as they come and closed in any case.

    Iterating gives ``(sample, delta)``; the sample already holds the delta. It is a context manager too::

        async with await service.answer(requests) as answer:
            async for sample, delta in answer: ...
    """

    def __init__(self, service: Service, requests: Sequence[Request]) -> None:
        self._service = service
        self._requests = requests
        self.samples = [
            Sample(prompt, number)
            for prompt, request in enumerate(requests)
            for number in range(request.samples)
        ]
        self._offsets = [sum(request.samples for request in requests[:n]) for n in range(len(requests))]
        self._started = time.perf_counter()
        self._deadline = asyncio.get_running_loop().time() + service.limits.request_seconds
        self._first: tuple[int, Delta] | None = None
        self._ended: set[int] = set()
        self._deltas: AsyncGenerator[tuple[int, Delta], None] = merged(
            [service.generator.stream(request) for request in requests]
        )
        self._closed = False
        service.running += 1

    async def start(self) -> None:
        """Wait for the first delta."""
        self._first = await self._next()
        seconds = time.perf_counter() - self._started
        self._service.metrics.first_token.observe(seconds)
        note(first_token_seconds=round(seconds, 4))

    async def __aenter__(self) -> Answer:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Cancel what still runs."""
        if self._closed:
            return
        self._closed = True
        self._service.running -= 1
        self._note_end()
        await self._deltas.aclose()

    async def __aiter__(self) -> AsyncIterator[tuple[Sample, Delta]]:
        item = self._first
        while item is not None:
            prompt, delta = item
            sample = self.samples[self._offsets[prompt] + delta.sample]
            sample.add(delta)
            if delta.finish_reason is not None:
                self._end(sample)
            yield sample, delta
            item = await self._next()

    async def collect(self) -> list[Sample]:
        """All samples, once they are finished; closes the answer."""
        async with self:
            async for _ in self:
                pass
        return self.samples

    async def _next(self) -> tuple[int, Delta] | None:
        try:
            async with asyncio.timeout_at(self._deadline):
                return await anext(self._deltas, None)
        except TimeoutError:
            seconds = self._service.limits.request_seconds
            raise ApiError(504, f"there was no answer within {seconds:g} seconds") from None
        except QueueFull:
            if self._service.draining:
                raise ApiError(503, "the server is shutting down") from None
            raise ApiError(429, "too many requests wait; try again") from None
        except UserError as error:
            raise ApiError(400, str(error), error.key) from None
        except Exception:
            logger.exception("a generation failed")
            raise ApiError(500, "the generation failed; the server's log has the reason") from None

    def _end(self, sample: Sample) -> None:
        usage, seconds = sample.usage, time.perf_counter() - self._started
        self._ended.add(id(sample))
        self._service.metrics.whole.observe(seconds)
        if usage.completion_tokens > 1:
            self._service.metrics.between_tokens.observe(usage.decode_seconds / (usage.completion_tokens - 1))

    def _note_end(self) -> None:
        used = total(self.samples)
        note(
            prompts=len(self._requests),
            samples=len(self.samples),
            prompt_tokens=used.prompt_tokens or sum(len(request.ids) for request in self._requests),
            cached_tokens=used.cached_tokens,
            completion_tokens=sum(sample.tokens for sample in self.samples),
            finished=[sample.finish_reason if id(sample) in self._ended else None for sample in self.samples],
        )
        if self._service.settings.log_prompts:
            tokenizer = self._service.tokenizer
            note(
                prompt_texts=[shown_prompt(tokenizer, request) for request in self._requests],
                completion_texts=[sample.text for sample in self.samples],
            )


def shown_prompt(tokenizer: Tokenizer, request: Request) -> str:
    """A prompt as text, without its special tokens."""
    return unhealed_text(tokenizer, request.ids, request.required)
