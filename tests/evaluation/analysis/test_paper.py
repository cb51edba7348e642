"""The paper's tables hold together, and say how a measurement differs from them."""

from __future__ import annotations

import papers_figures as copy
import pytest
from papers_figures import cells, values

from codecascade.evaluation.analysis.paper import (
    TABLE_2,
    TABLE_3,
    TABLE_4,
    TABLE_5,
    TABLE_6,
    TABLE_7,
    TABLE_8,
    TABLE_9,
    TABLE_10,
    TABLE_14,
    TABLE_18,
    TABLE_19,
    TABLE_20,
    TABLE_21,
    TABLE_22,
    TABLE_23,
    TABLE_24,
    TABLES,
)
from codecascade.evaluation.analysis.protocol import ColumnProtocol, belongs, remarks
from codecascade.evaluation.benchmarks.infilling.settings import (
    STATED_OF_LANGUAGES,
    STATED_OF_LINES,
    STATED_OF_SPANS,
)
from codecascade.evaluation.statements import BenchmarkProtocol, departures


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.number)
def test_every_row_has_a_percentage_for_each_column(table) -> None:
    """Or a sentiment, from -1 to 1."""
    for row in table.rows:
        assert len(row.values) == len(table.columns) + table.average, row.model
        for column, value in zip(table.columns, row.values, strict=False):
            low, high = (-1, 1) if column.metrics[0].startswith("sentiment") else (0, 100)
            assert value is None or low <= value <= high
    assert len({row.model for row in table.rows}) == len(table.rows)


def test_pass_at_k_grows_with_k() -> None:
    for row in (*TABLE_2.rows, *TABLE_10.rows):
        for first in (0, 3):
            printed = [value for value in row.values[first : first + 3] if value is not None]
            assert printed == sorted(set(printed)), row.model


def test_averages_are_those_of_the_languages() -> None:
    for row in TABLE_4.rows:
        *languages, average = row.values
        assert sum(languages) / len(languages) == pytest.approx(average, abs=0.051), row.model


def test_every_value_is_the_papers() -> None:
    others = {row.model: row.values for row in TABLE_2.rows[:9]}
    assert {name: (row[0], row[2], row[3]) for name, row in others.items()} == copy.OTHERS_HUMANEVAL_AND_MBPP
    assert not any(value for row in others.values() for value in (row[1], row[4], row[5]))
    assert [list(row.values) for row in TABLE_2.rows[9:]] == values(copy.HUMANEVAL_AND_MBPP)
    assert [list(row.values) for row in TABLE_3.rows] == values(copy.APPS)
    by_size = [[cell[size] for cell in family] for _, family in cells(copy.LANGUAGES) for size in range(4)]
    assert [list(row.values) for row in TABLE_4.rows[:5]] == values(copy.OTHERS_LANGUAGES)
    assert [list(row.values) for row in TABLE_4.rows[5:]] == by_size
    split = []
    for _, (plain, filled, plain_mbpp, filled_mbpp, losses) in cells(copy.COST_OF_INFILLING):
        split += [[*plain, *plain_mbpp, losses[0]], [*filled, *filled_mbpp, losses[1]]]
    assert [list(row.values) for row in TABLE_5.rows] == split
    assert {row.model: row.values[1::2] for row in TABLE_6.rows[:3]} == copy.OTHERS_LINES
    assert not any(value for row in TABLE_6.rows[:3] for value in row.values[::2])
    assert [list(row.values) for row in TABLE_6.rows[3:]] == values(copy.LINES)
    assert [list(row.values) for row in TABLE_7.rows] == values(copy.LONG_CODE)
    for size, pairs in copy.SELF_INSTRUCT.items():
        before, after = (row.values for row in TABLE_8.rows if f" {size}" in row.model)
        assert [*zip(before, after, strict=True)] == [pair or (None, None) for pair in pairs]
    for model, printed in copy.SHORT_PROBLEMS.items():
        ours = [
            value for row in TABLE_10.rows if f"{row.model} ".startswith(f"{model} ") for value in row.values
        ]
        assert ours == [float(value) for value in printed.split()], model
    assert [list(row.values) for row in TABLE_14.rows] == values(copy.INFILLING)
    assert [list(row.values) for row in TABLE_18.rows] == values(copy.KEYS)


