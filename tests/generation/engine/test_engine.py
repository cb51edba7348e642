"""The engine against transformers, and against itself in other batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from engine_models import CODE, NEVER, beginning, by_request, prompts, recite, tiny_model

from codecascade.generation.engine import engine, model_runner
from codecascade.generation.engine.generator import LocalGenerator, load_generator
from codecascade.generation.engine.memory import free_bytes
from codecascade.generation.engine.model_runner import default_cache_tokens, token_bytes
from codecascade.generation.engine.weights.packed import can_pack, pack_weights
from codecascade.generation.requests import (
    Generator,
    Request,
    SamplingParams,
    Scorer,
    completion_request,
)
from codecascade.model.cache import KeyValueCache
from codecascade.model.config import LlamaConfig
from codecascade.model.folder import save_folder
from codecascade.model.llama import Llama
from codecascade.model.presets import build, initialise
from codecascade.tokens.tokenizer import Tokenizer

CACHE_BYTES = model_runner._CACHE_BYTES
"""As it is outside of the tests, all of which have a smaller one."""


@pytest.fixture
def reference(model: Llama, tokenizer: Tokenizer, tmp_path: Path) -> transformers.PreTrainedModel:
    save_folder(tmp_path / "model", model, model.config, tokenizer)
    return transformers.LlamaForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)


@pytest.mark.parametrize("batch_tokens", [1, 100, 10_000])
@pytest.mark.parametrize("prefill_tokens", [7, 2048])
def test_greedy_equals_transformers(
    model: Llama,
    tokenizer: Tokenizer,
    reference: transformers.PreTrainedModel,
    batch_tokens: int,
    prefill_tokens: int,
) -> None:
    generator = LocalGenerator(model, tokenizer, batch_tokens=batch_tokens, prefill_tokens=prefill_tokens)
    requests = [Request(ids, SamplingParams(max_new_tokens=12), stop_ids=NEVER) for ids in prompts(tokenizer)]
    found = by_request(list(generator.generate(requests)))
    for index, request in enumerate(requests):
        expected = reference.generate(
            torch.tensor([request.ids]),
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            suppress_tokens=list(range(tokenizer.vocab_size, model.config.vocab_size)) or None,
        )
        assert list(found[index, 0].ids) == expected[0, len(request.ids) :].tolist()
        assert found[index, 0].finish_reason == "length"


def test_log_probabilities_equal_transformers(
    model: Llama, tokenizer: Tokenizer, reference: transformers.PreTrainedModel
) -> None:
    generator = LocalGenerator(model, tokenizer, prefill_tokens=40)
    assert isinstance(generator, Scorer)
    sequences = prompts(tokenizer)
    scores = dict(generator.log_probabilities(sequences))
    for index, ids in enumerate(sequences):
        logits = reference(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        expected = logits.gather(-1, torch.tensor(ids[1:], dtype=torch.int64)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(scores[index]), expected.float(), atol=1e-4, rtol=1e-4)


def test_long_texts_are_scored_in_chunks_that_shrink(
    model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = [tokenizer.encode(CODE, bos=True), tokenizer.encode(CODE)[:30], tokenizer.encode(CODE)[:2]]
    whole = dict(LocalGenerator(model, tokenizer).log_probabilities(sequences))
    monkeypatch.setattr("codecascade.generation.engine.scoring._SCORED_PAIRS", 300)
    widths: list[int] = []
    handle = model.register_forward_pre_hook(lambda module, inputs: widths.append(inputs[0].shape[1]))
    chunked = dict(LocalGenerator(model, tokenizer, prefill_tokens=16).log_probabilities(sequences))
    handle.remove()
    assert max(widths) == 16 and 1 < min(widths[:-3]) < 6  # 300 // tokens so far
    for index, scores in whole.items():
        assert chunked[index] == pytest.approx(scores, abs=1e-4)


def test_what_texts_begin_with_is_read_once(model: Llama, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode(CODE * 3)[:170]
    answers = [[5], [6, 7, 8], [*range(9, 29)], [6, 7, 9]]
    # questions of another length, one that is a beginning of the next, and texts that share nothing
    other = [*reversed(ids)]
    sequences = [
        *(ids[:100] + answer for answer in answers),
        *(ids[:100] + ids[100:] + answer for answer in answers[:2]),
        other[:90],
        other[:150],
        [3, 4, 5],
        ids[:2],
        [*other[:110], 1],
    ]
    alone = [dict(LocalGenerator(model, tokenizer).log_probabilities([each]))[0] for each in sequences]
    read: list[int] = []
    handle = model.register_forward_pre_hook(lambda module, inputs: read.append(inputs[0].numel()))
    for pass_tokens in (4096, 300, 140, 16):
        read.clear()
        generator = LocalGenerator(model, tokenizer, prefill_tokens=pass_tokens)
        found = dict(generator.log_probabilities(sequences))
        assert max(read) <= pass_tokens
        if pass_tokens == 300:
            # 96 tokens that are shared by the first six, once; and what each has of its own but the last
            assert read[:2] == [96, sum(len(each) - 97 for each in sequences[:6])]
        for index, scores in enumerate(alone):
            assert found[index] == pytest.approx(scores, abs=1e-4), (pass_tokens, index)
    handle.remove()


def test_the_log_probability_is_that_of_the_tokens_chosen(model: Llama, tokenizer: Tokenizer) -> None:
    generator = LocalGenerator(model, tokenizer)
    sampling = SamplingParams(max_new_tokens=9, temperature=0.9, top_p=0.8, seed=3)
    requests = [Request(ids, sampling, stop_ids=NEVER) for ids in prompts(tokenizer)]
    for completion in generator.generate(requests):
        ids = requests[completion.request].ids
        ((_, scores),) = generator.log_probabilities([[*ids, *completion.ids]])
        assert completion.log_probability == pytest.approx(sum(scores[len(ids) - 1 :]), abs=1e-3)


def test_samples_depend_on_seed_and_number_not_on_the_batch(model: Llama, tokenizer: Tokenizer) -> None:
    def sampled(generator: LocalGenerator, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        found = by_request(list(generator.generate(requests)))
        return [found[key].ids for key in sorted(found)]

    def request(ids: tuple[int, ...], seed: int, samples: int) -> Request:
        return Request(ids, SamplingParams(10, 1.0, 0.95, seed), samples=samples, stop_ids=NEVER)

    requests = [request(ids, seed, 4) for seed, ids in enumerate(prompts(tokenizer))]
    together = sampled(LocalGenerator(model, tokenizer), requests)
    in_waves = sampled(LocalGenerator(model, tokenizer, batch_tokens=30), requests)
    alone = [ids for one in requests for ids in sampled(LocalGenerator(model, tokenizer), [one])]
    assert together == in_waves == alone
    assert len(set(together)) > 20
    fewer = sampled(LocalGenerator(model, tokenizer), [request(prompts(tokenizer)[2], 2, 2)])
    assert fewer == together[8:10]
    other_seed = sampled(LocalGenerator(model, tokenizer), [request(prompts(tokenizer)[2], 7, 2)])
    assert other_seed != fewer


def test_sampling_follows_the_models_distribution(model: Llama, tokenizer: Tokenizer) -> None:
    ids = prompts(tokenizer)[3]
    logits = model.logits(model(torch.tensor([ids])))[0, -1, : tokenizer.vocab_size]
    expected = torch.softmax(logits / 1.5, -1)
    generator = LocalGenerator(model, tokenizer)
    completions = generator.generate([Request(ids, SamplingParams(1, 1.5), samples=600, stop_ids=NEVER)])
    found = torch.bincount(torch.tensor([one.ids[0] for one in completions]), minlength=len(expected)) / 600
    assert (found - expected).abs().max() < 0.08
    assert not found[expected < 1e-5].any()


def test_samples_share_a_prefill_and_finished_rows_are_dropped(model: Llama, tokenizer: Tokenizer) -> None:
    generator = recite(model, tokenizer)
    long = beginning(tokenizer, 20, sampling=SamplingParams(max_new_tokens=20), samples=3)
    short = beginning(tokenizer, 20, sampling=SamplingParams(max_new_tokens=2), samples=5)
    assert len(list(generator.generate([long, short]))) == 8
    # 21 tokens of one prompt, and of the same tokens of the other those after the first full block
    assert generator.model.passes == [21 + 5, 8, *[3] * 18]


def test_a_cache_is_a_gib_or_what_is_needed(model: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_runner, "_CACHE_BYTES", CACHE_BYTES)
    monkeypatch.setattr(model_runner, "free_bytes", lambda device: None)
    of_a_gib = 2**30 // token_bytes(model)
    assert default_cache_tokens(model, 128) == of_a_gib
    assert default_cache_tokens(model, of_a_gib) > of_a_gib, "a request of the whole context"
    monkeypatch.setattr(model_runner, "token_bytes", lambda model: 2**20)
    assert default_cache_tokens(model, 128) == 16_384


def test_a_context_that_no_memory_holds_is_cut(model: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, tokens in ((2**40, 2**40 // token_bytes(model)), (None, 2**40 + 16)):
        monkeypatch.setattr(model_runner, "free_bytes", lambda device, free=free: free)
        assert default_cache_tokens(model, 2**40) == tokens
        assert default_cache_tokens(model, 2**40, asked=True) == 2**40 + 16


def test_memory_is_bounded_whatever_is_asked_for(
    model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocated = []
    original = KeyValueCache.allocate_blocks

    def counted(config: LlamaConfig, blocks: int, *rest: Any, **more: Any) -> KeyValueCache:
        cache = original(config, blocks, *rest, **more)
        allocated.append(cache.keys[0].shape[1] * cache.block_size)
        return cache

    monkeypatch.setattr(KeyValueCache, "allocate_blocks", counted)
    generator = recite(model, tokenizer, batch_tokens=200, prefill_tokens=32)
    requests = [
        beginning(tokenizer, tokens, sampling=SamplingParams(max_new_tokens=8), samples=samples)
        for tokens, samples in ((30, 50), (2, 1), (12, 7), (5, 1), (4, 1))
    ]
    completions = list(generator.generate(requests))
    assert sorted((one.request, one.sample) for one in completions) == [
        (index, sample) for index, request in enumerate(requests) for sample in range(request.samples)
    ]
    assert max(generator.model.passes) <= 32
    assert len(allocated) == 1 and max(allocated) <= 200


def test_rows_beyond_the_vocabulary_are_never_chosen(model: Llama, tokenizer: Tokenizer) -> None:
    generator = recite(model, tokenizer)
    assert tokenizer.vocab_size < model.config.vocab_size, "the model has padding rows"
    generator.model.known = [model.config.vocab_size - 1] * 9
    requests = [
        beginning(tokenizer, 2, sampling=SamplingParams(5, temperature), stop_ids=NEVER)
        for temperature in (0.0, 0.1)
    ]
    for completion in generator.generate(requests):
        assert max(completion.ids) < tokenizer.vocab_size


def test_a_generator_of_a_folder(model: Llama, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_folder(tmp_path / "model", model, model.config, tokenizer)
    generator: Generator = load_generator(str(tmp_path / "model"), precision="fp32")
    request = completion_request(tokenizer, "def merge(", SamplingParams(max_new_tokens=8))
    (expected,) = LocalGenerator(model, tokenizer).generate([request])
    (found,) = generator.generate([request])
    assert (found.text, found.ids, found.stopped_by) == (expected.text, expected.ids, expected.stopped_by)
    assert generator.context_length == model.config.max_position_embeddings


def test_a_prompt_beyond_the_configs_positions_is_read_where_it_is_wanted(
    model: Llama, tokenizer: Tokenizer
) -> None:
    length = model.config.max_position_embeddings
    request = Request(tuple(tokenizer.encode("x = 1\n"))[:1] * (length + 5), SamplingParams(max_new_tokens=4))
    generator = LocalGenerator(model, tokenizer)
    refused, read = (
        next(iter(generator.generate([replace(request, beyond_context=beyond, stop_ids=NEVER)])))
        for beyond in (False, True)
    )
    assert refused.finish_reason == "context" and read.finish_reason == "length" and len(read.ids) == 4


@pytest.mark.smollm2
def test_the_pretrained_model_writes_python() -> None:
    generator = load_generator("smollm2-135m-instruct", precision="fp32")
    request = completion_request(generator.tokenizer, "for i in ran", SamplingParams(max_new_tokens=6))
    assert "".join(generator.stream(request)).startswith("ge(")


@pytest.mark.parametrize("tied", [False, True])
def test_packed_weights_give_the_same_logits(tokenizer: Tokenizer, tied: bool) -> None:
    config = replace(
        tiny_model(tokenizer).config,
        attention_bias=True,
        attention_output_bias=True,
        mlp_bias=True,
        tie_word_embeddings=tied,
    )
    plain, packed = build(config, torch.device("cpu")), build(config, torch.device("cpu"))
    for llama in (plain, packed):
        initialise(llama, seed=0)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(parameter)
        packed.load_state_dict(plain.state_dict())
    if not can_pack(torch.device("cpu"), torch.float32):
        pytest.skip("this PyTorch has no such kernels")
    pack_weights(packed)
    with torch.inference_mode():
        for rows, length in ((1, 1), (3, 1), (2, 40)):
            tokens = torch.arange(rows * length).view(rows, length) % config.vocab_size
            expected = plain.logits(plain(tokens))
            torch.testing.assert_close(packed.logits(packed(tokens)), expected, atol=1e-5, rtol=1e-4)


def test_the_context_is_a_setting_that_may_exceed_the_models_own(
    model: Llama, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    save_folder(tmp_path / "model", model, model.config, tokenizer)
    ids = tuple(tokenizer.encode(CODE * 3)[:200])
    request = Request(ids, SamplingParams(max_new_tokens=40), stop_ids=NEVER)
    found = []
    for context in (None, 150, 230, 1000):
        generator = load_generator(str(tmp_path / "model"), precision="fp32", context=context)
        assert generator.context_length == (context or 128)
        (completion,) = generator.generate([request])
        found.append((completion.finish_reason, len(completion.ids)))
    assert found == [("context", 0), ("context", 0), ("length", 30), ("length", 40)]
    (beyond,) = LocalGenerator(model, tokenizer).generate([replace(request, beyond_context=True)])
    assert beyond.ids == completion.ids


def test_a_context_that_was_asked_for_is_an_end_for_all(model: Llama, tokenizer: Tokenizer) -> None:
    request = Request((5,) * 100, SamplingParams(max_new_tokens=9), stop_ids=NEVER, beyond_context=True)
    for context, reason, tokens in ((60, "context", 0), (105, "length", 5), (None, "length", 9)):
        generator = LocalGenerator(model, tokenizer, context=context)
        (completion,) = generator.generate([request])
        assert (completion.finish_reason, len(completion.ids)) == (reason, tokens)


def test_a_prompt_beyond_the_machines_memory_is_not_asked(
    model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    length = model.config.max_position_embeddings
    requests = [
        Request((5,) * size, SamplingParams(max_new_tokens=3), stop_ids=NEVER, beyond_context=True)
        for size in (length + 5, 4 * length)
    ]
    generator = LocalGenerator(model, tokenizer, batch_tokens=2 * length)
    monkeypatch.setattr(engine, "free_bytes", lambda device: token_bytes(generator.model) * length)
    reasons = {done.request: done.finish_reason for done in generator.generate(requests)}
    assert reasons == {0: "length", 1: "context"}
    monkeypatch.setattr(engine, "free_bytes", lambda device: None)
    assert {done.finish_reason for done in generator.generate(requests)} == {"length"}
    assert free_bytes(torch.device("cpu")) is None or free_bytes(torch.device("cpu")) > 2**20


def test_iterators_of_one_generator_do_not_disturb_each_other(model: Llama, tokenizer: Tokenizer) -> None:
    requests = [Request(ids, SamplingParams(12), samples=2, stop_ids=NEVER) for ids in prompts(tokenizer)]
    expected = by_request(list(LocalGenerator(model, tokenizer).generate(requests)))
    generator = LocalGenerator(model, tokenizer)
    first, second, third = (generator.generate(requests) for _ in range(3))
    kept = [next(first), next(third)]
    third.close()
    mixed = [*zip(first, second, strict=False)]
    found = [kept[0], *(one for one, _ in mixed)]
    # log-probabilities differ by rounding, as the passes were others
    texts = {key: completion.ids for key, completion in expected.items()}
    assert {key: completion.ids for key, completion in by_request(found).items()} == texts
    rest = by_request([*(other for _, other in mixed), *second])
    assert {key: completion.ids for key, completion in rest.items()}.items() <= texts.items()
    assert len(rest) >= len(expected) - 1
    for key, completion in rest.items():
        assert completion.log_probability == pytest.approx(expected[key].log_probability, abs=1e-3)
    assert not generator.engine.has_work and generator.engine.load().cache_used == 0
    assert not generator._outputs
