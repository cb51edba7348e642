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
        # The last one: the prompt begins with an example.
        topics = re.findall(r"(?:this topic|questions about): .*", prompt)
        key = topics[-1] if topics else prompt
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
            for number in request.numbers:
                yield TextCompletion(index, number, self.write(text), self.finish_reason, tokens=1)


def teach(prompt: str) -> str:
    """What a good teacher writes: questions, tests and solutions on adding numbers, each question another number."""
    last = prompt.rstrip().rpartition("Problem:")[2]
    if "[TESTS]" in prompt or "[PYTHON]" in prompt:
        found = re.search(r"adds (\d+)", last)
        assert found is not None, prompt
        name, number = f"add_{found[1]}", int(found[1])
        if "[PYTHON]" in prompt:
            return f"def {name}(value):\n    return value + {number}\n[/PYTHON]"
        lines = [f"assert {name}({value}) == {value + number}" for value in (0, 1, 7, -3, 100)]
        return "\n".join(lines) + "\n[/TESTS]"
    key = sum(ord(letter) * place for place, letter in enumerate(prompt, 1)) % 10_007
    return "\n".join(
        f"{place}. Write a function for {NOUNS[place]} number {key} that adds {10 * key + place} to a value."
        for place in range(1, 5)
    )
