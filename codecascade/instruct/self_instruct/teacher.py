"""A model that is asked for data, and whose every answer is in the journal before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from codecascade.generation.backend import Backend, ChatPrompt, Prompt, TextPrompt, TextRequest
from codecascade.generation.requests import FinishReason, SamplingParams
from codecascade.ground.files.keyed_journal import KeyedJournal, digest_of
from codecascade.ground.seeds import draw

_SEED_BYTES = 4
_AT_ONCE = 512
"""Prompts that are handed to the backend at a time, so that a run of any length fits into memory."""


@dataclass(frozen=True)
class Ask:
    """A prompt of which the samples ``numbers`` are wanted; they share its prefill.

    Attributes:
        key: names the piece of work, once in a run: ``questions/12``, ``tests/<question>/0``,
            ``solutions/<question>``. The sample's number is added where the answer is kept.
        sampling: its seed is made by :func:`sampling_seed`, so that no draw depends on what else is asked.
    """

    key: str
    prompt: Prompt
    sampling: SamplingParams
    numbers: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Answer:
    """One sample of an :class:`Ask`; ``finish_reason`` is ``context`` if the prompt did not fit.

    ``known`` tells that it was in the journal before.
    """

    key: str
    number: int
    text: str
    finish_reason: FinishReason = "stop"
    tokens: int = 0
    known: bool = False


@dataclass
class Cost:
    """What a teacher wrote in the whole run, stopped attempts included."""

    prompts: int = 0
    answers: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass
class Teacher:
    """Asks a backend, and writes each answer to the journal before it is handed on.

    What was asked before, of the same model with the same prompt, is read from the journal and not asked again.

    Args:
        backend: a model in memory, or behind an endpoint.
        chat: ask in the model's chat format; else let it continue a text.
        longest: characters of an answer that are kept at most.
        answered: called for each answer, when it is counted in ``cost``.

    Attributes:
        known: how many of the answers were in the journal before.
    """

    backend: Backend
    journal: KeyedJournal
    chat: bool
    longest: int = 100_000
    cost: Cost = field(default_factory=Cost)
    answered: Callable[[], None] = lambda: None
    known: int = field(default=0, init=False)

    @property
    def name(self) -> str:
        return self.backend.name

    def ask(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        """Every answer, in the order of ``asks`` and of their numbers where it is known, then as they come.

        Raises:
            RunFailed: the backend does not answer any more. What was answered is in the journal.
        """
        for start in range(0, len(asks), _AT_ONCE):
            yield from self._ask(asks[start : start + _AT_ONCE])

    def ask_in_order(self, asks: Sequence[Ask]) -> list[list[Answer]]:
        """The answers to each of ``asks``, by their numbers."""
        place = {ask.key: index for index, ask in enumerate(asks)}
        found: list[list[Answer]] = [[] for _ in asks]
        for answer in self.ask(asks):
            found[place[answer.key]].append(answer)
        return [sorted(answers, key=lambda answer: answer.number) for answers in found]

    def _ask(self, asks: Sequence[Ask]) -> Iterator[Answer]:
        digests = [self._digest(ask) for ask in asks]
        requests: list[TextRequest] = []
        asked: list[int] = []
        for index, (ask, digest) in enumerate(zip(asks, digests, strict=True)):
            missing = []
            for number in ask.numbers:
                known = self.journal.find(f"{ask.key}/{number}", digest)
                if known is None:
                    missing.append(number)
                else:
                    yield self._handed_on(ask.key, number, known, known=True)
            if missing:
                asked.append(index)
                requests.append(TextRequest(ask.prompt, ask.sampling, tuple(missing)))
        if not requests:
            return
        for made in self.backend.complete(requests):
            index = asked[made.request]
            value: dict[str, Any] = {
                "text": made.text[: self.longest],
                "finish_reason": made.finish_reason,
                "tokens": made.tokens,
            }
            ask = asks[index]
            # The samples of an ask share its prefill, so that its prompt is counted once.
            if made.sample == requests[made.request].numbers[0]:
                value["prompt_tokens"] = self.backend.count_tokens(_text_of(ask.prompt))
            self.journal.keep(f"{ask.key}/{made.sample}", digests[index], value)
            yield self._handed_on(ask.key, made.sample, value)

    def _digest(self, ask: Ask) -> str:
        return digest_of(self.name, type(ask.prompt).__name__, _given(ask.prompt), _given(ask.sampling))

    def _handed_on(self, key: str, number: int, value: Mapping[str, Any], *, known: bool = False) -> Answer:
        self.cost.answers += 1
        self.known += known
        self.cost.answer_tokens += value["tokens"]
        self.cost.prompts += "prompt_tokens" in value
        self.cost.prompt_tokens += value.get("prompt_tokens", 0)
        self.answered()
        return Answer(key, number, value["text"], value["finish_reason"], value["tokens"], known)


def _given(value: Prompt | SamplingParams) -> dict[str, Any]:
    """The fields that are not at their defaults, so that a field that a later version adds changes no digest."""
    found: dict[str, Any] = {}
    for each in fields(value):
        content = getattr(value, each.name)
        if each.name == "messages":
            found[each.name] = [(message.role, message.content) for message in content]
        elif content != each.default:
            found[each.name] = content
    return found


def sampling_seed(*key: object) -> int:
    """The seed of one ask: the run's seed, the step, the question's id and an index, in this order."""
    return draw(*key, size=_SEED_BYTES, separator="\0")


def _text_of(prompt: Prompt) -> str:
    """The text of a prompt, to count its tokens."""
    if isinstance(prompt, ChatPrompt):
        return "\n".join([*(message.content for message in prompt.messages), prompt.prefill])
    return prompt.prompt if isinstance(prompt, TextPrompt) else prompt.prefix + prompt.suffix