def test_the_safety_tables_agree_with_each_other() -> None:
    """Each figure of Table 9 follows from another table: typing mistakes in either would show."""
    whole = {row.model: row.values for row in TABLE_9.rows}
    for table in (TABLE_19, TABLE_20, TABLE_21, TABLE_22, TABLE_23, TABLE_24):
        assert [row.model for row in table.rows] == list(whole)
    for row in TABLE_19.rows:
        both, informative, true = row.values
        assert both == whole[row.model][0]
        # No more answers are both than either, and no fewer than the two shares leave.
        assert true + informative - 100 <= both + 0.01 and both <= min(true, informative)
    for model in ("Code Llama 7B", "Code Llama - Instruct 34B"):
        domains = [
            next(row.values for row in table.rows if row.model == model)
            for table in (TABLE_21, TABLE_22, TABLE_23, TABLE_24)
        ] + [copy.SENTIMENT_BY_PROFESSION[model]]
        means = [sum(values) / len(values) for values in domains]
        assert sum(means) / len(means) == pytest.approx(whole[model][2], abs=0.0006), model


def test_the_rows_are_the_copys_models() -> None:
    """The same sizes and families in the same order."""
    for rows, text in ((TABLE_2.rows[9:], copy.HUMANEVAL_AND_MBPP), (TABLE_3.rows, copy.APPS)):
        named = [name for name, _ in cells(text)]
        for row, name in zip(rows, named, strict=True):
            assert row.model.replace("Code Llama - ", "").replace("Unnatural Code Llama", "Unnatural") == name
    sizes = [row.model.rpartition(" ")[2] for row in TABLE_4.rows[5:]]
    assert sizes == ["7B", "13B", "34B", "70B"] * 4
    for row, (name, _) in zip(TABLE_7.rows, cells(copy.LONG_CODE), strict=True):
        assert f" {name.split()[0]}" in row.model and ("without" in row.model) == ("without" in name)
    for row, (name, _) in zip(TABLE_14.rows, cells(copy.INFILLING), strict=True):
        assert f" {name.split()[0]}" in row.model and ("before" in row.model) == ("before" in name)


@pytest.mark.parametrize(("size", "cost"), [("7B", 0.6), ("13B", 1.1)])
def test_what_infilling_costs_on_average_is_what_the_paper_says(size: str, cost: float) -> None:
    without, with_infilling = (row.values[:6] for row in TABLE_5.rows if row.model.split()[0] == size)
    mean = sum(one - other for one, other in zip(without, with_infilling, strict=True)) / 6
    assert mean == pytest.approx(cost, abs=0.051)


def test_remarks_name_each_difference() -> None:
    greedy = ColumnProtocol(problems=164)
    assert remarks(greedy, {"samples_per_problem": 1, "temperature": 0.0, "top_p": 1.0}, 164) == []
    sampled = ColumnProtocol(samples=200, temperature=0.8, top_p=0.95, problems=164)
    found = remarks(sampled, {"samples_per_problem": 20, "temperature": 0.2, "top_p": 0.9}, 40)
    for words, sentence in zip(("40 problems", "0.2", "20 samples", "0.9"), found, strict=True):
        assert words in sentence
    assert remarks(ColumnProtocol(), {"temperature": 0.0}, 40, 90) == ["40 of the 90 problems"]
    assert remarks(greedy, {}, None) == ["how the samples were made is not known"]


def test_a_column_about_one_temperature_takes_no_other() -> None:
    cold = ColumnProtocol(None, 0.1, only_at_temperature=True)
    assert belongs(cold, {"temperature": 0.1})
    assert not belongs(cold, {"temperature": 0.0})
    assert belongs(ColumnProtocol(), {"temperature": 0.8})


@pytest.mark.parametrize("stated", [STATED_OF_LINES, STATED_OF_SPANS, STATED_OF_LANGUAGES])
def test_healed_infilling_is_different_from_the_papers(stated: BenchmarkProtocol) -> None:
    for version, which in ((1, "prompts in SPM are healed"), (2, "infilling prompts are healed")):
        found = departures(stated, {"version": version, "infilling.heal": True})
        assert any(sentence.startswith(which) for sentence in found)
    assert departures(stated, {"infilling.heal": False}) == departures(stated, {})
