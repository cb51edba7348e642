"""The pictures of all reports, as SVG text for the inside of a page.

Each model has a hue, in the order of the models. Intervals are drawn for every figure that has one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import TightLayoutEngine
from matplotlib.lines import Line2D

from codecascade.evaluation.analysis.correlations import LanguageCorrelations
from codecascade.evaluation.analysis.sweep import Sweep
from codecascade.evaluation.metrics import Metric
from codecascade.evaluation.notation import NOT_RUN

INK, QUIET, RULE = "#1f2933", "#7b8794", "#e4e7eb"
HUES = ("#9aa5b1", "#2f6fb0", "#d9822b", "#1f9d78", "#8a5fbf", "#c2417c", "#5c7a29", "#b5483a")
_HEAT = LinearSegmentedColormap.from_list("accuracy", ["#f7f4ee", "#b9d8d2", "#4fa394", "#14594d"])
STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": QUIET,
    "axes.titlesize": 10,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": QUIET,
    "svg.fonttype": "none",
    "svg.hashsalt": "codecascade",
}


@dataclass(frozen=True)
class LossCurve:
    """The loss of a stage: ``losses[i]`` nats per token, after ``tokens[i]`` training tokens."""

    name: str
    tokens: Sequence[float]
    losses: Sequence[float]


def hue(index: int) -> str:
    """The colour of the model with this index in the order of models."""
    return HUES[index % len(HUES)]


def intervals(title: str, metrics: Mapping[str, Metric], hues: Mapping[str, str], *, percent: bool) -> str:
    """A dot with its 95 % interval for each model, one below the other."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.1, 0.62 + 0.3 * len(metrics)))
        axes = figure.subplots()
        scale = 100 if percent else 1
        names = list(metrics)
        for row, name in enumerate(names):
            metric, colour = metrics[name], hues[name]
            low, value, high = (scale * bound for bound in (metric.low, metric.value, metric.high))
            axes.plot(
                [low, high], [row, row], color=colour, linewidth=2.2, alpha=0.45, solid_capstyle="round"
            )
            axes.plot([value], [row], "o", color=colour, markersize=6.5)
            axes.annotate(
                f"{value:.1f}" if percent else f"{value:.3f}",
                (value, row),
                xytext=(0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        axes.set_yticks(range(len(names)), names)
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(len(names) - 0.5, -0.75)
        if percent:
            axes.set_xlim(left=min(0, axes.get_xlim()[0]))
        axes.grid(axis="y", visible=False)
        axes.set_title(title + (", %" if percent else ""))
        return as_svg(figure)


def loss_curves(curves: Sequence[LossCurve], hues: Mapping[str, str]) -> str:
    """A small picture for each stage, all on the same scale: a thin line for the loss, a thick one for its mean."""
    with matplotlib.rc_context(STYLE):
        columns = min(len(curves), 4)
        rows = -(-len(curves) // columns)
        figure = Figure(figsize=(2.35 * columns + 0.5, 2.0 * rows + 0.2))
        grid = np.atleast_1d(figure.subplots(rows, columns, sharey=True, squeeze=False)).ravel()
        for axes, curve in zip(grid, curves, strict=False):
            colour = hues[curve.name]
            axes.plot(curve.tokens, curve.losses, color=colour, linewidth=0.8, alpha=0.35)
            axes.plot(curve.tokens, running_mean(curve.losses), color=colour, linewidth=2)
            axes.set_title(curve.name)
            axes.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=""))
            axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(3))
            axes.set_xlabel("tokens")
        for axes in grid[len(curves) :]:
            axes.set_visible(False)
        grid[0].set_ylabel("loss, nats a token")
        return as_svg(figure)


def running_mean(values: Sequence[float], share: float = 0.1) -> list[float]:
    """An exponential moving average over about ``share`` of the values, corrected for its start."""
    decay = 1 - 1 / max(1.0, share * len(values))
    mean, weight, means = 0.0, 0.0, []
    for value in values:
        mean, weight = decay * mean + (1 - decay) * value, decay * weight + (1 - decay)
        means.append(mean / weight if weight else value)
    return means


