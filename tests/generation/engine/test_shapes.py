"""The matrix library keeps machine code for each shape of a product, so the shapes that a server meets are few."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from engine_models import NEVER, tiny_model
from torch.utils._python_dispatch import TorchDispatchMode

from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.scoring import log_probabilities
from codecascade.generation.engine.weights.packed import can_pack, pack_weights
from codecascade.generation.requests import Request, SamplingParams
from codecascade.model.cpu.attention import recurring
from codecascade.tokens.tokenizer import Tokenizer

PRODUCTS = ("mm", "bmm", "addmm", "baddbmm", "_linear_pointwise")


class Shapes(TorchDispatchMode):
    """The products that were asked for, each by the shapes and strides of its operands."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[tuple[object, ...]] = set()
        self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.split("::")[1]
        if name in PRODUCTS:
            operands = [value for value in args if isinstance(value, torch.Tensor) and not value.is_mkldnn]
            self.found.add((name, *((value.shape, value.stride()) for value in operands)))
            self.calls += 1
        return func(*args, **(kwargs or {}))


def work(engine: Engine, tokenizer: Tokenizer, seed: int, requests: int) -> None:
    """Prompts of all lengths, of one and of several samples, that come and go at all times."""
    draw = random.Random(seed)
    left = requests
    while left or engine.has_work:
        if left and draw.random() < 0.3:
            left -= 1
            ids = tuple(draw.randrange(10, tokenizer.vocab_size) for _ in range(draw.randint(1, 330)))
            sampling = SamplingParams(draw.randint(1, 24), temperature=1.0)
            engine.add_request(Request(ids, sampling, samples=draw.choice((1, 1, 1, 5)), stop_ids=NEVER))
        engine.step()


# The tokenizer changes no shape.
@pytest.mark.parametrize("tokenizer", ["bytes"], indirect=True)
def test_the_shapes_of_a_busy_engines_products_are_few(tokenizer: Tokenizer) -> None:
    if not can_pack(torch.device("cpu"), torch.bfloat16):
        pytest.skip("this machine multiplies bf16 in another way")
    model = tiny_model(tokenizer, context=512).bfloat16()
    pack_weights(model)
    engine = Engine(model, tokenizer, chunk_tokens=256, max_running=24)
    with Shapes() as shapes:
        work(engine, tokenizer, seed=0, requests=60)
        first = len(shapes.found)
        work(engine, tokenizer, seed=1, requests=60)
    assert shapes.calls > 20 * len(shapes.found)
    # other lengths at other times meet the same shapes
    assert len(shapes.found) < 1.35 * first


@pytest.mark.parametrize("tokenizer", ["bytes"], indirect=True)
def test_the_shapes_of_texts_that_are_scored_are_few(tokenizer: Tokenizer) -> None:
    model = tiny_model(tokenizer, context=512).bfloat16()
    # none begins as another, so that each is read as a whole
    texts = [[10 + length, *[5] * (length - 1)] for length in range(2, 300, 7)]
    with Shapes() as shapes:
        assert len(list(log_probabilities(model, texts, 320))) == len(texts)
    attention = [found for found in shapes.found if found[0] in ("bmm", "baddbmm")]
    # Two products; rows in powers of two from 16 to 128, and keys in steps of 64 up to 320.
    assert len(attention) <= 2 * 4 * 5


@pytest.mark.parametrize("steps", [1, 2, 4, 8])
def test_numbers_that_recur(steps: int) -> None:
    numbers = [recurring(count, steps) for count in range(1, 5_000)]
    for count, found in enumerate(numbers, 1):
        assert count <= found <= count * (1 + 1 / steps)
        assert recurring(found, steps) == found
    assert len({number for number in numbers if 1024 < number <= 2048}) == steps
