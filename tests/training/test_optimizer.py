"""Parameter groups, clipping, and the new rows' own learning rate."""

from __future__ import annotations

import pytest
import torch
from tiny_run import tiny_model, tiny_settings
from torch import nn

from codecascade.training.optimizer import Optimizer


def test_decay_and_rates_by_kind_of_parameter() -> None:
    model = tiny_model(tied=False)
    settings = tiny_settings(learning_rate=1e-3, embedding_learning_rate=5e-3, weight_decay=0.1)
    optimizer = Optimizer(model, settings, 20)
    names = {parameter: name for name, parameter in model.named_parameters()}
    found = {
        names[parameter]: (group["peak"], group["weight_decay"])
        for group in optimizer.adamw.param_groups
        for parameter in group["params"]
    }
    assert found.keys() == set(names.values())
    for name, expected in found.items():
        if "embed_tokens" in name or "lm_head" in name:
            assert expected == (5e-3, 0.0), name
        elif "norm" in name:
            assert expected == (1e-3, 0.0), name
        else:
            assert expected == (1e-3, 0.1), name


def test_new_rows_move_as_if_they_had_a_rate_of_their_own() -> None:
    """Ten steps equal AdamW over two separate tables with two rates."""
    torch.manual_seed(0)
    start, gradients = torch.randn(10, 4), torch.randn(10, 10, 4)
    new = [3, 8]
    model = nn.Module()
    model.embed_tokens = nn.Embedding(10, 4)
    model.embed_tokens.weight.data = start.clone()
    settings = tiny_settings(
        learning_rate=1e-3, embedding_learning_rate=2e-3, new_token_learning_rate=3e-2, gradient_clip=1e9
    )
    optimizer = Optimizer(model, settings, 10, new)
    old_rows = [row for row in range(10) if row not in new]
    separate = [nn.Parameter(start[rows].clone()) for rows in (old_rows, new)]
    reference = [
        torch.optim.AdamW([table], lr=rate, betas=(0.9, 0.95), weight_decay=0.0)
        for table, rate in zip(separate, (2e-3, 3e-2), strict=True)
    ]
    for step in range(1, 11):
        model.embed_tokens.weight.grad = gradients[step - 1].clone()
        factor = optimizer.step(step) / settings.learning_rate
        for table, rows, adamw, rate in zip(separate, (old_rows, new), reference, (2e-3, 3e-2), strict=True):
            table.grad = gradients[step - 1][rows].clone()
            adamw.param_groups[0]["lr"] = rate * factor
            adamw.step()
    weight = model.embed_tokens.weight.detach()
    torch.testing.assert_close(weight[old_rows], separate[0].detach(), rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(weight[new], separate[1].detach(), rtol=1e-5, atol=1e-6)
    assert (weight[new] - start[new]).abs().mean() > 5 * (weight[old_rows] - start[old_rows]).abs().mean()


def test_clipping_bounds_the_whole_gradient_and_reports_it_unbounded() -> None:
    model = tiny_model()
    optimizer = Optimizer(model, tiny_settings(gradient_clip=0.5), 20)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    count = sum(parameter.numel() for parameter in model.parameters())
    assert optimizer.clip() == pytest.approx(count**0.5, rel=1e-5)
    total = sum(
        float(parameter.grad.square().sum()) for parameter in model.parameters() if parameter.grad is not None
    )
    assert total**0.5 == pytest.approx(0.5, rel=1e-3)