def key_cells(metrics: Mapping[str, Metric]) -> dict[tuple[int, float], Metric]:
    """The metrics named ``<length>@<position>``, by length and position."""
    found = {}
    for name, metric in metrics.items():
        length, at, position = name.partition("@")
        if at:
            found[int(length), float(position)] = metric
    return found


def key_retrieval(cells: Mapping[str, Mapping[tuple[int, float], Metric]]) -> str:
    """A heat map for each model: lengths to the right, positions downwards, in each cell the share of keys found.

    A cell whose prompts were not asked says so. A cell that is not in ``cells`` stays empty.
    """
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        lengths_of = [sorted({length for length, _ in model}) for model in cells.values()]
        positions = sorted({position for model in cells.values() for _, position in model})
        widths = [max(2.2, 0.62 * len(lengths) + 0.9) for lengths in lengths_of]
        figure = Figure(figsize=(sum(widths), 0.42 * len(positions) + 0.95))
        grid = figure.subplots(1, len(cells), sharey=True, squeeze=False, width_ratios=widths)[0]
        for axes, (name, model), lengths in zip(grid, cells.items(), lengths_of, strict=True):
            values = np.array(
                [[_value(model.get((length, position))) for length in lengths] for position in positions]
            )
            axes.imshow(values, cmap=_HEAT, vmin=0, vmax=1, aspect="auto")
            _numbers(axes, values, lambda value: f"{100 * value:.0f}")
            for (length, position), metric in model.items():
                if not metric.is_measured:
                    cell = lengths.index(length), positions.index(position)
                    axes.text(*cell, NOT_RUN, ha="center", va="center", color=QUIET, fontsize=7)
            axes.set_xticks(range(len(lengths)), [f"{length:,}" for length in lengths])
            axes.set_yticks(range(len(positions)), [f"{position:g}" for position in positions])
            axes.tick_params(length=0)
            _without_frame(axes)
            axes.set_title(name)
            axes.set_xlabel("tokens of prompt")
        grid[0].set_ylabel("key's position")
        return as_svg(figure)


def paper_strip(rows: Sequence[tuple[str, Metric, Mapping[str, Sequence[float]]]], name: str) -> str:
    """A model among the paper's models: for each figure a dot with its 95 % interval, over ticks for the others.

    Args:
        rows: the label of the figure, the model's rate, and the rates of others in percent, by their family.
    """
    families = list(dict.fromkeys(family for _, _, others in rows for family in others))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.6, 0.95 + 0.36 * len(rows)))
        axes = figure.subplots()
        for row, (_, metric, others) in enumerate(rows):
            for family, values in others.items():
                colour = HUES[families.index(family) % len(HUES)]
                axes.plot(values, [row] * len(values), "|", color=colour, markersize=11, markeredgewidth=1.6)
            low, value, high = (100 * bound for bound in (metric.low, metric.value, metric.high))
            axes.plot([low, high], [row, row], color=INK, linewidth=3, alpha=0.3, solid_capstyle="round")
            axes.plot([value], [row], "o", color=INK, markersize=6.5)
        handles = [Line2D([], [], color=INK, marker="o", linewidth=3, markersize=6.5, label=_short(name))]
        handles += [
            Line2D(
                [], [], color=HUES[index % len(HUES)], marker="|", linestyle="", markersize=10, label=family
            )
            for index, family in enumerate(families)
        ]
        figure.legend(
            handles=handles,
            loc="upper left",
            ncols=len(handles),
            frameon=False,
            fontsize=8.5,
            handlelength=1.2,
        )
        axes.set_yticks(range(len(rows)), [label for label, _, _ in rows])
        axes.tick_params(axis="y", length=0, labelcolor=INK)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(left=min(0, axes.get_xlim()[0]))
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("%")
        return as_svg(figure, top=1 - 0.34 / figure.get_figheight())


