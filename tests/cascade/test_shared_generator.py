"""Requests that are shared out over the ranks of a measuring; here the ranks are threads."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.distributed import HashStore  # type: ignore[attr-defined]

from codecascade.cascade.shared import generator as shared_module
from codecascade.cascade.shared.generator import ScoringGenerator, on_all_ranks
from codecascade.generation.requests import Completion, Request, SamplingParams
from codecascade.ground.errors import RunFailed, UserError
from codecascade.tokens.reference import ReferenceTokens
from codecascade.training.parallel import messages as messages_module
from codecascade.training.parallel.messages import Messages
from codecascade.training.parallel.ranks import World


class Echo:
    """Completes a prompt with its own ids, and notes what it was asked."""

    tokenizer: Any = "a tokenizer"
    context_length = 100

    def __init__(self, fails: Exception | None = None) -> None:
        self.asked: list[tuple[int, ...]] = []
        self.fails = fails

    def generate(self, requests: Sequence[Request]) -> Iterator[Completion]:
        for index, request in reversed(list(enumerate(requests))):
            self.asked.append(tuple(request.ids))
            for sample in range(request.samples):
                if self.fails is not None:
                    raise self.fails
                yield Completion(index, sample, f"{request.ids}", tuple(request.ids), "stop")

    def log_probabilities(self, sequences: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[float]]]:
        for index, sequence in enumerate(sequences):
            self.asked.append(tuple(sequence))
            yield index, [float(token) for token in sequence]

    def reference_scores(self, references: Sequence[ReferenceTokens]) -> Iterator[tuple[int, list[float]]]:
        for index, reference in enumerate(references):
            self.asked.append(reference.ids)
            yield index, [float(token) for token in (*reference.ids, *reference.any_last)]


@contextmanager
def ranks(
    generators: Sequence[Echo], monkeypatch: pytest.MonkeyPatch, pause: float = 1.0
) -> Iterator[ScoringGenerator]:
    """What the first of as many ranks as there are generators measures with; the others are threads that answer."""
    monkeypatch.setattr(shared_module, "_REPORT_SECONDS", pause)
    store = HashStore()

    def messages(rank: int) -> Messages:
        monkeypatch.setattr(messages_module, "_channels", itertools.count())
        return Messages(World(rank, len(generators), torch.device("cpu"), None), store)

    def help_first(own: Echo, messages: Messages) -> None:
        with on_all_ranks(own, messages) as nothing:
            assert nothing is None

    others = [
        threading.Thread(target=help_first, args=(one, messages(rank)))
        for rank, one in enumerate(generators)
        if rank
    ]
    first = messages(0)
    for thread in others:
        thread.start()
    try:
        with on_all_ranks(generators[0], first) as generator:
            assert generator is not None
            yield generator
    finally:
        for thread in others:
            thread.join(120)
    assert not [thread for thread in others if thread.is_alive()]


def requests(count: int) -> list[Request]:
    return [
        Request((number, number + 1), SamplingParams(), samples=1 + number % 2) for number in range(count)
    ]


def in_order(completions: Iterator[Completion]) -> list[Completion]:
    return sorted(completions, key=lambda one: (one.request, one.sample))


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("pause", [0.0, 1.0])
def test_every_request_is_completed_once(
    count: int, size: int, pause: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = requests(count)
    expected = in_order(Echo().generate(asked))
    generators = [Echo() for _ in range(size)]
    with ranks(generators, monkeypatch, pause) as generator:
        assert generator.tokenizer == "a tokenizer" and generator.context_length == 100
        # the second list is asked for only when the first was answered
        for _ in range(2):
            assert in_order(generator.generate(asked)) == expected
    shares = [len(one.asked) // 2 for one in generators]
    assert sum(shares) == count
    assert max(shares) - min(shares) <= 1


def test_scores_are_shared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    generators = [Echo(), Echo()]
    sequences = [[number] * (1 + number) for number in range(7)]
    with ranks(generators, monkeypatch) as generator:
        assert sorted(generator.log_probabilities(sequences)) == sorted(Echo().log_probabilities(sequences))
    assert [len(one.asked) for one in generators] == [4, 3]


def test_the_scores_of_references_are_shared_too(monkeypatch: pytest.MonkeyPatch) -> None:
    generators = [Echo(), Echo()]
    references = [ReferenceTokens((number, 3), 1, any_last=(3, number)) for number in range(7)]
    with ranks(generators, monkeypatch) as generator:
        assert sorted(generator.reference_scores(references)) == sorted(Echo().reference_scores(references))
    assert [len(one.asked) for one in generators] == [4, 3]


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (UserError("can't infill", file="model"), UserError, "model: can't infill"),
        (ValueError("an accident"), RunFailed, "another rank .* ValueError: an accident"),
    ],
)
def test_what_goes_wrong_on_another_rank_is_raised_on_the_first(
    error: Exception, expected: type[Exception], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with ranks([Echo(), Echo(fails=error)], monkeypatch) as generator, pytest.raises(expected, match=words):
        list(generator.generate(requests(4)))


def test_the_others_end_when_the_first_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(generator: ScoringGenerator) -> None:
        raise UserError("the disk is full")

    with (
        pytest.raises(UserError, match="the disk is full"),
        ranks([Echo(), Echo()], monkeypatch) as generator,
    ):
        fail(generator)


def test_letters_arrive_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HashStore()
    made: list[Messages] = []
    for rank in range(2):
        monkeypatch.setattr(messages_module, "_channels", itertools.count())
        made.append(Messages(World(rank, 2, torch.device("cpu"), None), store))
    left, right = made
    assert not right.waiting(0)
    for content in ("one", {"two": [2]}, None):
        left.send(1, content)
    left.send(1, 4)
    fetch: Callable[[], Any] = lambda: right.fetch(0)  # noqa: E731
    assert right.waiting(0) and [fetch() for _ in range(4)] == ["one", {"two": [2]}, None, 4]
    assert not right.waiting(0)
