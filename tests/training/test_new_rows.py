"""Where the rows of new tokens start."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from tiny_run import VOCABULARY, CountingStream, tiny_model, tiny_settings

from codecascade.model.llama import Llama
from codecascade.model.presets import build
from codecascade.model.stored.weights import TensorWeights
from codecascade.model.weights import TABLE
from codecascade.training import embeddings
from codecascade.training.embeddings import GrownWeights, new_row_values
from codecascade.training.learner import Learner
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.weights_out import final_state_dict

ALONE = World(0, 1, torch.device("cpu"), None)
PREFIX, SUFFIX, MIDDLE, END = 88, 89, 90, 91
END_OF_DOCUMENT = 2


def fake_tokenizer(controls: set[int]) -> Any:
    return SimpleNamespace(
        infilling=SimpleNamespace(prefix=PREFIX, suffix=SUFFIX, middle=MIDDLE, end=END),
        special_ids=frozenset(controls | {PREFIX, SUFFIX, MIDDLE, END}),
        end_of_document_id=END_OF_DOCUMENT,
    )


def grown(model: Llama, seed: int = 0) -> GrownWeights:
    """The model's weights, whose rows from 88 on are new. The old values of those are never used."""
    with torch.no_grad():
        for parameter in model.parameters():
            if len(parameter) == VOCABULARY:
                parameter[PREFIX:] = 1000.0
    weights = TensorWeights(model.config, model.state_dict())
    tokenizer = fake_tokenizer({0, 1, 2, 3, 4})
    new = new_row_values(weights, model.config, tokenizer, range(PREFIX, VOCABULARY), seed)
    return GrownWeights(weights, VOCABULARY, new)


def filled(model: Llama, seed: int = 0) -> dict[str, torch.Tensor]:
    """Its vocabulary tables."""
    weights = grown(model, seed)
    return {name: weights.read(name) for name in weights.shapes if name in (TABLE, "lm_head.weight")}


@pytest.mark.parametrize("tied", [True, False])
def test_infilling_rows_start_as_the_end_of_a_document(tied: bool) -> None:
    tables = filled(tiny_model(tied=tied))
    assert tables.keys() == {TABLE} | (set() if tied else {"lm_head.weight"})
    for table in tables.values():
        assert torch.equal(table[END], table[END_OF_DOCUMENT])
        spread = table[:PREFIX].std()
        openers = (PREFIX, SUFFIX, MIDDLE)
        for row in openers:
            assert 0.03 * spread < (table[row] - table[END_OF_DOCUMENT]).std() < 0.08 * spread
        for first, second in ((PREFIX, SUFFIX), (PREFIX, MIDDLE), (SUFFIX, MIDDLE)):
            assert torch.dist(table[first], table[second]) > 0.01 * spread
        for row in range(END + 1, VOCABULARY):
            torch.testing.assert_close(table[row], table[:PREFIX].mean(0))


def test_without_an_end_of_documents_that_was_trained_they_start_from_the_mean() -> None:
    weights = TensorWeights(tiny_model().config, tiny_model().state_dict())
    tokenizer = fake_tokenizer({1, 2})
    tokenizer.end_of_document_id = END + 1
    new = new_row_values(weights, tiny_model().config, tokenizer, range(PREFIX, VOCABULARY), 0)
    mean = weights.read(TABLE)[:PREFIX].mean(0)
    torch.testing.assert_close(new.tables[TABLE][END - PREFIX], mean)


def test_new_rows_are_drawn_by_their_seed() -> None:
    tables = [filled(tiny_model(), seed)[TABLE] for seed in (1, 1, 2)]
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("train", ["all", "lora"])
def test_without_training_spm_is_left_to_right_with_another_text_in_front(
    tied: bool, train: Literal["all", "lora"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step that changes nothing, from the values of the rows to the trained model, whatever is trained."""
    monkeypatch.setattr(embeddings, "NOISE", 0.0)
    model = tiny_model(tied=tied)
    weights, meta = grown(model), build(model.config, "meta")
    settings = tiny_settings(train=train, learning_rate=1e-12, weight_decay=0.0)
    new = list(range(PREFIX, END + 1))
    Learner(meta, settings, 20, ALONE, new, weights).step(CountingStream().batch(range(4)), 1)
    trained = build(model.config, "meta").to_empty(device="cpu")
    trained.load_state_dict(final_state_dict(meta, settings))
    suffix, prefix = [20, 21, 22, 23], [30, 31, 32]
    spm = torch.tensor([[PREFIX, SUFFIX, *suffix, MIDDLE, *prefix]])
    border = END_OF_DOCUMENT
    plain = torch.tensor([[border, border, *suffix, border, *prefix]])
    with torch.no_grad():
        asked, base = trained.logits(trained(spm))[0, -1], model.logits(model(plain))[0, -1]
    torch.testing.assert_close(asked[:PREFIX], base[:PREFIX], rtol=1e-4, atol=1e-5)
    # a middle may end where a document would
    torch.testing.assert_close(asked[END], base[border], rtol=1e-4, atol=1e-5)


def test_lora_takes_the_new_rows_as_they_start() -> None:
    weights = grown(tiny_model(tied=False))
    settings = tiny_settings(train="lora")
    new = list(range(PREFIX, END + 1))
    model = build(tiny_model(tied=False).config, "meta")
    Learner(model, settings, 20, ALONE, new, weights)
    rows = {name: value for name, value in model.named_parameters() if name.endswith("new_rows")}
    assert len(rows) == 2
    for name, value in rows.items():
        table = TABLE if "embed" in name else "lm_head.weight"
        assert torch.equal(value, weights.read(table)[new])


@pytest.mark.parametrize("rows", [64, 96, 160])
def test_tables_are_cut_or_grown_in_every_part(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a part, of the whole and of rows read three at a time: the same values."""
    model = tiny_model(tied=False)
    weights = TensorWeights(model.config, model.state_dict())
    new_ids = sorted({*range(60, 64), *range(VOCABULARY, rows)} & {*range(rows)})
    config, tokenizer = replace(model.config, vocab_size=rows), fake_tokenizer({1, 2, 3, 4})
    values = new_row_values(weights, config, tokenizer, new_ids, 0)
    monkeypatch.setattr(embeddings, "_ROWS_AT_A_TIME", 3)
    again = new_row_values(weights, config, tokenizer, new_ids, 0)
    weights_grown = GrownWeights(weights, rows, values)
    for name in (TABLE, "lm_head.weight"):
        torch.testing.assert_close(again.tables[name], values.tables[name], rtol=1e-6, atol=1e-9)
        whole, old = weights_grown.read(name), weights.read(name)
        assert weights_grown.shapes[name] == tuple(whole.shape) == (rows, 32)
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
            assert torch.equal(weights_grown.read(name, part), whole[part])
    assert torch.equal(weights_grown.read("model.norm.weight"), weights.read("model.norm.weight"))
