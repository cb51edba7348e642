"""The pictures of a comparison: losses, perplexities, keys and expected attention of its models side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeGuard

import matplotlib
import torch
from matplotlib.figure import Figure

from codecascade.evaluation.metrics import Metric
from codecascade.ground.step_log import read_step_log
from codecascade.model.config import LlamaConfig
from codecascade.model.rope import expected_attention
from codecascade.reports import plots
from codecascade.reports.cascade.run_report import ModelReport, Question

ATTENTION_DIMENSION = 1024
"""The width of the vectors whose expected attention is drawn, as in the paper's Fig. 9a. A model's heads are narrower
and have fewer frequencies of the same range, which makes the same curve rougher."""
_POINTS = 400
_LARGEST = 1e300


def pictures(question: Question, models: Mapping[str, ModelReport]) -> list[tuple[str, str]]:
    """A title and an SVG for each picture that the question asks for and that there is something to draw for."""
    members = [
        (group, models[name]) for group, names in question.groups.items() for name in names if name in models
    ]
    drawn = ((title, draw(members)) for title, draw in (_PICTURES[kind] for kind in question.plots))
    return [(title, svg) for title, svg in drawn if svg]


Members = Sequence[tuple[str, ModelReport]]
"""The models with the name of their group, in the order of the groups."""


def _hues(members: Members) -> dict[str, str]:
    """A colour for each group, by the names of its models."""
    groups = list(dict.fromkeys(group for group, _ in members))
    return {model.name: plots.hue(1 + groups.index(group)) for group, model in members}


def _losses(members: Members) -> str:
    """The training losses in one picture (paper, Fig. 5b), smoothed; the members of a group have one colour."""
    curves = {model.name: loss_curve(model) for _, model in members}
    drawn = [(group, curve) for group, model in members if (curve := curves[model.name]) is not None]
    if not drawn:
        return ""
    hues, named = _hues(members), set[str]()
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(7.2, 3.2))
        axes = figure.subplots()
        for group, curve in drawn:
            label = None if group in named else group
            named.add(group)
            axes.plot(
                curve.tokens,
                plots.running_mean(curve.losses, 0.05),
                color=hues[curve.name],
                linewidth=1.6,
                label=label,
            )
        axes.xaxis.set_major_formatter(matplotlib.ticker.EngFormatter(sep=""))
        axes.set_xlabel("tokens")
        axes.set_ylabel("training loss, nats a token")
        axes.legend(frameon=False, fontsize=8.5)
        return plots.as_svg(figure)


def loss_curve(model: ModelReport) -> plots.LossCurve | None:
    """The losses of the model's training log; None if it has none. Rows of other values than numbers are left out."""
    if model.log is None or not model.log.exists():
        return None
    rows = [(row.get("tokens"), row.get("loss")) for row in read_step_log(model.log)]
    numbers = [(tokens, loss) for tokens, loss in rows if _is_number(tokens) and _is_number(loss)]
    if not numbers:
        return None
    return plots.LossCurve(model.name, [tokens for tokens, _ in numbers], [loss for _, loss in numbers])


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _LARGEST


def _perplexities(members: Members) -> str:
    curves: dict[str, dict[int, Metric]] = {}
    for _, model in members:
        result = model.results.get("perplexity")
        found = {} if result is None else _by_position(result.metrics)
        if found:
            curves[model.name] = found
    return plots.perplexity_curves(curves, _each_hue(members)) if curves else ""


def _by_position(metrics: Mapping[str, Metric]) -> dict[int, Metric]:
    named = {name.partition("@")[2]: metric for name, metric in metrics.items()}
    return {int(end): metric for end, metric in named.items() if end and metric.is_measured}


def _each_hue(members: Members) -> dict[str, str]:
    return {model.name: plots.hue(1 + index) for index, (_, model) in enumerate(members)}


def _keys(members: Members) -> str:
    cells = {
        model.name: plots.key_cells(model.results["key_retrieval"].metrics)
        for _, model in members
        if "key_retrieval" in model.results
    }
    return plots.key_retrieval(cells) if cells else ""


def _attention(members: Members) -> str:
    configs = {model.name: model.config for _, model in members if model.config is not None}
    return attention_by_distance(configs, _each_hue(members)) if configs else ""


def attention_by_distance(configs: Mapping[str, LlamaConfig], hues: Mapping[str, str]) -> str:
    """The expected attention by the distance of two positions (paper, Fig. 9a), a line for each RoPE.

    Args:
        configs: of the models; those of one RoPE share a line.
        hues: the colour of each model.
    """
    by_rope: dict[object, list[str]] = {}
    for name, config in configs.items():
        by_rope.setdefault((config.rope_theta, config.rope_scaling), []).append(name)
    furthest = max(config.max_position_embeddings for config in configs.values())
    distances = torch.linspace(0, furthest, _POINTS).round()
    with matplotlib.rc_context(plots.STYLE):
        figure = Figure(figsize=(7.2, 3.0))
        axes = figure.subplots()
        for names in by_rope.values():
            config = configs[names[0]]
            values = expected_attention(
                distances, config.rope_theta, config.rope_scaling, ATTENTION_DIMENSION
            )
            scaling = "" if config.rope_scaling is None else f", positions / {config.rope_scaling.factor:g}"
            label = f"θ = {config.rope_theta:,.0f}{scaling}: {', '.join(names)}"
            axes.plot(distances.tolist(), values.tolist(), color=hues[names[0]], linewidth=1.6, label=label)
        axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.set_xlabel("distance of two positions, tokens")
        axes.set_ylabel("expected attention")
        axes.legend(frameon=False, fontsize=8)
        return plots.as_svg(figure)


_PICTURES: dict[str, tuple[str, Callable[[Members], str]]] = {
    "loss": ("Training loss", _losses),
    "perplexity": ("Perplexity by position", _perplexities),
    "keys": ("Keys found", _keys),
    "attention": ("Expected attention by distance", _attention),
}
