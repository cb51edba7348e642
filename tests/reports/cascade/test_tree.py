"""The tree of a run's models."""

from __future__ import annotations

import re

from codecascade.reports.cascade.run_report import ModelReport
from codecascade.reports.cascade.tree import tree


def drawn(*stages: str) -> str:
    models = [ModelReport("base", None, "base"), *(ModelReport(name, "base", "code") for name in stages)]
    return tree(models, {model.name: "red" for model in models})


def test_long_names_that_begin_or_end_alike_can_be_told_apart() -> None:
    names = ["a-stage-with-a-long-name-1", "a-stage-with-a-long-name-2", "1-stage-with-a-long-name-2"]
    svg = drawn(*names)
    shown = re.findall(r'font-weight="600"[^>]*>([^<]*)<', svg)
    assert shown[0] == "base" and len({*shown}) == 4
    assert all(len(text) <= 17 and "…" in text for text in shown[1:])
    assert re.findall(r"<title>([^<]*)</title>", svg) == ["base", *names]


def test_short_names_stay_and_names_are_escaped() -> None:
    svg = drawn("a-name-that-fits.", "<b>")
    assert ">a-name-that-fits.</text>" in svg and "<b>" not in svg and svg.count("&lt;b&gt;") == 2
