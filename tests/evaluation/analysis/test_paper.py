"""The paper's tables hold together, and say how a measurement differs from them."""

from __future__ import annotations

import pytest

from codecascade.evaluation.analysis.paper import (
    TABLE_2,
    TABLE_4,
    TABLE_14,
    TABLE_18,
    TABLES,
)
from codecascade.evaluation.analysis.protocol import Protocol, belongs, remarks


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.number)
def test_every_row_has_a_percentage_for_each_column(table) -> None:
    for row in table.rows:
        assert len(row.values) == len(table.columns) + table.average, row.model
        assert all(value is None or 0 <= value <= 100 for value in row.values)
    assert len({row.model for row in table.rows}) == len(table.rows)


def test_pass_at_k_grows_with_k() -> None:
    for row in TABLE_2.rows:
        for first in (0, 3):
            one, ten, hundred = row.values[first : first + 3]
            assert one < ten < hundred


def test_averages_are_those_of_the_languages() -> None:
    for row in TABLE_4.rows:
        *languages, average = row.values
        assert sum(languages) / len(languages) == pytest.approx(average, abs=0.051), row.model


def test_figures_of_the_specification() -> None:
    by_model = {row.model: row.values for row in TABLE_2.rows}
    assert by_model["Code Llama 7B"][:3] == (33.5, 59.6, 85.9)
    assert by_model["Code Llama - Python 70B"] == (57.3, 89.3, 98.4, 65.6, 81.5, 91.9)
    assert TABLE_18.rows[-1].values[6:9] == (54.7, 100.0, 98.4)


def test_remarks_name_each_difference() -> None:
    greedy = Protocol(problems=164)
    assert remarks(greedy, {"samples_per_problem": 1, "temperature": 0.0, "top_p": 1.0}, 164) == []
    sampled = Protocol(samples=200, temperature=0.8, top_p=0.95, problems=164)
    found = remarks(sampled, {"samples_per_problem": 20, "temperature": 0.2, "top_p": 0.9}, 40)
    for words, sentence in zip(("40 problems", "0.2", "20 samples", "0.9"), found, strict=True):
        assert words in sentence
    assert remarks(greedy, {}, None) == ["how the samples were made is not known"]


def test_a_column_about_one_temperature_takes_no_other() -> None:
    cold = Protocol(None, 0.1, only_at_temperature=True)
    assert belongs(cold, {"temperature": 0.1})
    assert not belongs(cold, {"temperature": 0.0})
    assert belongs(Protocol(), {"temperature": 0.8})


def test_only_healed_spm_is_told_from_the_papers() -> None:
    psm, spm = (
        next(c for c in TABLE_14.columns if c.metrics == (f"pass@1_{name}",)) for name in ("psm", "spm")
    )
    healed = {"samples_per_problem": 1, "temperature": 0.0, "infilling_heal": True}
    assert remarks(spm.protocol, healed, 1033) == ["SPM with token healing, which the paper did not have"]
    assert remarks(psm.protocol, healed, 1033) == []
    assert remarks(spm.protocol, healed | {"infilling_heal": False}, 1033) == []
