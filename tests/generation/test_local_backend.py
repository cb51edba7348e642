"""The model in memory: in which order prompts are asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from codecascade.generation.backend import InfillingPrompt, Prompt, TextPrompt, TextRequest
from codecascade.generation.local_backend import LocalBackend
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.training import train_tokenizer

FILE = {name: f"{name} " * 90 for name in ("alpha", "beta")}


class Recorder:
    """A generator that keeps the order in which it is asked."""

    context_length = 4096

    def __init__(self) -> None:
        self.tokenizer = add_infilling_tokens(train_tokenizer(FILE.values(), 300, kind="bytes"))
        self.asked: list[str] = []

    def generate(self, requests: Sequence[Any]) -> Iterator[Any]:
        self.asked += [self.tokenizer.decode(request.ids) for request in requests]
        return iter(())


def order(*prompts: Prompt) -> list[int]:
    recorder, alone = Recorder(), Recorder()
    list(LocalBackend(recorder, "model").complete([TextRequest(prompt) for prompt in prompts]))
    for prompt in prompts:
        list(LocalBackend(alone, "model").complete([TextRequest(prompt)]))
    return [alone.asked.index(text) for text in recorder.asked]


def test_prompts_that_begin_alike_are_neighbours() -> None:
    long, short = FILE["alpha"], FILE["beta"]
    prompts = [TextPrompt(long[:400]), TextPrompt(short[:430]), TextPrompt(long), TextPrompt(short[:420])]
    assert order(*prompts) == [2, 0, 1, 3]
    assert order(TextPrompt("a"), TextPrompt("aaa"), TextPrompt("aa")) == [1, 2, 0]


def test_an_infilling_begins_with_what_its_layout_has_first() -> None:
    one, two = FILE["alpha"], FILE["beta"]
    gaps = [InfillingPrompt(one, two), InfillingPrompt(two, one), InfillingPrompt(one[:500], two * 2)]
    assert order(*gaps) == [2, 0, 1]
    assert order(*[InfillingPrompt(gap.prefix, gap.suffix, "spm") for gap in gaps]) == [2, 0, 1]
