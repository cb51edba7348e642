"""Hand-made evaluation folders, as `codecascade eval` leaves them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from codecascade.evaluation.metrics import Metric, rate

Rows = Sequence[Mapping[str, Any]]


class Page(HTMLParser):
    """Collects tags, links, ids and text; complains about what is left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        given = dict(attrs)
        self.links += [href for key, href in attrs if key in ("href", "src") and tag != "use" and href]
        if (name := given.get("id")) is not None:
            self.ids.add(name)
        if tag not in ("meta", "br", "img", "link", "input", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def sample(task_id: str, passed: bool, detail: str | None = None, **more: Any) -> dict[str, Any]:
    """A row of a samples file; a failed one's program ended in ``detail``."""
    outcome = "passed" if passed else "failed"
    detail = None if passed else detail or "AssertionError"
    row = {
        "task_id": task_id,
        "completion": "    return 1\n",
        "passed": passed,
        "outcome": outcome,
        "detail": detail,
    }
    return row | more


def write_evaluation(
    folder: Path,
    benchmarks: Mapping[str, Rows],
    *,
    model: str = "tiny",
    metrics: Mapping[str, Mapping[str, Metric]] | None = None,
    about: Mapping[str, Mapping[str, Any]] | None = None,
    tasks: Mapping[str, Rows] | None = None,
) -> Path:
    """``results.json``, ``samples/`` and ``tasks/``; ``pass@1`` of the rows where no metrics are given."""
    figures = {
        name: {"pass@1": rate([row["passed"] for row in rows])}
        for name, rows in benchmarks.items()
        if name not in (metrics or {})
    } | dict(metrics or {})
    described = {
        name: {
            "title": name.upper(),
            "metric": next(iter(figures[name])),
            "settings": {"samples_per_problem": 1, "temperature": 0.0, "seed": 0},
            "conditions": {"asked_in_chat": False},
            **(about or {}).get(name, {}),
        }
        for name in figures
    }
    content = {
        "models": {
            model: {
                name: {metric: value.to_json() for metric, value in of.items()}
                for name, of in figures.items()
            }
        },
        "benchmarks": described,
        "cost": {model: {"evaluation_seconds": 75.0, "generated_tokens": 12345}},
        "versions": {"torch": "2"},
        "model": {"revision": "0123"},
        "command": f"codecascade eval {model}",
    }
    write_lines(folder / "results.json", [content])
    for kind, files in (("samples", benchmarks), ("tasks", tasks or {})):
        for name, rows in files.items():
            write_lines(folder / kind / f"{name}.jsonl", rows)
    return folder


def write_lines(path: Path, rows: Rows) -> None:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


HOSTILE = "<script>alert('x')</script> & `code` | \x1b"
DETAILS = ["AssertionError", "NameError: name 'x' is not defined", "SyntaxError: bad", "KeyError: 1"]


def humaneval_samples(passed: int = 20, problems: int = 60) -> list[dict[str, object]]:
    """One sample of each problem, of which the first ``passed`` pass; the others fail in four ways."""
    return [
        sample(f"HumanEval/{n}", n < passed, DETAILS[n % 4], stderr=HOSTILE, completion=f"    return {n}\n")
        for n in range(problems)
    ]
