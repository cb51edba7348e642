"""What teaches SmolLM2 to infill within the quickstart's budget? Variants of its code stage, compared in pairs.

    python benchmarks/quickstart_study.py                          # base, no training, ours: 200 lines of each kind
    python benchmarks/quickstart_study.py ours rate-2e-3 --steps 40 --lines 150

Every variant is the quickstart's recipe up to its ``code`` stage, with some keys changed. All are trained on the same
corpus and measured on the same lines, of held-out functions and of HumanEval's solutions, by teacher forcing
(masked_lines.py): left to right, in SPM, and in SPM with a wrong suffix. The differences are paired, with a bootstrap
interval over the lines. They are to the best that the base can do, which is left to right; and to the same model
with the wrong suffix, which tells whether a model uses what it sees behind the gap. The loss of whole plain texts
tells what it forgot. A study that was stopped continues when it is run again. The runs are in ``runs/study``.

Nothing is generated here. To compare what models write, a recipe has ``[[compare]]`` blocks (docs/studies.md).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from masked_lines import LineScore, MaskedLine, Scorer, heldout_lines, humaneval_lines
from rich.console import Console
from rich.table import Table

from codecascade.cascade.run import run_cascade
from codecascade.corpus.corpus import Corpus
from codecascade.evaluation.metrics import Metric, bootstrap_mean, bootstrap_ratio, paired_difference, rate
from codecascade.ground.files.atomic import atomic_write
from codecascade.recipe import Recipe, read_recipe

RECIPE = Path("recipes/quickstart.toml")
BASE = "base"
LEFT_TO_RIGHT, SPM, WRONG = LAYOUTS = ("left_to_right", "spm", "spm_wrong_suffix")
LONG = {"min_characters": 150, "max_characters": 700}
LONG_VARIANTS = ("trial-b", "long-functions")
PAPER = ["infilling.whole_line_share=0", "infilling.middle_weight=1", "infilling.rest_weight=1"]
VARIANTS: dict[str, list[str]] = {
    BASE: [],
    # The rows alone: what the base can do with its new tokens.
    "no-training": ["steps=1", "learning_rate=1e-12", "new_token_learning_rate=1e-12"],
    "ours": [],
    "rate-4e-4": ["learning_rate=4e-4"],
    "rate-2e-3": ["learning_rate=2e-3"],
    "middle-weight-1": ["infilling.middle_weight=1"],
    # A frozen base.
    "new-rows-alone": ["learning_rate=1e-12"],
    "half-plain": ["infilling.rate=0.5"],
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


def variant(name: str, corpus: str | None, steps: int | None) -> Recipe:
    """The quickstart's recipe with the variant's changes, by which no model is measured."""
    own = VARIANTS[name]
    changes = [
        f"name=study-{name}",
        "evaluate.benchmarks=[]",
        "stage.code.evaluate.benchmarks=[]",
        *(f"stage.code.{change}" for change in own),
    ]
    if steps and not any(change.startswith("steps=") for change in own):
        changes.append(f"stage.code.steps={steps}")
    if corpus:
        changes.append(f"corpus={corpus}")
    recipe = read_recipe(RECIPE, changes)
    if name in LONG_VARIANTS:
        code = recipe.stage[0]
        mixture = tuple(item.model_copy(update=LONG) for item in code.mixture)
        stages = (code.model_copy(update={"mixture": mixture}), *recipe.stage[1:])
        recipe = recipe.model_copy(update={"stage": stages})
    return recipe


class Measured:
    """What a variant makes of the same lines: scores by kind of line and layout, and its plain loss by kind."""

    def __init__(self, model: str, lines: Mapping[str, Sequence[MaskedLine]], kept: Path, base: bool) -> None:
        self.scores: dict[tuple[str, str], list[LineScore]] = {}
        self.plain: dict[str, list[tuple[float, int]]] = {}
        found = json.loads(kept.read_text()) if kept.exists() else self._measure(model, lines, base)
        atomic_write(kept, json.dumps(found))
        for kind, of_kind in found.items():
            self.plain[kind] = [(nats, tokens) for nats, tokens in of_kind.pop("plain")]
            for layout, scores in of_kind.items():
                self.scores[kind, layout] = [LineScore(**score) for score in scores]

    def _measure(
        self, model: str, lines: Mapping[str, Sequence[MaskedLine]], base: bool
    ) -> dict[str, dict[str, list[Any]]]:
        scorer = Scorer(model)
        found: dict[str, dict[str, list[Any]]] = {}
        for kind, some in lines.items():
            layouts = (LEFT_TO_RIGHT,) if base else LAYOUTS
            found[kind] = {
                layout: [asdict(score) for score in scorer.scores(some, layout)] for layout in layouts
            }
            found[kind]["plain"] = list(scorer.loss([each.prefix + each.line + each.suffix for each in some]))
        return found


def percent(metric: Metric) -> str:
    """A rate or a difference with its interval, in percent."""
    return f"{100 * metric.value:.1f} ({100 * metric.low:.1f} to {100 * metric.high:.1f})"


def plain(metric: Metric, digits: int = 2) -> str:
    return f"{metric.value:.{digits}f} ({metric.low:.{digits}f} to {metric.high:.{digits}f})"


def tables(kind: str, found: Mapping[str, Measured]) -> Table:
    """All variants on one kind of line."""
    lines = len(next(iter(found.values())).scores[kind, LEFT_TO_RIGHT])
    shown = Table(
        "variant",
        "layout",
        "first line written, %",
        "minus base left to right",
        "nats a line",
        "minus base left to right",
        "minus wrong suffix",
        "ends behind the line, %",
        "plain loss",
        title=f"{kind}, {lines} lines",
    )
    base = found[BASE].scores[kind, LEFT_TO_RIGHT]
    for name, measured in found.items():
        for layout in LAYOUTS:
            scores = measured.scores.get((kind, layout))
            if scores is None:
                continue
            nats, written = [score.nats for score in scores], [score.written for score in scores]
            wrong = measured.scores.get((kind, WRONG))
            loss = bootstrap_ratio(*zip(*measured.plain[kind], strict=True))
            shown.add_row(
                name,
                layout,
                percent(rate(written)),
                percent(paired_difference([score.written for score in base], written)),
                plain(bootstrap_mean(nats)),
                plain(paired_difference([score.nats for score in base], nats)),
                ""
                if layout != SPM or wrong is None
                else plain(paired_difference([w.nats for w in wrong], nats)),
                f"{100 * sum(score.ended for score in scores) / len(scores):.0f}",
                plain(loss, 3) if layout == LEFT_TO_RIGHT else "",
            )
    return shown


def main() -> None:
    """Run the variants that were named, then print their results side by side."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("variants", nargs="*", metavar="variant", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--lines", type=int, default=200, help="lines of each kind")
    parser.add_argument("--steps", type=int, help="train each so long; default: its own minutes or steps")
    parser.add_argument("--corpus", help="a corpus that is there already, such as runs/quickstart/corpus")
    parser.add_argument("-o", "--output", type=Path, default=Path("runs/study"))
    options = parser.parse_args()
    variants = list(dict.fromkeys([BASE, *(options.variants or ["no-training", "ours"])]))
    if unknown := set(variants) - set(VARIANTS):
        parser.error(f"there is no variant {', '.join(sorted(unknown))} (there are {', '.join(VARIANTS)})")
    # where no terminal tells its width, no column is cut
    console, said = Console(width=None if sys.stdout.isatty() else 160), Console(stderr=True)
    runs, corpus = {}, options.corpus
    trained = [name for name in variants if name != BASE]
    if not trained:
        parser.error("name a variant besides the base")
    for name in trained:
        recipe = variant(name, corpus, options.steps)
        runs[name] = options.output / name
        run_cascade(recipe, runs[name], until="code", console=said, file=RECIPE)
        # all train on one corpus
        corpus = corpus or str(runs[name] / "corpus")
    opened = Corpus.open(Path(corpus))
    lines = {
        "held-out functions": heldout_lines(opened, options.lines),
        "HumanEval": humaneval_lines(options.lines),
    }
    found = {}
    for name in variants:
        said.print(f"scoring {name}")
        model = read_recipe(RECIPE).base if name == BASE else str(runs[name] / "models" / "code")
        kept = options.output / f"{name}-{options.lines}.json"
        found[name] = Measured(model, lines, kept, name == BASE)
    for kind in lines:
        console.print(tables(kind, found))


if __name__ == "__main__":
    main()
