"""The loss and its gradients are those of plain cross entropy, however it is computed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from codecascade.model.llama import Llama
from codecascade.model.loss import next_token_loss

MakeModel = Callable[..., Llama]


def problem(model: Llama) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(model.config.vocab_size, (3, 21), generator=generator)
    weights = torch.rand(3, 20, generator=generator)
    weights[torch.rand(3, 20, generator=generator) < 0.3] = 0.0
    return tokens[:, :-1], tokens[:, 1:], weights


def gradients(model: Llama, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("chunk_tokens", [None, 7, 1000])
def test_value_and_gradients(make_model: MakeModel, tied: bool, chunk_tokens: int | None) -> None:
    model = make_model(tie_word_embeddings=tied)
    tokens, targets, weights = problem(model)
    losses = F.cross_entropy(model.logits(model(tokens)).flatten(0, 1), targets.flatten(), reduction="none")
    expected = (losses * weights.flatten()).sum()
    loss = next_token_loss(model, model(tokens), targets, weights, chunk_tokens=chunk_tokens)
    assert loss.dtype == torch.float32 and loss.shape == ()
    torch.testing.assert_close(loss, expected)
    # the loss may be scaled before backward, as it is for accumulation
    ours, theirs = gradients(model, loss * 0.25), gradients(model, expected * 0.25)
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_chunked_under_autocast(make_model: MakeModel) -> None:
    model = make_model()
    tokens, targets, weights = problem(model)
    results = []
    for chunk_tokens in (1000, 7):
        with torch.autocast("cpu", torch.bfloat16):
            loss = next_token_loss(model, model(tokens), targets, weights, chunk_tokens=chunk_tokens)
        results.append((loss.detach(), gradients(model, loss)))
    (plain, plain_gradients), (chunked, chunked_gradients) = results
    torch.testing.assert_close(plain, chunked, rtol=0.02, atol=0)
    for name, gradient in plain_gradients.items():
        assert chunked_gradients[name].dtype == torch.float32
        assert F.cosine_similarity(gradient.flatten(), chunked_gradients[name].flatten(), dim=0) > 0.99


@pytest.mark.parametrize("chunk_tokens", [7, 1000])
def test_a_frozen_head_gets_no_gradient(make_model: MakeModel, chunk_tokens: int) -> None:
    model = make_model()
    model.lm_head.weight.requires_grad_(False)
    tokens, targets, weights = problem(model)
    next_token_loss(model, model(tokens), targets, weights, chunk_tokens=chunk_tokens).backward()
    assert model.lm_head.weight.grad is None
    assert model.model.embed_tokens.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("chunk_tokens", [7, None])
def test_only_the_rows_that_learn_get_a_gradient(make_model: MakeModel, chunk_tokens: int | None) -> None:
    model = make_model()
    tokens, targets, weights = problem(model)
    rows = torch.tensor([3, 7, 20])
    whole = gradients(model, next_token_loss(model, model(tokens), targets, weights))
    model.trained_rows = rows
    few = gradients(model, next_token_loss(model, model(tokens), targets, weights, chunk_tokens=chunk_tokens))
    expected = torch.zeros_like(whole["lm_head.weight"]).index_copy(0, rows, whole["lm_head.weight"][rows])
    for name, gradient in (whole | {"lm_head.weight": expected}).items():
        torch.testing.assert_close(few[name], gradient, atol=1e-5, rtol=1e-4, msg=name)


def test_no_weight_no_loss(make_model: MakeModel) -> None:
    model = make_model()
    tokens, targets, weights = problem(model)
    loss = next_token_loss(model, model(tokens), targets, weights * 0)
    loss.backward()
    assert loss.item() == 0
    assert all(not parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize("chunk_tokens", [1, 16])
def test_logits_of_unweighted_positions_are_never_made(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch, chunk_tokens: int
) -> None:
    model = make_model()
    tokens, targets, weights = problem(model)
    hidden, seen = model(tokens), []
    linear = F.linear
    monkeypatch.setattr(F, "linear", lambda x, *rest: seen.append(x.shape[0]) or linear(x, *rest))
    next_token_loss(model, hidden, targets, weights, chunk_tokens=chunk_tokens)
    assert sum(seen) == int((weights != 0).sum()) and max(seen) <= max(chunk_tokens, 42)
