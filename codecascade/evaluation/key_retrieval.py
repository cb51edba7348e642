"""Key retrieval (paper, Table 18): does the model still use what stands far back in its context?

The prompt is Python from the corpus with one function more, ``my_function``, which returns a two-digit number; it
ends in an assertion on that number, which the model completes.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

from codecascade.corpus.functions import functions_of, parse
from codecascade.corpus.table import Corpus
from codecascade.errors import UserError
from codecascade.evaluation.metrics import rate
from codecascade.evaluation.result import Bench, BenchmarkResult, Example
from codecascade.generation.requests import Sampling, completion_request
from codecascade.tokens.tokenizer import Tokenizer

_ANSWER_TOKENS = 8
_LONGEST_BLOCK = 1500  # characters; short blocks come close to every position and length
_QUESTION = "\nassert my_function() =="


@dataclass(frozen=True)
class KeyProblem:
    """A prompt of at most ``length`` tokens, the answer's included, with the key at ``position`` of it."""

    task_id: str
    length: int
    position: float
    prompt: str
    value: int

    @property
    def cell(self) -> str:
        return f"{self.length}@{self.position:g}"


def run(bench: Bench) -> BenchmarkResult:
    """``accuracy`` over all prompts, and that of each cell ``<length>@<position>``."""
    problems = list(key_problems(bench))
    sampling = Sampling(max_new_tokens=_ANSWER_TOKENS)
    requests = [
        completion_request(bench.generator.tokenizer, problem.prompt, sampling, stop=("\n",))
        for problem in problems
    ]
    answers = {completion.request: completion for completion in bench.generate(requests)}
    right = [_first_number(answers[place].text) == problem.value for place, problem in enumerate(problems)]
    samples: list[dict[str, Any]] = [
        {
            "task_id": problem.task_id,
            "completion": answers[place].text,
            "value": problem.value,
            "prompt_tokens": len(requests[place].ids),
            "finish_reason": answers[place].finish_reason,
            "passed": right[place],
        }
        for place, problem in enumerate(problems)
    ]
    cells: dict[str, list[bool]] = {}
    for problem, found in zip(problems, right, strict=True):
        cells.setdefault(problem.cell, []).append(found)
    metrics = {"accuracy": rate(right)} | {cell: rate(found) for cell, found in cells.items()}
    examples = [
        Example(
            problem.task_id, problem.prompt[-400:], row["completion"], row["passed"], "", str(problem.value)
        )
        for problem, row in zip(problems, samples, strict=True)
    ]
    too_long = {
        p.length for p, row in zip(problems, samples, strict=True) if row["finish_reason"] == "context"
    }
    notes = [
        f"Prompts of {length:,} tokens exceed the model's context of {bench.generator.context_length:,} tokens; "
        "they count as not found."
        for length in sorted(too_long)
    ]
    return BenchmarkResult("key_retrieval", metrics, examples, samples, notes)


def key_problems(bench: Bench) -> Iterator[KeyProblem]:
    """``key_retrieval_examples`` prompts per length and position; the filler is the same at each position."""
    settings, tokenizer = bench.settings, bench.generator.tokenizer
    blocks = _blocks(bench.needs_corpus("key_retrieval"), tokenizer, max(settings.key_retrieval_lengths))
    for length, example in product(settings.key_retrieval_lengths, range(settings.key_retrieval_examples)):
        for position in settings.key_retrieval_positions:
            rng = random.Random(f"{settings.seed},{length},{example}")
            value = rng.randint(10, 99)
            key = f'def my_function() -> int:\n    """Return the key."""\n    return {value}\n'
            prompt = _prompt(tokenizer, blocks, key, length - _ANSWER_TOKENS, position, rng)
            yield KeyProblem(f"{length}@{position:g}/{example}", length, position, prompt, value)


def _blocks(corpus: Corpus, tokenizer: Tokenizer, longest: int) -> list[tuple[str, int]]:
    """Functions of held-out Python documents with their tokens, several times what the longest prompt holds."""
    texts: list[str] = []
    table = corpus.documents("heldout", "python")
    for place in range(len(table)):
        for function in functions_of(table[place].text):
            source = function.standalone.rstrip() + "\n"
            if len(source) <= _LONGEST_BLOCK and "my_function" not in source and parse(source):
                texts.append(source)
        if sum(map(len, texts)) > 32 * longest:
            break
    if not texts:
        raise UserError(
            "the corpus has no held-out Python functions to fill prompts with", key="key_retrieval"
        )
    return [(text, len(ids)) for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True)]


def _prompt(
    tokenizer: Tokenizer,
    blocks: list[tuple[str, int]],
    key: str,
    budget: int,
    position: float,
    rng: random.Random,
) -> str:
    """Blocks in random order, again and again if they are few, up to ``budget`` tokens with the key among them.

    The key stands between two blocks, as near to its ``position`` as they allow.
    """
    room = budget - len(tokenizer.encode(f"{key}\n{_QUESTION}", bos=True))
    filler: list[str] = []
    starts = [0]  # of each block, in tokens, and of what follows the last
    for text, size in _endless(blocks, rng):
        if starts[-1] + size + 1 > room:
            break
        filler.append(text)
        starts.append(starts[-1] + size + 1)
    place = min(range(len(starts)), key=lambda place: abs(starts[place] - position * budget))
    while True:  # tokens merge or split between blocks: their sum is an estimate
        prompt = "\n".join([*filler[:place], key, *filler[place:]]) + _QUESTION
        if not filler or len(tokenizer.encode(prompt, bos=True)) <= budget:
            return prompt
        filler.pop()


def _endless(blocks: list[tuple[str, int]], rng: random.Random) -> Iterator[tuple[str, int]]:
    while True:
        yield from rng.sample(blocks, len(blocks))


def _first_number(text: str) -> int | None:
    match = re.match(r"\s*(\d+)", text)
    return int(match[1]) if match else None
