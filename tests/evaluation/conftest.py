"""Models that know the answers, and a corpus in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import pytest

from codecascade.corpus.documents import Document, document
from codecascade.generation.requests import Completion, Request
from codecascade.sandbox.outcome import Outcome
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

MODULES = [
    f'''"""Module {number}."""

TWO_{number} = 2


def double_{number}(value: int) -> int:
    """Return twice the value.

    >>> double_{number}(3)
    6
    """
    result = value * TWO_{number}  # a constant of the module
    # a comment alone
    return result


class Box_{number}:
    def insert(self, item: str, times: int = {number}) -> list[str]:
        """Add an item to the box.

        >>> Box_{number}().insert("a")
        """
        self.items = getattr(self, "items", [])

        for _ in range(times):
            self.items.append(item)
        return self.items


def outdated_{number}(count: int) -> int:
    """Return the count and a little more, whatever the example says.

    >>> outdated_{number}(1)
    17
    """
    total = count + {number}
    return total
'''
    for number in range(6)
]


@dataclass
class MemoryTable(Sequence[Document]):
    rows: list[Document]
    fingerprint: str = "fingerprint"

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> Document:
        return self.rows[place]


@dataclass
class MemoryCorpus:
    """Held-out Python documents."""

    texts: list[str]

    def documents(self, split: str, source: str) -> MemoryTable:
        assert split == "heldout" and source in ("code", "python")
        rows = [
            document(text, path=f"{n}.py", repository="r", language="python", license="own", kind="code")
            for n, text in enumerate(self.texts)
        ]
        return MemoryTable(rows)


class KnownPrograms:
    """Runs the tests' own programs in this process: quick, and the real sandbox has tests of its own."""

    def __init__(self) -> None:
        self.programs: list[str] = []

    def run_many(self, programs: Iterable[str]) -> Iterator[Outcome]:
        for program in programs:
            self.programs.append(program)
            try:
                exec(compile(program, "program.py", "exec"), {"__name__": "__main__"})
            except BaseException as error:
                yield Outcome("failed", f"{type(error).__name__}: {error}")
            else:
                yield Outcome("passed")


@dataclass
class Oracle:
    """A generator that answers each prompt, given as text, by a function; a text is ended by the end token."""

    tokenizer: Tokenizer
    answer: Callable[[str], str]
    context_length: int = 4096
    asked: int = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for place, request in reversed(list(enumerate(requests))):
            self.asked += request.samples
            prompt = (self.tokenizer.decode_continuation(request.ids).encode() + request.required).decode()
            for sample in range(request.samples):
                if len(request.ids) >= self.context_length:
                    yield Completion(place, sample, "", (), "context")
                    continue
                text, by = self.answer(prompt), self.tokenizer.stop_ids[0]
                for stop in request.stop:
                    if stop in text:
                        text, by = text.split(stop)[0], stop
                yield Completion(place, sample, text, (), "stop", by)


@pytest.fixture(scope="session")
def plain_tokenizer() -> Tokenizer:
    return train_tokenizer(MODULES, 500, kind="bytes")


@pytest.fixture(scope="session")
def tokenizer(plain_tokenizer: Tokenizer) -> Tokenizer:
    return add_infilling_tokens(plain_tokenizer)


@pytest.fixture
def corpus() -> MemoryCorpus:
    return MemoryCorpus(list(MODULES))


@pytest.fixture
def sandbox() -> KnownPrograms:
    return KnownPrograms()


@pytest.fixture
def oracle() -> type[Oracle]:
    return Oracle


@pytest.fixture
def modules() -> list[str]:
    return list(MODULES)
