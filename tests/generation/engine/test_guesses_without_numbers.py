"""A wrong guess for which the model gives no numbers is no part of a text, and does not spoil it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from engine_models import CODE, NEVER, tiny_model

from codecascade.generation.engine import drafts
from codecascade.generation.engine.engine import Engine
from codecascade.generation.engine.output import Output
from codecascade.generation.requests import Completion, Request, SamplingParams
from codecascade.model.llama import Llama
from codecascade.tokens.tokenizer import Tokenizer


class Always:
    """Stands in for the measured gain: drafts in every pass."""

    pays = True

    def without(self, rows: int, seconds: float) -> None: ...

    def with_drafts(self, tokens: int, seconds: float) -> None: ...


def run(engine: Engine) -> list[Output]:
    outputs = []
    while engine.has_work:
        outputs += engine.step()
    return outputs


def finished(engine: Engine) -> dict[int, Completion]:
    outputs = run(engine)
    assert [output.error for output in outputs if output.error is not None] == []
    return {output.request: output.completion for output in outputs if output.completion is not None}


def requests_of(tokenizer: Tokenizer, count: int) -> list[Request]:
    ids = tokenizer.encode(CODE)
    return [
        Request(tuple(ids[first : first + 9]), SamplingParams(20), stop_ids=NEVER) for first in range(count)
    ]


def unused_token(known: Sequence[tuple[int, ...]], tokenizer: Tokenizer) -> int:
    return next(token for token in range(tokenizer.vocab_size) if not any(token in text for text in known))


def guess_with(token: int, known: Sequence[tuple[int, ...]], right: int) -> Any:
    """A guesser that is right ``right`` times and says ``token`` then, and once more."""

    def guess(_: object, ids: Sequence[int], most: int) -> list[int]:
        for text in known:
            if text[: len(ids)] == tuple(ids):
                return [*text[len(ids) : len(ids) + right], token, token, 12][:most]
        return []

    return guess


@pytest.mark.parametrize(("dtype", "right"), [(torch.float32, 2), (torch.bfloat16, 0)])
def test_a_guess_without_numbers_spoils_no_text(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, right: int
) -> None:
    model = tiny_model(tokenizer).to(dtype)
    requests = requests_of(tokenizer, 3)
    engine = Engine(model, tokenizer)
    for request in requests:
        engine.add_request(request)
    expected = finished(engine)
    known = [(*request.ids, *expected[index].ids) for index, request in enumerate(requests)]
    broken = unused_token(known, tokenizer)
    model.model.embed_tokens.weight.data[broken] = torch.nan
    monkeypatch.setattr(drafts, "_Gain", Always)
    monkeypatch.setattr(drafts.PromptLookup, "guess", guess_with(broken, known, right))
    engine = Engine(model, tokenizer, speculate=True)
    for request in requests:
        engine.add_request(request)
    found = finished(engine)
    assert engine.load().drafted_tokens > 0
    assert {number: text.ids for number, text in found.items()} == {
        number: text.ids for number, text in expected.items()
    }
    assert all(bool(torch.isfinite(memory).all()) for memory in engine._runner.cache.memory)


def test_a_model_without_numbers_still_ends_its_texts(
    model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a guess, too, where what stands before the guess is the reason."""
    monkeypatch.setattr(drafts, "_Gain", Always)
    monkeypatch.setattr(drafts.PromptLookup, "guess", lambda *_: [12, 13])
    engine = Engine(model, tokenizer, speculate=True)
    engine.add_request(requests_of(tokenizer, 1)[0])
    engine.step()
    projection = model.model.layers[0].self_attn.v_proj
    handle = projection.register_forward_hook(lambda _, __, out: torch.full_like(out, torch.nan))
    try:
        outputs = run(engine)
    finally:
        handle.remove()
    assert [output.error is None for output in outputs] == [False]
    assert engine.load().cache_used == 0
