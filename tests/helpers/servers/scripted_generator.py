"""A StreamingGenerator whose text, pauses and refusals a test chooses, and which shows what was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace

from codecascade.generation.engine.detokenizer import TextBuilder
from codecascade.generation.logprob_table import TokenLogprobs
from codecascade.generation.requests import Request
from codecascade.generation.streaming import Delta, Load, Usage
from codecascade.ground.errors import UserError
from codecascade.tokens.tokenizer import Tokenizer


@dataclass
class ScriptedGenerator:
    """Every sample of a request writes ``text``, a token a pass.

    Attributes:
        hold: where requests stand still until they are cancelled or ``release`` is set: ``queued``, ``prefill``,
            ``decode`` (behind the first token) or nowhere.
        raises: raised by each request, at once, or behind so many tokens.
        cancelled: where cancelled requests were.
    """

    tokenizer: Tokenizer
    text: str | Callable[[Request, int], str] = "total + 1\n"
    name: str = "tiny"
    context_length: int = 128
    hold: str = ""
    raises: BaseException | None = None
    raises_after: int = 0
    requests: list[Request] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    running: int = 0
    tokens: int = 0
    closed: bool = False

    def __post_init__(self) -> None:
        self.release = asyncio.Event()

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        self.requests.append(request)
        self.running += 1
        state = "queued"
        finished = False
        try:
            if self.raises is not None and not self.raises_after:
                raise self.raises
            if len(request.ids) >= self.context_length:
                raise UserError("the prompt fills the context")
            await self._stand("queued")
            state = "prefill"
            await self._stand("prefill")
            state = "decode"
            scores = self._scores(request)
            for sample in range(request.samples):
                async for delta in self._sample(request, sample):
                    yield replace(delta, prompt_logprobs=scores)
                    scores = ()
            finished = True
        except Exception:
            finished = True
            raise
        finally:
            self.running -= 1
            if not finished:
                self.cancelled.append(state)

    async def _stand(self, state: str) -> None:
        if self.hold == state:
            await self.release.wait()
        else:
            await asyncio.sleep(0)

    async def _sample(self, request: Request, sample: int) -> AsyncIterator[Delta]:
        text = self.text if isinstance(self.text, str) else self.text(request, sample)
        builder = TextBuilder(
            self.tokenizer,
            required=request.required,
            stop=request.stop,
            continuation=request.continuation or request.grammar is not None,
        )
        room = min(request.sampling.max_new_tokens, self.context_length - len(request.ids))
        written = request.required + text.encode()
        ids = self.tokenizer.encode_continuation(written.decode())[:room]
        used = 0
        reason, stopped_by = "length", None
        for token in ids:
            used += 1
            self.tokens += 1
            wants = request.sampling.logprobs
            logprob = -0.25 * (sample + 1)
            top = tuple((token, logprob) for _ in range(min(wants or 0, 1)))
            logprobs = () if wants is None else (TokenLogprobs(token, logprob, top),)
            piece = builder.push(token)
            if builder.stopped_by is not None:
                reason, stopped_by = "stop", builder.stopped_by
                yield Delta(
                    sample,
                    piece,
                    (token,),
                    logprobs,
                    "stop",
                    stopped_by,
                    self._usage(request, used),
                    tokens=1,
                )
                return
            yield Delta(sample, piece, (token,), logprobs, tokens=1)
            if self.raises is not None and used >= self.raises_after > 0:
                raise self.raises
            await self._stand("decode")
        if len(ids) < room or not request.sampling.max_new_tokens:
            reason = "stop" if request.sampling.max_new_tokens else "length"
            stopped_by = self.tokenizer.eos_id if reason == "stop" else None
        yield Delta(sample, builder.finish(), (), (), reason, stopped_by, self._usage(request, used))

    @staticmethod
    def _scores(request: Request) -> tuple[TokenLogprobs, ...]:
        """Each token of the prompt is half as likely as the one before."""
        wants = request.sampling.prompt_logprobs
        if wants is None:
            return ()
        return tuple(
            TokenLogprobs(token, -0.5 * place, ((token, -0.5 * place),) if wants else ())
            for place, token in enumerate(request.ids)
            if place
        )

    @staticmethod
    def _usage(request: Request, used: int) -> Usage:
        return Usage(len(request.ids), 2, used, 0.001, 0.01, 0.02)

    def load(self) -> Load:
        return Load(running=self.running, completion_tokens=self.tokens, decode_steps=self.tokens)

    async def close(self) -> None:
        self.closed = True
