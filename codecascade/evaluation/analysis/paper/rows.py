"""How a table of the paper is typed here: a model a line, its values as they are printed."""

from __future__ import annotations

from collections.abc import Iterable

from codecascade.evaluation.analysis.protocol import Column, Protocol, Row


def rows(text: str) -> tuple[Row, ...]:
    """``model | value value ...`` a line, ``-`` where there is none; more bars, and slashes, only part values."""
    found = []
    for line in text.strip().splitlines():
        model, _, values = line.partition("|")
        printed = values.replace("|", " ").replace("/", " ").split()
        found.append(Row(model.strip(), tuple(None if value == "-" else float(value) for value in printed)))
    return tuple(found)


def sampled(benchmark: str, group: str, problems: int) -> Iterable[Column]:
    """pass@1 greedy; pass@10 and pass@100 of 200 samples at temperature 0.8 and top-p 0.95 (section 3.1)."""
    many = Protocol(samples=200, temperature=0.8, top_p=0.95, problems=problems)
    several = f"{benchmark}_sampled"
    yield Column(benchmark, ("pass@1",), group, "pass@1", Protocol(problems=problems), several)
    for k in (10, 100):
        yield Column(several, (f"pass@{k}",), group, f"pass@{k}", many, benchmark)


def cold(benchmark: str, group: str, problems: int) -> Iterable[Column]:
    """pass@1, @10 and @100 at temperature 0.1; how many samples is not said."""
    protocol = Protocol(None, 0.1, problems=problems, only_at_temperature=True)
    for k in (1, 10, 100):
        yield Column(f"{benchmark}_sampled", (f"pass@{k}",), group, f"pass@{k}", protocol, benchmark)


def layouts(benchmark: str, metric: str, group: str, problems: int | None = None) -> Iterable[Column]:
    """A column for PSM and one for SPM."""
    for layout in ("psm", "spm"):
        protocol = Protocol(problems=problems, unhealed=layout == "spm")
        yield Column(benchmark, (f"{metric}_{layout}",), group, layout.upper(), protocol)
