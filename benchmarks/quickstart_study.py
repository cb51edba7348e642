"""What teaches SmolLM2 to infill within the quickstart's budget? Variants of its code stage, compared in pairs.

    python benchmarks/quickstart_study.py                          # ours and trial (b), 500 held-out functions
    python benchmarks/quickstart_study.py ours all-weights --problems 300
    python benchmarks/quickstart_study.py ours trial-b --single-lines 1033      # HumanEval's lines, at the very end

Every variant is the quickstart's recipe up to its ``code`` stage, with some keys changed. All are trained on the same
corpus and measured on the same lines of held-out functions. The differences are paired, with a bootstrap interval
over the lines. Settings are chosen on held-out functions only. A study that was stopped continues when it is run
again. The runs are in ``runs/study``.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from codecascade.cascade.run import run_cascade
from codecascade.evaluation.metrics import Metric, paired_difference, rate
from codecascade.ground.files.json_lines import read_jsonl
from codecascade.recipe import Recipe, read_recipe

RECIPE = Path("recipes/quickstart.toml")
LONG = {"min_characters": 150, "max_characters": 700}
LONG_VARIANTS = ("trial-b", "long-functions")
PAPER = ["infilling.whole_line_share=0", "infilling.middle_weight=1", "infilling.rest_weight=1"]
VARIANTS: dict[str, list[str]] = {
    "ours": [],
    # All weights, a low learning rate, functions of 150 to 700 characters, and a loss mostly on the middle.
    "trial-b": [
        "train=all",
        "learning_rate=1e-4",
        "embedding_learning_rate=5e-4",
        "new_token_learning_rate=5e-4",
        "batch_tokens=2048",
        "steps=40",
        "infilling.rate=0.9",
        "infilling.spm_share=0.5",
        "infilling.whole_line_share=0.8",
        "infilling.middle_weight=3",
        "infilling.rest_weight=0.3",
    ],
    "all-weights": ["train=all", "learning_rate=3e-4"],
    "mostly-psm": ["infilling.spm_share=0.1"],
    "paper-objective": [*PAPER, "infilling.rate=0.9", "infilling.spm_share=0.5"],
    "long-functions": [],
}


def variant(name: str, corpus: str | None, problems: int, single_lines: int, tokens: int | None) -> Recipe:
    """The quickstart's recipe with the variant's changes, measured on infilling only."""
    benchmarks = ["infilling_heldout"] + (["infilling_single_line"] if single_lines else [])
    changes = [
        f"name=study-{name}",
        "evaluate.benchmarks=[]",
        f"stage.code.evaluate.benchmarks={benchmarks}".replace("'", '"'),
        f"stage.code.evaluate.infilling.problems={max(problems, single_lines)}",
        *(f"stage.code.{change}" for change in VARIANTS[name]),
    ]
    if tokens:
        changes.append(f"stage.code.tokens={tokens}")
    if corpus:
        changes.append(f"corpus={corpus}")
    recipe = read_recipe(RECIPE, changes)
    if name in LONG_VARIANTS:
        code = recipe.stage[0]
        mixture = tuple(item.model_copy(update=LONG) for item in code.mixture)
        stages = (code.model_copy(update={"mixture": mixture}), *recipe.stage[1:])
        recipe = recipe.model_copy(update={"stage": stages})
    return recipe


def answers(run: Path, benchmark: str) -> dict[tuple[str, str], bool]:
    """Whether each problem was filled in exactly, by layout and task id."""
    rows = read_jsonl(run / "evaluations" / "code" / "samples" / f"{benchmark}.jsonl")
    return {(str(row["format"]), str(row["task_id"])): bool(row["exact_match"]) for _, row in rows}


def format_rate(metric: Metric) -> str:
    """A rate or a difference with its interval, in percent."""
    return f"{100 * metric.value:.1f} ({100 * metric.low:.1f} to {100 * metric.high:.1f})"


def main() -> None:
    """Run the variants that were named, then print their results side by side."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", nargs="*", metavar="variant", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--problems", type=int, default=500, help="held-out functions")
    parser.add_argument("--single-lines", type=int, default=0, help="also HumanEval's lines (1,033 are all)")
    parser.add_argument("--tokens", type=int, help="train each on so many; default: its own minutes or steps")
    parser.add_argument("--corpus", help="a corpus that is there already, such as runs/quickstart/corpus")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/study"))
    options = parser.parse_args()
    variants = options.variants or ["ours", "trial-b"]
    if unknown := set(variants) - set(VARIANTS):
        parser.error(f"there is no variant {', '.join(sorted(unknown))} (there are {', '.join(VARIANTS)})")
    console = Console()
    found = {}
    for name in variants:
        recipe = variant(name, options.corpus, options.problems, options.single_lines, options.tokens)
        run_cascade(recipe, options.output / name, until="code", console=Console(stderr=True), file=RECIPE)
        found[name] = options.output / name
    first = variants[0]
    for benchmark in ["infilling_heldout"] + (["infilling_single_line"] if options.single_lines else []):
        table = Table(
            "variant", "layout", "exact match, %", f"{first} minus it, points", "n", title=benchmark
        )
        ours = answers(found[first], benchmark)
        for name, run in found.items():
            theirs = answers(run, benchmark)
            for layout in ("psm", "spm"):
                tasks = [task for task in ours if task[0] == layout and task in theirs]
                values = [theirs[task] for task in tasks]
                difference = paired_difference(values, [ours[task] for task in tasks])
                table.add_row(
                    name, layout, format_rate(rate(values)), format_rate(difference), str(len(tasks))
                )
        console.print(table)


if __name__ == "__main__":
    main()
