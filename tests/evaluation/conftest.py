"""Models that know the answers, and a corpus in memory."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from codecascade.corpus.documents import Document, document
from codecascade.evaluation.evaluate_settings import EvaluateSettings
from codecascade.evaluation.running.result import BenchmarkResult, SampleRow, StoredRows, samples_file
from codecascade.evaluation.running.runner import Inputs, evaluate
from codecascade.generation.local_backend import LocalBackend
from codecascade.generation.requests import Completion, Request
from codecascade.ground.files.json_lines import write_jsonl
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.program import Program
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

# Modules that several test files share.
sys.path.insert(0, str(Path(__file__).parent))

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
    """Held-out documents, of Python unless another language is named."""

    texts: list[str]
    language: str = "python"

    def documents(self, split: str, source: str) -> MemoryTable:
        assert split == "heldout" and source in ("code", "python")
        rows = [
            document(text, path=f"{n}.py", repository="r", language=self.language, license="own", kind="code")
            for n, text in enumerate(self.texts)
        ]
        return MemoryTable(rows)


class KnownPrograms:
    """Runs the tests' own programs in this process: quick, and the real sandbox has tests of its own."""

    confinement = "none"

    def __init__(self) -> None:
        self.programs: list[str] = []

    def run_many(self, programs: Iterable[Program]) -> Iterator[Outcome]:
        for each in programs:
            program = f"{each.source}\n{each.tests}"
            self.programs.append(program)
            try:
                exec(compile(program, "program.py", "exec"), {"__name__": "__main__"})
            except BaseException as error:
                yield Outcome("failed", f"{type(error).__name__}: {error}")
            else:
                yield Outcome("passed")


@dataclass
class Oracle:
    """A generator that completes each prompt, given as text, by a function; a text is ended by the end token."""

    tokenizer: Tokenizer
    answer: Callable[[str], str]
    context_length: int = 4096
    asked: int = 0

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for place, request in reversed(list(enumerate(requests))):
            self.asked += request.samples
            prompt = self._text(request)
            for sample in request.sample_numbers:
                if len(request.ids) >= self.context_length:
                    yield Completion(place, sample, "", (), "context")
                    continue
                text, by = self.answer(prompt), self.tokenizer.stop_ids[0]
                for stop in request.stop:
                    if stop in text:
                        text, by = text.split(stop)[0], stop
                yield Completion(place, sample, text, (), "stop", by)

    def _text(self, request: Request) -> str:
        """The whole prompt: what healing took off stands at the end of the prefix again."""
        infilling, end = self.tokenizer.infilling, len(request.ids)
        if infilling is not None and request.ids[-1] == infilling.middle:
            end = max(at for at, token in enumerate(request.ids) if token == infilling.suffix)
        before, behind = map(self.tokenizer.decode_continuation, (request.ids[:end], request.ids[end:]))
        return (before.encode() + request.required).decode() + behind


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
def measure(tmp_path: Path) -> Callable[..., tuple[BenchmarkResult, list[SampleRow]]]:
    """Measure by one benchmark: its result, and the rows of its samples file."""

    def run(
        name: str, generator: Any = None, settings: EvaluateSettings | None = None, **inputs: Any
    ) -> tuple[BenchmarkResult, list[SampleRow]]:
        settings = (settings or EvaluateSettings()).model_copy(update={"benchmarks": (name,)})
        folder = inputs.pop("folder", tmp_path / "evaluation")
        if generator is not None:
            inputs["backend"] = LocalBackend(generator, "model")
        result = evaluate(Inputs(**inputs), settings, folder=folder, again=True)[name]
        return result, list(StoredRows(samples_file(folder, name)))

    return run


@pytest.fixture
def ten_problems(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A file in HumanEval's format, and the solutions by prompt."""
    problems = [
        {
            "task_id": f"HumanEval/{number}",
            "prompt": f'def add_{number}(a: int) -> int:\n    """Add {number}."""\n',
            "entry_point": f"add_{number}",
            "canonical_solution": f"    return a + {number}\n",
            "test": f"def check(candidate):\n    assert candidate(1) == {number + 1}\n",
        }
        for number in range(10)
    ]
    write_jsonl(tmp_path / "HumanEval.jsonl", problems)
    return tmp_path / "HumanEval.jsonl", {
        problem["prompt"]: problem["canonical_solution"] for problem in problems
    }


@pytest.fixture
def modules() -> list[str]:
    return list(MODULES)
