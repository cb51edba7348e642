"""LoRA: nothing at the start, an ordinary model at the end; and where new rows start."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tiny_run import VOCABULARY, CountingStream, tiny_model, tiny_settings

from codecascade.model.llama import Llama
from codecascade.model.stored.weights import TensorWeights
from codecascade.model.weights import TABLE
from codecascade.training import embeddings
from codecascade.training.embeddings import GrownWeights, new_row_values
from codecascade.training.learner import Learner
from codecascade.training.lora_weights import first_matrix as first_matrix_of
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.weights_out import final_state_dict

ALONE = World(0, 1, torch.device("cpu"), None)
NEW = [90, 93]


@pytest.mark.parametrize("tied", [True, False])
def test_lora_starts_at_the_model_and_merges_into_what_it_became(tied: bool) -> None:
    original, model = tiny_model(tied=tied), tiny_model(tied=tied)
    settings = tiny_settings(train="lora", lora_rank=3, lora_alpha=6)
    learner = Learner(model, settings, 20, ALONE, NEW)
    stream, tokens = CountingStream(), torch.arange(40).view(2, 20)
    with torch.no_grad():
        torch.testing.assert_close(model.logits(model(tokens)), original.logits(original(tokens)))
    for step in range(1, 6):
        batch = stream.batch(range(4))
        batch.tokens[:, 3::5] = 90
        learner.step(batch, step)
    merged = final_state_dict(model, settings)
    assert merged.keys() == original.state_dict().keys()
    plain = tiny_model(tied=tied, seed=5)
    plain.load_state_dict(merged)
    with torch.no_grad():
        trained = model.logits(model(tokens))
        torch.testing.assert_close(plain.logits(plain(tokens)), trained, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(trained, original.logits(original(tokens)), atol=1e-3)


def test_lora_trains_the_linear_layers_and_the_new_rows_alone() -> None:
    model, before = tiny_model(), tiny_model().state_dict()
    settings = tiny_settings(train="lora")
    learner = Learner(model, settings, 20, ALONE, NEW)
    learner.step(CountingStream().batch(range(4)), 1)
    merged = final_state_dict(model, settings)
    old = [row for row in range(VOCABULARY) if row not in NEW]
    table = "model.embed_tokens.weight"
    assert torch.equal(merged[table][old], before[table][old])
    assert not torch.equal(merged[table][NEW], before[table][NEW])
    for name in before.keys() - {table}:
        assert torch.equal(merged[name], before[name]) == ("norm" in name), name
    moments = sum(state["exp_avg"].numel() for state in learner.optimizer.adamw.state.values())
    trainable = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert moments == trainable < sum(p.numel() for p in model.parameters()) / 2


def test_lora_rows_have_their_own_rate() -> None:
    settings = tiny_settings(train="lora", new_token_learning_rate=0.5)
    learner = Learner(tiny_model(), settings, 20, ALONE, NEW)
    peaks = {
        group["peak"]: sum(p.numel() for p in group["params"])
        for group in learner.optimizer.adamw.param_groups
    }
    assert peaks[0.5] == len(NEW) * 32


def test_lora_is_a_third_less_work() -> None:
    model = tiny_model()
    whole = tiny_settings().flops_per_token(model.config)
    assert tiny_settings(train="lora").flops_per_token(model.config) == pytest.approx(whole * 2 / 3)


def test_lora_is_drawn_by_its_seed() -> None:
    def first_matrix(seed: int) -> torch.Tensor:
        model = tiny_model()
        Learner(model, tiny_settings(train="lora", seed=seed), 20, ALONE)
        return model.model.layers[1].mlp.down_proj.lora_a  # type: ignore[union-attr, return-value]

    # of two seeds and two layers, so that every layer has its own
    matrices = [
        first_matrix_of(seed, layer, 4, 8) for seed in (1, 2) for layer in ("layers.0.a", "layers.1.a")
    ]
    assert torch.unique(torch.stack(matrices)).numel() == 4 * 4 * 8

    assert torch.equal(first_matrix(1), first_matrix(1))
    assert not torch.equal(first_matrix(1), first_matrix(2))


def fake_tokenizer(controls: set[int]) -> Any:
    return SimpleNamespace(
        infilling=SimpleNamespace(prefix=88, suffix=89, middle=90, end=91),
        special_ids=frozenset(controls | {88, 89, 90, 91}),
        end_of_document_id=2,
    )


def filled(model: Llama, controls: set[int], seed: int = 0) -> dict[str, torch.Tensor]:
    """The vocabulary tables, whose rows from 88 on are new."""
    with torch.no_grad():
        for parameter in model.parameters():
            if len(parameter) == VOCABULARY:
                parameter[88:] = 1000.0
    weights = TensorWeights(model.config, model.state_dict())
    new = new_row_values(weights, model.config, fake_tokenizer(controls), range(88, VOCABULARY), seed)
    grown = GrownWeights(weights, VOCABULARY, new)
    return {name: grown.read(name) for name in new.tables}


@pytest.mark.parametrize("tied", [True, False])
def test_new_rows_start_from_rows_that_mean_the_like(tied: bool) -> None:
    tables = filled(tiny_model(tied=tied), controls={0, 1, 2, 3, 4})
    assert tables.keys() == {TABLE} | (set() if tied else {"lm_head.weight"})
    for table in tables.values():
        assert torch.equal(table[91], table[2])
        spread = table[:88].std()
        for row in (88, 89, 90):
            assert (table[row] - table[:5].mean(0)).std() < 0.1 * spread
        assert min(torch.dist(table[i], table[j]) for i, j in ((88, 89), (88, 90), (89, 90))) > 0.01 * spread
        for row in range(92, VOCABULARY):
            torch.testing.assert_close(table[row], table[:88].mean(0))


def test_new_rows_start_from_the_mean_where_control_tokens_are_few() -> None:
    table = filled(tiny_model(), controls={1, 2})[TABLE]
    assert (table[88] - table[:88].mean(0)).std() < 0.1 * table[:88].std()


def test_new_rows_are_drawn_by_their_seed() -> None:
    tables = [filled(tiny_model(), {1, 2}, seed)[TABLE] for seed in (1, 1, 2)]
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])


@pytest.mark.parametrize("rows", [64, 96, 160])
def test_tables_are_cut_or_grown_in_every_part(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a part, of the whole and of rows read three at a time: the same values."""
    model = tiny_model(tied=False)
    weights = TensorWeights(model.config, model.state_dict())
    new_ids = sorted({*range(60, 64), *range(VOCABULARY, rows)} & {*range(rows)})
    config = replace(model.config, vocab_size=rows)
    values = new_row_values(weights, config, fake_tokenizer({1, 2, 3, 4}), new_ids, 0)
    monkeypatch.setattr(embeddings, "_ROWS_AT_A_TIME", 3)
    again = new_row_values(weights, config, fake_tokenizer({1, 2, 3, 4}), new_ids, 0)
    grown = GrownWeights(weights, rows, values)
    for name in (TABLE, "lm_head.weight"):
        torch.testing.assert_close(again.tables[name], values.tables[name], rtol=1e-6, atol=1e-9)
        whole, old = grown.read(name), weights.read(name)
        assert grown.shapes[name] == tuple(whole.shape) == (rows, 32)
        kept = [row for row in range(min(rows, VOCABULARY)) if row not in new_ids]
        assert torch.equal(whole[kept], old[kept])
        mean = old[kept].mean(0).expand(len(new_ids), -1)
        torch.testing.assert_close(whole[new_ids], mean)
        for first, last, columns in (
            (0, 7, slice(0, 32)),
            (58, 64, slice(3, 9)),
            (rows - 5, rows, slice(31, 32)),
        ):
            part = (slice(first, last), columns)
            assert torch.equal(grown.read(name, part), whole[part])
    assert torch.equal(grown.read("model.norm.weight"), weights.read("model.norm.weight"))
