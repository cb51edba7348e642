"""The engine against transformers, against itself in other batches, and with models that know what to say."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from codecascade.errors import UserError
from codecascade.generation.local import LocalGenerator, load_generator
from codecascade.generation.packed import can_pack, pack_weights
from codecascade.generation.requests import (
    Completion,
    Generator,
    Request,
    Sampling,
    Scorer,
    completion_request,
    infilling_request,
    start_id,
)
from codecascade.model.attention import Continuation, Documents
from codecascade.model.cache import KeyValueCache
from codecascade.model.config import LlamaConfig
from codecascade.model.folder import save_folder
from codecascade.model.llama import Llama
from codecascade.model.presets import build, initialise
from codecascade.tokens.healing import HealingConstraint
from codecascade.tokens.infilling import add_infilling_tokens, drop_infilling_tokens, rows_for
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

NEVER = frozenset[int]()
CODE = '''def merge(first, second):
    """Return the merged result of two sorted lists."""
    result = []
    while first and second:
        result.append(first.pop(0) if first[0] <= second[0] else second.pop(0))
    return result + first + second


def remove_non_ascii(text: str) -> str:
    return "".join(character for character in text if ord(character) < 128)
'''


@pytest.fixture(scope="session", params=["bytes", "llama"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    """A byte-level tokenizer without BOS and a Llama-style one with, both with infilling tokens."""
    return add_infilling_tokens(train_tokenizer([CODE] * 4, 400, kind=request.param))


@pytest.fixture(scope="session")
def model(tokenizer: Tokenizer) -> Llama:
    """A random model that is sure enough of its choices that rounding does not turn them."""
    return tiny_model(tokenizer)


def tiny_model(tokenizer: Tokenizer, *, context: int = 128) -> Llama:
    config = LlamaConfig(
        model_type="llama",
        vocab_size=rows_for(tokenizer.vocab_size),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        rms_norm_eps=1e-5,
        rope_theta=10_000.0,
        rope_scaling=None,
        max_position_embeddings=context,
        tie_word_embeddings=False,
        attention_bias=False,
        attention_output_bias=False,
        mlp_bias=False,
    )
    llama = build(config, torch.device("cpu"))
    initialise(llama, seed=0)
    with torch.no_grad():
        for parameter in llama.parameters():
            if parameter.ndim == 2:
                parameter.mul_(12)  # a fresh model hardly prefers any token
    return llama.eval()


def prompts(tokenizer: Tokenizer) -> list[tuple[int, ...]]:
    draw = random.Random(0)
    lengths = (1, 3, 17, 9, 30, 9)
    return [tuple(draw.randrange(10, tokenizer.vocab_size) for _ in range(length)) for length in lengths]


def by_request(completions: Sequence[Completion]) -> dict[tuple[int, int], Completion]:
    found = {(completion.request, completion.sample): completion for completion in completions}
    assert len(found) == len(completions)
    return found


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
    requests = [Request(ids, Sampling(max_new_tokens=12), stop_ids=NEVER) for ids in prompts(tokenizer)]
    found = by_request(list(generator.generate(requests)))
    for place, request in enumerate(requests):
        expected = reference.generate(
            torch.tensor([request.ids]),
            max_new_tokens=12,
            do_sample=False,
            eos_token_id=None,
            pad_token_id=0,
            suppress_tokens=list(range(tokenizer.vocab_size, model.config.vocab_size)) or None,
        )
        assert list(found[place, 0].ids) == expected[0, len(request.ids) :].tolist()
        assert found[place, 0].finish_reason == "length"


def test_log_probabilities_equal_transformers(
    model: Llama, tokenizer: Tokenizer, reference: transformers.PreTrainedModel
) -> None:
    generator = LocalGenerator(model, tokenizer, prefill_tokens=40)
    assert isinstance(generator, Scorer)
    sequences = prompts(tokenizer)
    scores = dict(generator.log_probabilities(sequences))
    for place, ids in enumerate(sequences):
        logits = reference(torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
        expected = logits.gather(-1, torch.tensor(ids[1:], dtype=torch.int64)[:, None])[:, 0]
        torch.testing.assert_close(torch.tensor(scores[place]), expected.float(), atol=1e-4, rtol=1e-4)


def test_long_texts_are_scored_in_chunks_that_shrink(
    model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sequences = [tokenizer.encode(CODE, bos=True), tokenizer.encode(CODE)[:30], tokenizer.encode(CODE)[:2]]
    whole = dict(LocalGenerator(model, tokenizer).log_probabilities(sequences))
    monkeypatch.setattr("codecascade.generation.local._SCORED_PAIRS", 300)
    widths: list[int] = []
    handle = model.register_forward_pre_hook(lambda module, inputs: widths.append(inputs[0].shape[1]))
    chunked = dict(LocalGenerator(model, tokenizer, prefill_tokens=16).log_probabilities(sequences))
    handle.remove()
    assert max(widths) == 16 and 1 < min(widths[:-3]) < 6  # 300 // tokens so far
    for place, scores in whole.items():
        assert chunked[place] == pytest.approx(scores, abs=1e-4)


def test_the_log_probability_is_that_of_the_tokens_chosen(model: Llama, tokenizer: Tokenizer) -> None:
    generator = LocalGenerator(model, tokenizer)
    sampling = Sampling(max_new_tokens=9, temperature=0.9, top_p=0.8, seed=3)
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
        return Request(ids, Sampling(10, 1.0, 0.95, seed), samples=samples, stop_ids=NEVER)

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
    completions = generator.generate([Request(ids, Sampling(1, 1.5), samples=600, stop_ids=NEVER)])
    found = torch.bincount(torch.tensor([one.ids[0] for one in completions]), minlength=len(expected)) / 600
    assert (found - expected).abs().max() < 0.08
    assert not found[expected < 1e-5].any()


class Parrot(torch.nn.Module):
    """A model that knows one text by heart, by the place of each token; then it writes the pad token."""

    def __init__(self, like: Llama, known: Sequence[int], after: int) -> None:
        super().__init__()
        self.config, self.head_weight = like.config, like.head_weight
        self.known, self.after = known, after
        self.passes: list[int] = []  # tokens of each

    def forward(self, tokens: Tensor, *, cache: KeyValueCache, mask: Documents) -> Tensor:
        new = Continuation(cache, mask)
        self.passes.append(sum(mask.lengths))
        assert tokens.shape == (1, sum(mask.lengths))
        new.finish()
        return new.columns[None, :, None].float().expand(-1, -1, self.config.hidden_size)

    def logits(self, hidden: Tensor) -> Tensor:
        following = [*self.known[1:], *[self.after] * 300]
        tokens = torch.tensor([following[place] for place in hidden[..., 0].long().flatten().tolist()])
        return torch.nn.functional.one_hot(tokens.view(hidden.shape[:-1]), self.config.vocab_size).float()


def recite(model: Llama, tokenizer: Tokenizer, text: str = CODE, **settings: int) -> LocalGenerator:
    """A generator whose model knows ``text``."""
    return LocalGenerator(
        Parrot(model, [start_id(tokenizer), *tokenizer.encode(text)], tokenizer.pad_id), tokenizer, **settings
    )


def beginning(tokenizer: Tokenizer, tokens: int, **settings: object) -> Request:
    """The first tokens of what :func:`recite` knows."""
    return Request((start_id(tokenizer), *tokenizer.encode(CODE)[:tokens]), **settings)


@settings(max_examples=50, deadline=None)
@given(cut=st.integers(0, len(CODE) - 1), limit=st.integers(1, 12))
def test_a_prompt_cut_inside_a_token_continues_as_if_tokenised_whole(
    model: Llama, tokenizer: Tokenizer, cut: int, limit: int
) -> None:
    generator = recite(model, tokenizer)
    request = completion_request(tokenizer, CODE[:cut], Sampling(max_new_tokens=limit))
    ids = list(request.ids)
    if ids[:1] != [start_id(tokenizer)]:
        generator.model.known = tokenizer.encode(CODE)
    assume(ids == generator.model.known[: len(ids)])  # else the cut changed more than one token can hold
    (completion,) = generator.generate([request])
    assert CODE[cut:].startswith(completion.text)
    rest = tokenizer.encode_continuation(CODE[cut:])
    assert completion.text == CODE[cut:] or len(tokenizer.encode_continuation(completion.text)) >= limit - 1
    assert completion.text or not rest or limit == 1
    assert "".join(generator.stream(request)) == completion.text


def test_without_healing_the_prompt_is_taken_as_it_is(tokenizer: Tokenizer) -> None:
    request = completion_request(tokenizer, "def mer", Sampling(), heal=False)
    assert (list(request.ids), request.required) == (tokenizer.encode("def mer", bos=True), b"")


def test_an_empty_prompt_begins_a_document(model: Llama, tokenizer: Tokenizer) -> None:
    request = completion_request(tokenizer, "", Sampling(max_new_tokens=4))
    assert request.ids == (start_id(tokenizer),)
    (completion,) = recite(model, tokenizer).generate([request])
    assert completion.ids == tuple(tokenizer.encode(CODE)[:4])


def test_spm_is_healed_and_psm_is_not(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.infilling
    spm = infilling_request(tokenizer, "def mer", "\n", Sampling(), format="spm")
    assert spm.required and b"def mer".endswith(spm.required)
    assert spm.ids[: len(tokenizer.bos()) + 2] == (*tokenizer.bos(), tokens.prefix, tokens.suffix)
    psm = infilling_request(tokenizer, "def mer", "\n", Sampling())
    assert psm.required == b"" and psm.ids[-1] == tokens.middle


def test_a_text_that_must_not_be_empty_is_chosen_among_those_that_are_not(
    model: Llama, tokenizer: Tokenizer
) -> None:
    """The token that only completes what healing requires counts as far as the text goes on after it."""
    requests, expected, plain = [], [], []
    for end in range(3, 250):
        request = infilling_request(
            tokenizer, CODE[:end], "\n", Sampling(max_new_tokens=1), format="spm", heal=True
        )
        constraint = HealingConstraint(tokenizer, request.required)
        if not request.required or not (completing := constraint.completing(b"")):
            continue
        with torch.inference_mode():
            chances = model.logits(model(torch.tensor([request.ids])))[0, -1].softmax(-1)
            allowed = {token: float(chances[token]) for token in constraint.allowed(b"") or []}
            plain.append(max(allowed, key=lambda token: allowed[token]))
            best = max(completing, key=lambda token: allowed[token])
            after = model.logits(model(torch.tensor([[*request.ids, best]])))[0, -1].softmax(-1)
            ends = [token for token in range(tokenizer.vocab_size) if token not in allowed]
            stops = sorted(ends, key=lambda token: -float(after[token]))[:100]  # the model wants to end there
            after[stops] = 0
            allowed[best] *= float(after.sum())
        requests.append(replace(request, stop_ids=frozenset(stops)))
        expected.append(max(allowed, key=lambda token: allowed[token]))
    found = by_request(list(LocalGenerator(model, tokenizer).generate(requests)))
    assert [found[number, 0].ids[0] for number in range(len(requests))] == expected
    assert expected != plain, "nothing was tested"


@pytest.mark.parametrize(
    ("stop", "ended_by"), [(("\n    result",), "\n    result"), (('"""', "zzz"), '"""'), (("zzz",), None)]
)
def test_text_ends_before_a_stop_string(
    model: Llama, tokenizer: Tokenizer, stop: tuple[str, ...], ended_by: str | None
) -> None:
    generator = recite(model, tokenizer)
    request = beginning(tokenizer, 3, sampling=Sampling(max_new_tokens=500), stop=stop)
    begun = tokenizer.decode(request.ids)
    (completion,) = generator.generate([request])
    rest = CODE.removeprefix(begun)
    assert completion.text == (rest.split(ended_by)[0] if ended_by else rest)
    assert completion.finish_reason == "stop"
    assert completion.stopped_by == (ended_by or tokenizer.pad_id)
    pieces = list(generator.stream(request))
    assert "".join(pieces) == completion.text and len(pieces) > 3


def test_stop_ids_can_be_replaced(model: Llama, tokenizer: Tokenizer) -> None:
    third = tokenizer.encode(CODE)[5]
    request = beginning(tokenizer, 3, sampling=Sampling(max_new_tokens=9), stop_ids=frozenset({third}))
    (completion,) = recite(model, tokenizer).generate([request])
    assert completion.stopped_by == third and completion.ids == tuple(tokenizer.encode(CODE)[3:5])


def test_samples_share_a_prefill_and_finished_rows_are_dropped(model: Llama, tokenizer: Tokenizer) -> None:
    generator = recite(model, tokenizer)
    long = beginning(tokenizer, 20, sampling=Sampling(max_new_tokens=20), samples=3)
    short = beginning(tokenizer, 20, sampling=Sampling(max_new_tokens=2), samples=5)
    assert len(list(generator.generate([long, short]))) == 8
    assert generator.model.passes == [42, 8, *[3] * 18]


def test_memory_is_bounded_whatever_is_asked_for(
    model: Llama, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    allocated = []
    original = KeyValueCache.__init__

    def counted(
        cache: KeyValueCache, keys: list[Tensor], values: list[Tensor], lengths: Sequence[int]
    ) -> None:
        original(cache, keys, values, lengths)
        allocated.append(len(lengths) * cache.capacity)

    monkeypatch.setattr(KeyValueCache, "__init__", counted)
    generator = recite(model, tokenizer, batch_tokens=200, prefill_tokens=32)
    requests = [
        beginning(tokenizer, tokens, sampling=Sampling(max_new_tokens=8), samples=samples)
        for tokens, samples in ((30, 50), (2, 1), (12, 7), (5, 1), (4, 1))
    ]
    completions = list(generator.generate(requests))
    assert sorted((one.request, one.sample) for one in completions) == [
        (place, sample) for place, request in enumerate(requests) for sample in range(request.samples)
    ]
    assert max(generator.model.passes) <= 32
    assert max(allocated) <= 200


def test_a_prompt_that_fills_the_context_is_said_never_cut(model: Llama, tokenizer: Tokenizer) -> None:
    generator = recite(model, tokenizer)
    full = Request((start_id(tokenizer),) * model.config.max_position_embeddings, samples=2)
    almost = Request(full.ids[1:], stop_ids=NEVER)
    found = by_request(list(generator.generate([full, almost])))
    assert [found[0, sample].finish_reason for sample in (0, 1)] == ["context", "context"]
    assert (found[0, 0].text, found[0, 0].ids) == ("", ())
    assert (found[1, 0].finish_reason, len(found[1, 0].ids)) == ("length", 1)
    with pytest.raises(UserError, match="shorten it"):
        list(generator.stream(full))


def test_rows_beyond_the_vocabulary_are_never_chosen(model: Llama, tokenizer: Tokenizer) -> None:
    generator = recite(model, tokenizer)
    assert tokenizer.vocab_size < model.config.vocab_size, "the model has padding rows"
    generator.model.known = [model.config.vocab_size - 1] * 9
    requests = [
        beginning(tokenizer, 2, sampling=Sampling(5, temperature), stop_ids=NEVER)
        for temperature in (0.0, 0.1)
    ]
    for completion in generator.generate(requests):
        assert max(completion.ids) < tokenizer.vocab_size


def test_impossible_requests_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="samples"):
        Request((1,), samples=0)
    with pytest.raises(UserError, match="stop"):
        Request((1,), stop=("",))
    without = drop_infilling_tokens(tokenizer)
    with pytest.raises(UserError, match="no infilling tokens"):
        infilling_request(without, "a", "b", Sampling())


def test_a_generator_of_a_folder(model: Llama, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_folder(tmp_path / "model", model, model.config, tokenizer)
    generator: Generator = load_generator(str(tmp_path / "model"), precision="fp32")
    request = completion_request(tokenizer, "def merge(", Sampling(max_new_tokens=8))
    (expected,) = LocalGenerator(model, tokenizer).generate([request])
    (found,) = generator.generate([request])
    assert (found.text, found.ids, found.stopped_by) == (expected.text, expected.ids, expected.stopped_by)
    assert generator.context_length == model.config.max_position_embeddings


@pytest.mark.smollm2
def test_the_pretrained_model_writes_python() -> None:
    generator = load_generator("smollm2-135m-instruct", precision="fp32")
    request = completion_request(generator.tokenizer, "for i in ran", Sampling(max_new_tokens=6))
    assert "".join(generator.stream(request)).startswith("ge(")


def test_a_short_healed_prompt_beside_a_long_one_has_room(model: Llama, tokenizer: Tokenizer) -> None:
    required = b"".join(tokenizer.token_bytes(token) for token in tokenizer.encode("abcdefgh", bos=False))
    long, short = prompts(tokenizer)[4], prompts(tokenizer)[1]
    requests = [
        Request(long, Sampling(max_new_tokens=2), stop_ids=NEVER),
        Request(short, Sampling(max_new_tokens=6), required=required, stop_ids=NEVER),
    ]
    found = by_request(list(LocalGenerator(model, tokenizer).generate(requests)))
    assert found[1, 0].finish_reason == "length"
    assert len(found[1, 0].ids) > 6


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