def perplexity_curves(curves: Mapping[str, Mapping[int, Metric]], hues: Mapping[str, str]) -> str:
    """Perplexity by position in the file, in tokens: a line with its 95 % interval for each model (paper, Fig. 4)."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, 3.0))
        axes = figure.subplots()
        for name, by_position in curves.items():
            positions = sorted(by_position)
            low, value, high = (
                [getattr(by_position[position], bound) for position in positions]
                for bound in ("low", "value", "high")
            )
            axes.fill_between(positions, low, high, color=hues[name], alpha=0.15, linewidth=0)
            axes.plot(positions, value, "o-", color=hues[name], linewidth=2, markersize=4, label=name)
        axes.set_xscale("log")
        axes.set_xticks(sorted({position for by_position in curves.values() for position in by_position}))
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:,.6g}"))
            axis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        axes.yaxis.set_minor_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:,.3g}"))
        axes.set_xlabel("position in the file, tokens")
        axes.set_ylabel("perplexity")
        if len(curves) > 1:
            axes.legend(frameon=False, fontsize=8.5)
        return as_svg(figure)


def correlation_matrices(matrices: Sequence[LanguageCorrelations]) -> str:
    """A matrix for each model with Pearson's coefficient of every two languages; a cell without one is empty."""
    with matplotlib.rc_context({**STYLE, "axes.grid": False}):
        widest = max(len(matrix.languages) for matrix in matrices)
        size = 0.46 * widest + 1.1
        figure = Figure(figsize=(size * len(matrices), size + 0.3))
        grid = figure.subplots(1, len(matrices), squeeze=False)[0]
        for axes, matrix in zip(grid, matrices, strict=True):
            languages = matrix.languages
            values = np.eye(len(languages))
            for row, column in np.ndindex(values.shape):
                if row != column:
                    pair = matrix.pairs.get((languages[row], languages[column]))
                    values[row, column] = _value(
                        pair or matrix.pairs.get((languages[column], languages[row]))
                    )
            axes.imshow(values, cmap=_HEAT, vmin=0, vmax=1)
            _numbers(axes, values, lambda value: f"{value:.2f}")
            axes.set_xticks(range(len(languages)), languages, rotation=45, ha="right")
            axes.set_yticks(range(len(languages)), languages)
            axes.tick_params(length=0)
            _without_frame(axes)
            axes.set_title(matrix.name)
        return as_svg(figure)


def temperature_sweep(sweep: Sweep) -> str:
    """A picture for each benchmark: temperature to the right, a line with its interval for each pass@k."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.6 * len(sweep.figures), 2.9))
        grid = figure.subplots(1, len(sweep.figures), squeeze=False)[0]
        for axes, (benchmark, metrics) in zip(grid, sweep.figures.items(), strict=True):
            for index, (name, by_temperature) in enumerate(metrics.items(), 1):
                temperatures = list(by_temperature)
                low, value, high = (
                    [100 * getattr(metric, bound) for metric in by_temperature.values()]
                    for bound in ("low", "value", "high")
                )
                axes.fill_between(temperatures, low, high, color=hue(index), alpha=0.15, linewidth=0)
                axes.plot(temperatures, value, "o-", color=hue(index), markersize=4, label=name)
            axes.set_title(f"{benchmark}, %")
            axes.set_xlabel("temperature")
            axes.set_ylim(0, max(1.0, axes.get_ylim()[1]))
            axes.legend(frameon=False, fontsize=8)
        return as_svg(figure)


def _short(name: str, most: int = 32) -> str:
    """A name, shortened for a legend."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _numbers(axes: Any, values: Any, text: Callable[[float], str]) -> None:
    """Write the value into each cell, in a colour that contrasts with it. A cell with NaN stays empty."""
    for row, column in np.ndindex(values.shape):
        if not np.isnan(values[row, column]):
            shade = "white" if values[row, column] > 0.55 else INK
            axes.text(
                column, row, text(values[row, column]), ha="center", va="center", color=shade, fontsize=8.5
            )


def _without_frame(axes: Any) -> None:
    for spine in axes.spines.values():
        spine.set_visible(False)


def _value(metric: Metric | None) -> float:
    return metric.value if metric is not None and metric.is_measured else float("nan")


def as_svg(figure: Any, top: float = 1.0) -> str:
    """The figure as SVG text.

    Args:
        top: the height of what the axes may use, as a share of the figure's.
    """
    # Figure.tight_layout leaves an engine behind, for which savefig would lay out everything once more.
    TightLayoutEngine(rect=(0, 0, 1, top)).execute(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    content = buffer.getvalue()
    return content[content.index("<svg") :]
