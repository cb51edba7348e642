"""The figures of many models in a terminal: none is cut, whatever its width."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from cascade_runs import lines, losses, model
from rich.console import Console

from codecascade.reports.cascade.figure_table import FigureTable
from codecascade.reports.cascade.report import table_columns


@pytest.mark.parametrize("width", [60, 80, 132, 400])
def test_no_model_is_cut_at_the_width_of_a_terminal(tmp_path: Path, width: int) -> None:
    names = ["base", *(f"with_infilling_{n}" for n in range(8))]
    models = [
        model(
            tmp_path,
            name,
            {
                "infilling_heldout": lines({"spm" if n else "left_to_right": range(n)}),
                "validation": losses(1.0),
            },
        )
        for n, name in enumerate(names)
    ]
    console = Console(width=width, file=StringIO(), record=True)
    console.print(FigureTable(table_columns(models), models))
    text = console.export_text()
    assert "…" not in text and all(len(line) <= width for line in text.splitlines())
    for n, name in enumerate(names):
        assert f" {name}" in text and f"{100 * n / 60:.1f}" in text
    heads = [line for line in text.splitlines() if "with_infilling" in line]
    assert (len(heads) == 1) == (width == 400)
    assert text.count("below each figure its 95 % interval") == 1
