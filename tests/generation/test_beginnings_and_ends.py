"""Where texts begin and end: healing, stops, limits, with a model that knows what to say."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from engine_models import CODE, NEVER, Parrot, beginning, by_request, prompts, recite
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from codecascade.generation.backend import InfillingPrompt, RepositoryContext, TextPrompt, TextRequest
from codecascade.generation.editing.prompt import continued_prompt, editor_prompt
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.local_backend import encode_request
from codecascade.generation.requests import (
    Request,
    SamplingParams,
    completion_request,
    infilling_request,
    start_id,
)
from codecascade.ground.errors import UserError
from codecascade.model.llama import Llama
from codecascade.tokens.healing import HealingConstraint
from codecascade.tokens.infilling import drop_infilling_tokens, infilling_prompt
from codecascade.tokens.repository import RepositoryChunk
from codecascade.tokens.tokenizer import Tokenizer


@settings(max_examples=50, deadline=None)
@given(cut=st.integers(0, len(CODE) - 1), limit=st.integers(1, 12))
def test_a_prompt_cut_inside_a_token_continues_as_if_tokenised_whole(
    model: Llama, tokenizer: Tokenizer, cut: int, limit: int
) -> None:
    generator = recite(model, tokenizer)
    request = completion_request(tokenizer, CODE[:cut], SamplingParams(max_new_tokens=limit))
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
    request = completion_request(tokenizer, "def mer", SamplingParams(), heal=False)
    assert (list(request.ids), request.required) == (tokenizer.encode("def mer", bos=True), b"")


@pytest.mark.parametrize("heal", [True, False])
def test_parts_of_other_files_come_before_a_prompt_that_is_cut_to_fit(
    tokenizer: Tokenizer, heal: bool
) -> None:
    repository = RepositoryContext(60, "b.py", "shop", (RepositoryChunk("a.py", "y = 2\n"),))
    sampling = SamplingParams(max_new_tokens=8)
    prefix = "first\n" * 90 + CODE[:20]
    text, filled = (
        encode_request(tokenizer, TextRequest(prompt, sampling))
        for prompt in (
            TextPrompt(prefix, ("\n",), heal, repository=repository),
            InfillingPrompt(prefix, "\nrest", "spm", heal, ("\n",), repository=repository),
        )
    )
    known = repository.prompt(prefix, "\nrest")
    wanted = (continued_prompt(tokenizer, known, 52), editor_prompt(tokenizer, known, 52, format="spm"))
    for request, ids in zip((text, filled), wanted, strict=True):
        assert len(ids) <= 52 and request.stop == ("\n",) and request.sampling == sampling
        # What healing takes away is required instead.
        assert list(request.ids) == ids[: len(request.ids)] and (heal or len(request.ids) == len(ids))
        assert bool(request.required) == (len(request.ids) < len(ids))
    assert filled.nonempty == bool(filled.required) and text.continuation


def test_an_empty_prompt_begins_a_document(model: Llama, tokenizer: Tokenizer) -> None:
    request = completion_request(tokenizer, "", SamplingParams(max_new_tokens=4))
    assert request.ids == (start_id(tokenizer),)
    (completion,) = recite(model, tokenizer).generate([request])
    assert completion.ids == tuple(tokenizer.encode(CODE)[:4])


def test_a_question_says_whether_its_prompt_is_healed(tokenizer: Tokenizer) -> None:
    whole, healed = (
        encode_request(tokenizer, TextRequest(TextPrompt("def mer", heal=heal), SamplingParams()))
        for heal in (False, True)
    )
    unhealed = completion_request(tokenizer, "def mer", SamplingParams(), heal=False)
    assert (whole.ids, whole.required) == (unhealed.ids, b"") and healed.required


def test_the_end_of_an_infillings_prefix_is_healed_in_each_layout(tokenizer: Tokenizer) -> None:
    tokens = tokenizer.infilling
    spm = infilling_request(tokenizer, "def mer", "\n", SamplingParams(), format="spm")
    assert spm.required and b"def mer".endswith(spm.required)
    assert spm.ids[: len(tokenizer.bos()) + 2] == (*tokenizer.bos(), tokens.prefix, tokens.suffix)
    psm = infilling_request(tokenizer, "def mer", "\n", SamplingParams())
    assert psm.required == spm.required and spm.nonempty and not psm.nonempty
    assert psm.ids[-1] == tokens.middle and tokens.suffix in psm.ids
    cut = "def mer"[: -len(psm.required)]
    assert list(psm.ids) == infilling_prompt(tokenizer, cut, "\n", format="psm")
    whole = infilling_request(tokenizer, "def mer", "\n", SamplingParams(), heal=False)
    assert whole.required == b"" and list(whole.ids) == infilling_prompt(
        tokenizer, "def mer", "\n", format="psm"
    )


def test_a_text_that_must_not_be_empty_is_chosen_among_those_that_are_not(
    model: Llama, tokenizer: Tokenizer
) -> None:
    """The token that only completes what healing requires counts as far as the text goes on after it."""
    requests, expected, plain = [], [], []
    for end in range(3, 250):
        request = infilling_request(
            tokenizer, CODE[:end], "\n", SamplingParams(max_new_tokens=1), format="spm", heal=True
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
    request = beginning(tokenizer, 3, sampling=SamplingParams(max_new_tokens=500), stop=stop)
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
    request = beginning(tokenizer, 3, sampling=SamplingParams(max_new_tokens=9), stop_ids=frozenset({third}))
    (completion,) = recite(model, tokenizer).generate([request])
    assert completion.stopped_by == third and completion.ids == tuple(tokenizer.encode(CODE)[3:5])


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


def test_impossible_requests_are_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match="samples"):
        Request((1,), samples=0)
    with pytest.raises(UserError, match="stop"):
        Request((1,), stop=("",))
    without = drop_infilling_tokens(tokenizer)
    with pytest.raises(UserError, match="no infilling tokens"):
        infilling_request(without, "a", "b", SamplingParams())


def test_a_short_healed_prompt_beside_a_long_one_has_room(model: Llama, tokenizer: Tokenizer) -> None:
    required = b"".join(tokenizer.token_bytes(token) for token in tokenizer.encode("abcdefgh", bos=False))
    long, short = prompts(tokenizer)[4], prompts(tokenizer)[1]
    requests = [
        Request(long, SamplingParams(max_new_tokens=2), stop_ids=NEVER),
        Request(short, SamplingParams(max_new_tokens=6), required=required, stop_ids=NEVER),
    ]
    found = by_request(list(LocalGenerator(model, tokenizer).generate(requests)))
    assert found[1, 0].finish_reason == "length"
    assert len(found[1, 0].ids) > 6


@pytest.mark.parametrize("mark", ["prefix", "suffix", "middle", "end"])
def test_a_text_never_goes_on_with_a_mark_of_an_infilling(
    model: Llama, tokenizer: Tokenizer, mark: str
) -> None:
    """A model that learnt little but infilling wants one everywhere; only a middle may end with its end."""
    token = getattr(tokenizer.infilling, mark)
    generator = LocalGenerator(Parrot(model, [], token), tokenizer)
    sampling = SamplingParams(max_new_tokens=3)
    text, chosen, middle = (
        next(iter(generator.generate([request])))
        for request in (
            completion_request(tokenizer, "def f", sampling),
            Request(tuple(tokenizer.encode("def f")), sampling),
            infilling_request(tokenizer, "def f", "\n", sampling),
        )
    )
    assert token not in text.ids and text.stopped_by != token
    assert token in chosen.ids or chosen.stopped_by == token, "unless the builder of a request forbids it"
    assert token not in middle.ids and (middle.stopped_by == token) == (mark == "end")
