"""How many held-out gaps would show a gain of a run, by each figure and kind? From what the run has written.

    python benchmarks/gap_power.py runs/quickstart             # the last stage that was asked, against the base
    python benchmarks/gap_power.py runs/quickstart --stage code --gain 0.04

For each kind of gap and each figure: the paired difference to the best that the base can do, its interval, how many
gaps would show a difference of this size in four of five measurements, and how many would show ``--gain`` (of figures
that are shares). Nothing is asked of a model.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from codecascade.corpus.code.gaps import GAP_KINDS
from codecascade.evaluation.analysis.evaluation_folder import MeasuredBenchmark, read_evaluation
from codecascade.evaluation.analysis.gains import Gain, best_gain
from codecascade.evaluation.benchmarks.heldout.figures import heldout_scores
from codecascade.evaluation.metrics import found_four_times_in_five
from codecascade.evaluation.notation import (
    format_metric,
    format_p_value,
    format_signed,
    is_plain,
    layout_name,
)
from codecascade.evaluation.scores import Scores, metrics_of
from codecascade.ground.files.reading import read_json

BENCHMARK = "infilling_heldout"
FIGURES = {
    "answer_nats_per_byte": False,
    "middle_nats_per_byte": False,
    "edit_similarity": True,
    "exact_match": True,
}
"""The figures, and whether more is better."""


def gaps_for(gain: Gain, difference: float) -> int:
    """Gaps that show a difference of a share, if the gaps vary as those of the run do."""
    spread = float(np.std(gain.after - gain.before))
    return math.ceil((found_four_times_in_five() * spread / difference) ** 2)


def measured(run: Path, model: str) -> tuple[MeasuredBenchmark, dict[str, Scores]]:
    """A model's gaps, with the figures made anew of what was written: also those of a run of an older version."""
    found = read_evaluation(run / "evaluations" / model).benchmarks[BENCHMARK]
    scores = heldout_scores(list(found.rows()))
    return replace(found, metrics=metrics_of(scores)), scores


def main() -> None:
    """Print the table of a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--base", default="base")
    parser.add_argument("--stage", help="default: the last one that was asked")
    parser.add_argument("--gain", type=float, default=0.04, help="a difference between two shares")
    options = parser.parse_args()
    models = read_json(options.run / "results.json")["models"]
    asked = [name for name, results in models.items() if BENCHMARK in results]
    stage = options.stage or next((name for name in reversed(asked) if name != options.base), "")
    for name in (options.base, stage):
        if name not in asked:
            parser.error(
                f"{name or 'a stage'} was not asked {BENCHMARK}; asked were: {', '.join(asked) or 'none'}"
            )
    (one, of_one), (two, of_two) = measured(options.run, options.base), measured(options.run, stage)
    shown = Table(
        "gaps", "n", "figure", options.base, stage, "difference", "p", "gaps that show it",
        f"gaps that show {options.gain:+.2f}", title=f"{BENCHMARK}: {options.base} to {stage}",
    )  # fmt: skip
    for kind in ("", *(f"_{each}" for each in GAP_KINDS)):
        for figure, higher in FIGURES.items():
            gain = best_gain(one, two, of_one, of_two, f"{figure}{kind}", higher_is_better=higher)
            if gain is None:
                continue
            compared, name = gain.compared, gain.metric
            low, high = (
                format_signed(each, name) for each in (compared.difference.low, compared.difference.high)
            )
            needed = gain.problems_needed()
            shown.add_row(
                kind.removeprefix("_") or "all",
                str(compared.difference.n),
                figure.replace("_", " "),
                f"{format_metric(compared.first, name)} ({layout_name(gain.before_layout)})",
                f"{format_metric(compared.second, name)} ({layout_name(gain.after_layout)})",
                f"{format_signed(compared.difference.value, name)} ({low} to {high})",
                format_p_value(compared.p_value),
                "" if needed is None else f"{needed:,}",
                "" if is_plain(name) else f"{gaps_for(gain, options.gain):,}",
            )
    Console(width=160).print(shown)


if __name__ == "__main__":
    main()
