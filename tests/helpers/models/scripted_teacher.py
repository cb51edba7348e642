"""A backend that writes what a function makes of each prompt, and remembers what it was asked."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence

from codecascade.generation.backend import ChatPrompt, TextCompletion, TextPrompt, TextRequest
from codecascade.generation.requests import FinishReason

Writer = Callable[[str], str]
NOUNS = ("apples", "rivers", "windows", "letters", "planets", "coins", "songs", "doors", "maps", "cups")


def question(number: int) -> str:
    """Another question for each number below 1,000, of which no two are alike."""
    words = [NOUNS[int(digit)] + str(place) for place, digit in enumerate(f"{number:03}")]
    return f"Write a function that counts {words[0]}, sorts {words[1]} and drops {words[2]} number {number}."


class Lists:
    """Writes lists of four questions, which depend on the topic of the prompt alone."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def __call__(self, prompt: str) -> str:
        topic = re.search(r"this topic: (.*)|questions about: (.*)\n*\Z", prompt)
        key = topic[0] if topic else prompt
        first = self.seen.setdefault(key, len(self.seen)) * 4
        return "\n".join(f"{place + 1}. {question(first + place)}" for place in range(4))


class OneEach:
    """Writes one new question for each prompt."""

    def __init__(self) -> None:
        self.numbers = itertools.count()

    def __call__(self, prompt: str) -> str:
        return f"1. {question(next(self.numbers))}"


class ScriptedBackend:
    """Answers each prompt with what ``write`` makes of its text."""

    name = "scripted"
    context_length = 4096
    infilling_formats = ()
    is_chat = True

    def __init__(self, write: Writer, finish_reason: FinishReason = "stop") -> None:
        self.write, self.finish_reason = write, finish_reason
        self.asked: list[str] = []
        self.batches: list[int] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def describe(self) -> dict[str, str]:
        return {}

    def complete(self, requests: Sequence[TextRequest]) -> Iterator[TextCompletion]:
        self.batches.append(len(requests))
        for index, request in reversed(list(enumerate(requests))):
            prompt = request.prompt
            if isinstance(prompt, ChatPrompt):
                text = "\n".join(message.content for message in prompt.messages)
            else:
                assert isinstance(prompt, TextPrompt)
                text = prompt.prompt
            self.asked.append(text)
            yield TextCompletion(index, 0, self.write(text), self.finish_reason, tokens=1)
