"""Passes over few tokens in compiled code give what PyTorch gives, which remains where they can't be compiled."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from engine_models import NEVER, by_request, prompts, tiny_model
from model_variants import VARIANTS

from codecascade.generation.engine.compiled.use import (
    MOST_TOKENS,
    can_compile,
    decoder_for,
    keeps_rows,
)
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.engine.weights import held
from codecascade.generation.engine.weights.held import hold_weights
from codecascade.generation.engine.weights.memory import weight_bytes
from codecascade.generation.engine.weights.packed import can_pack, pack_weights
from codecascade.generation.requests import Request, SamplingParams
from codecascade.model.attention import Documents
from codecascade.model.cache import KeyValueCache
from codecascade.model.config import LlamaConfig
from codecascade.model.llama import Llama
from codecascade.model.presets import build, initialise
from codecascade.tokens.tokenizer import Tokenizer

CPU = torch.device("cpu")
needs_numba = pytest.mark.skipif(
    importlib.util.find_spec("numba") is None or not can_pack(CPU, torch.float32),
    reason="numba is not installed, or PyTorch has no kernels for packed weights",
)
# Row lengths in the cache, and new tokens of each: one row, many, a draft, rows of unlike lengths.
PASSES = [((200,), (1,)), ((40, 7, 150), (1, 1, 1)), ((33,), (6,)), ((15, 16, 0, 70), (1, 5, 2, 1))]


def varied(changes: dict[str, Any], dtype: torch.dtype) -> Llama:
    config = replace(tiny_config(), **changes)
    torch.manual_seed(0)
    model = Llama(config).to(dtype).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, mean=float(parameter.ndim == 1), std=0.2)
    return model


def tiny_config() -> LlamaConfig:
    return LlamaConfig(
        model_type="llama",
        vocab_size=132,
        hidden_size=36,
        intermediate_size=100,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=8,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        rope_scaling=None,
        max_position_embeddings=256,
        tie_word_embeddings=False,
        attention_bias=False,
        attention_output_bias=False,
        mlp_bias=False,
    )


def filled(model: Llama, lengths: tuple[int, ...]) -> KeyValueCache:
    """A cache with rows of other blocks than neighbours."""
    cache = KeyValueCache.allocate_blocks(model.config, 100, model.head_weight.dtype, CPU)
    blocks = iter(torch.randperm(100, generator=torch.Generator().manual_seed(0)).tolist())
    tables = [[next(blocks) for _ in range(length // 16 + 2)] for length in lengths]
    rows = cache.rows(tables, [0] * len(lengths))
    tokens = torch.arange(sum(lengths))[None] * 31 % model.config.vocab_size
    model(tokens, cache=rows, mask=Documents(lengths))
    return rows


@needs_numba
@pytest.mark.parametrize("name", ["grouped", "qwen3", "granite_biases", "smollm3_other_layers", "bf16"])
@torch.inference_mode()
def test_a_pass_is_that_of_pytorch(name: str) -> None:
    dtype = torch.bfloat16 if name == "bf16" else torch.float32
    if not can_pack(CPU, dtype):
        pytest.skip("this machine has no kernels for bf16")
    model = varied(VARIANTS.get(name, {}), dtype)
    tolerance = 2e-4 if dtype == torch.float32 else 0.05
    pack_weights(model, keep_rows=True)
    for lengths, new in PASSES:
        mine, theirs = filled(model, lengths), filled(model, lengths)
        decoder = decoder_for(model, mine)
        assert decoder is not None
        tokens = [5 + 3 * index for index in range(sum(new))]
        expected = model(torch.tensor([tokens]), cache=theirs, mask=Documents(new))[0]
        found = decoder.hidden(tokens, mine, new)
        assert found.dtype == dtype and mine.lengths == theirs.lengths
        scale = float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=tolerance * scale)
        for kept, meant in zip(mine.memory, theirs.memory, strict=True):
            torch.testing.assert_close(kept, meant, rtol=0, atol=tolerance * float(meant.abs().max()))
        logits = model.logits(found).float()
        torch.testing.assert_close(
            decoder.logits(found), logits, rtol=0, atol=tolerance * float(logits.abs().max())
        )


@needs_numba
@torch.inference_mode()
def test_the_number_of_threads_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = varied({}, torch.float32)
    pack_weights(model, keep_rows=True)
    found = []
    for threads in (1, 2, 7):
        # more than there are processors, so that some come late or never
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        cache = filled(model, (30, 30))
        decoder = decoder_for(model, cache)
        assert decoder is not None
        hidden = [decoder.hidden([5, 6], cache, (1, 1)) for _ in range(10)]
        found.append(torch.stack(hidden))
    # the keys are cut into other pieces, so sums are made in another order
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found[0], found[2], rtol=1e-5, atol=1e-5)


@needs_numba
@torch.inference_mode()
def test_what_is_no_number_stays_none_and_stays_in_its_row() -> None:
    model = varied({}, torch.float32)
    pack_weights(model, keep_rows=True)
    cache = filled(model, (20, 20))
    cache.memory[0][1, :, cache.tables[1][0], 3] = torch.nan
    decoder = decoder_for(model, cache)
    assert decoder is not None
    hidden = decoder.hidden([5, 6], cache, (1, 1))
    assert hidden[0].isfinite().all() and not hidden[1].isfinite().any()


@needs_numba
def test_exponentials_and_bf16_are_exact_to_the_last_places() -> None:
    from codecascade.generation.engine.compiled.intrinsics import compiled, narrow
    from codecascade.generation.engine.compiled.kernels import exponential

    @compiled
    def fill(numbers: Any, powers: Any, narrowed: Any) -> None:
        for index in range(len(numbers)):
            powers[index] = exponential(numbers[index])
            narrowed[index] = narrow(numbers[index], narrowed[index])

    numbers = np.linspace(-87, 88, 100_003, dtype=np.float32)
    numbers[:4] = np.nan, np.inf, 0.0, -1e30
    powers, narrowed = np.empty_like(numbers), np.empty(len(numbers), np.uint16)
    fill(numbers, powers, narrowed)
    assert np.isnan(powers[0]) and powers[2] == 1 and powers[3] < 1e-37 < 1e38 < powers[1]
    exact = np.exp(numbers[4:].astype(np.float64))
    assert np.abs(powers[4:] / exact - 1).max() < 4e-7
    meant = torch.from_numpy(numbers).bfloat16()
    torch.testing.assert_close(
        torch.from_numpy(narrowed).view(torch.bfloat16), meant, rtol=0, atol=0, equal_nan=True
    )


@needs_numba
def test_texts_are_those_of_the_engine_without_it(tokenizer: Tokenizer) -> None:
    sampling = [SamplingParams(max_new_tokens=12), SamplingParams(12, 0.8, 0.95, seed=3)]
    requests = [
        Request(ids, sampling[index % 2], samples=1 + index % 2, stop_ids=NEVER)
        for index, ids in enumerate(prompts(tokenizer))
    ]
    expected = by_request(list(LocalGenerator(tiny_model(tokenizer), tokenizer).generate(requests)))
    model = tiny_model(tokenizer)
    weights = hold_weights(model, "fp32")
    assert weights.compiled and "compiled" in str(weights)
    # the head and the embedding are apart, so all weights of products are there twice
    assert (
        weights.copy_bytes
        == sum(parameter.nbytes for parameter in tiny_model(tokenizer).parameters() if parameter.ndim == 2)
        - model.model.embed_tokens.weight.nbytes
    )
    found = by_request(list(LocalGenerator(model, tokenizer, batch_tokens=100).generate(requests)))
    assert {key: one.ids for key, one in found.items()} == {key: one.ids for key, one in expected.items()}


def test_long_passes_are_left_to_pytorch(tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    class Decoder:
        def __init__(self, model: Llama, cache: KeyValueCache) -> None:
            self._model = model

        def hidden(self, ids: list[int], cache: KeyValueCache, lengths: tuple[int, ...]) -> torch.Tensor:
            seen.append(len(ids))
            found: torch.Tensor = self._model(torch.tensor([ids]), cache=cache, mask=Documents(lengths))
            return found[0]

        def logits(self, hidden: torch.Tensor) -> torch.Tensor:
            return self._model.logits(hidden)

    monkeypatch.setattr("codecascade.generation.engine.model_runner.decoder_for", Decoder)
    generator = LocalGenerator(tiny_model(tokenizer), tokenizer)
    ids = prompts(tokenizer)[4]
    assert len(ids) > MOST_TOKENS
    list(generator.generate([Request(ids, SamplingParams(max_new_tokens=5), stop_ids=NEVER)]))
    assert seen == [1, 1, 1, 1]


def test_a_machine_that_can_not_compile_does_without(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise OSError("LLVM is broken here\nand so on")

    monkeypatch.setattr(held, "can_compile", lambda model: True)
    monkeypatch.setattr("codecascade.generation.engine.compiled.use.decoder_for", fails)
    model = tiny_model(tokenizer)
    with caplog.at_level(logging.WARNING):
        weights = hold_weights(model, "fp32")
    if not can_pack(CPU, torch.float32):
        pytest.skip("PyTorch has no kernels for packed weights")
    assert not weights.compiled and weights.copy_bytes == 0 and not keeps_rows(model)
    assert "LLVM is broken here" in caplog.text and "and so on" not in caplog.text


def test_without_memory_for_both_layouts_there_is_one(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(held, "can_compile", lambda model: True)
    monkeypatch.setattr(held, "free_memory", lambda: 1 << 10)
    model = tiny_model(tokenizer)
    weights = hold_weights(model, "fp32")
    assert not weights.compiled and not keeps_rows(model) and weight_bytes(model)[1] == 0


def test_sizes_that_the_kernels_do_not_take_are_left_to_pytorch(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    model = tiny_model(tokenizer)
    assert can_compile(model)
    assert not can_compile(model.to(torch.float64))
    odd = build(replace(model.config, intermediate_size=63), CPU)
    initialise(odd, seed=0)
    assert not can_compile(odd)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert not can_compile(tiny_model(tokenizer))
