"""Parts of the paper's tables: rows from a text that is typed like the printed table, and columns that recur."""

from __future__ import annotations

from collections.abc import Iterable

from codecascade.evaluation.analysis.protocol import ColumnProtocol, PaperColumn, PaperRow


def parse_rows(text: str) -> tuple[PaperRow, ...]:
    """Rows from lines of the form ``model | value value ...``.

    ``-`` means that the paper gives no value. Further bars, and slashes, separate values like spaces.
    """
    found = []
    for line in text.strip().splitlines():
        model, _, values = line.partition("|")
        printed = values.replace("|", " ").replace("/", " ").split()
        found.append(
            PaperRow(model.strip(), tuple(None if value == "-" else float(value) for value in printed))
        )
    return tuple(found)


def pass_at_k_columns(benchmark: str, group: str, problems: int) -> Iterable[PaperColumn]:
    """pass@1 greedy; pass@10 and pass@100 of 200 samples at temperature 0.8 and top-p 0.95 (section 3.1)."""
    many = ColumnProtocol(samples=200, temperature=0.8, top_p=0.95, problems=problems)
    several = f"{benchmark}_sampled"
    yield PaperColumn(benchmark, ("pass@1",), group, "pass@1", ColumnProtocol(problems=problems), several)
    for k in (10, 100):
        yield PaperColumn(several, (f"pass@{k}",), group, f"pass@{k}", many, benchmark)


def low_temperature_columns(benchmark: str, group: str, problems: int) -> Iterable[PaperColumn]:
    """pass@1, @10 and @100 at temperature 0.1; the paper does not say of how many samples."""
    protocol = ColumnProtocol(None, 0.1, problems=problems, only_at_temperature=True)
    for k in (1, 10, 100):
        yield PaperColumn(f"{benchmark}_sampled", (f"pass@{k}",), group, f"pass@{k}", protocol, benchmark)


def layout_columns(
    benchmark: str, metric: str, group: str, problems: int | None = None
) -> Iterable[PaperColumn]:
    """A column for PSM and a column for SPM."""
    for layout in ("psm", "spm"):
        protocol = ColumnProtocol(problems=problems)
        yield PaperColumn(benchmark, (f"{metric}_{layout}",), group, layout.upper(), protocol)
