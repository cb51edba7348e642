"""Whether editor stops leave the true middle of masked code whole, and cut it where the suffix begins.

Parts of installed Python files are masked. The stops are given the true middle, and the true middle with the whole
suffix typed again: both must give back the middle. ``python benchmarks/editor_stops.py [CASES]``
"""

from __future__ import annotations

import ast
import random
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from codecascade.generation.editor_stops import EditorLines, EditorStopper, EditorStops

Case = tuple[str, EditorLines, int, int]


def cases_of(text: str, draw: random.Random) -> Iterator[Case]:
    """``(kind, lines, start, end)`` of some parts of a file."""
    lines = text.split("\n")
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line) + 1)
    full = [number for number, line in enumerate(lines) if line.strip()]

    def indent(number: int) -> int:
        return len(lines[number]) - len(lines[number].lstrip())

    def span(first: int, last: int) -> tuple[int, int]:
        return starts[first] + indent(first), starts[last] + len(lines[last])

    number = draw.choice(full)
    yield "line, single", "single", *span(number, number)
    yield "line", "block", *span(number, number)
    yield "line with its break", "block", starts[number], starts[number + 1]
    number = draw.choice(full)
    first, last = sorted(draw.choices(range(*span(number, number)), k=2))
    yield "rest of a line", "block", first, starts[number] + len(lines[number])
    yield "part of a line", "block", first, last + 1
    first = draw.randrange(len(text))
    yield "any span", "any", first, min(len(text), first + draw.randrange(400))
    definitions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    if not definitions:
        return
    node = draw.choice(definitions)
    top = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    end = (node.end_lineno or node.lineno) - 1
    yield "definition", "block", *span(top, end)
    body, header = node.body[0].lineno - 1, node.body[0].lineno - 2
    if lines[header].rstrip().endswith(":") and indent(body) > indent(header):
        yield "body", "block", starts[header] + len(lines[header]), span(end, end)[1]
        one = draw.randrange(len(node.body))
        other = draw.randrange(one, len(node.body))
        first_line, last_line = node.body[one].lineno - 1, (node.body[other].end_lineno or 0) - 1
        yield "statements", "block", *span(first_line, last_line)


def stopped(stops: EditorStops, text: str) -> str:
    """What is left of ``text``."""
    stopper = EditorStopper(stops)
    return stopper.push(text) + stopper.finish()


def main(wanted: int) -> None:
    draw = random.Random(0)
    files = sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py"))
    draw.shuffle(files)
    asked, alone, seam = Counter[str](), Counter[str](), Counter[str]()
    for file in files:
        if asked.total() >= wanted:
            break
        try:
            text = file.read_text()
            if not 500 < len(text) < 200_000:
                continue
            cases = list(cases_of(text, draw))
        except (ValueError, SyntaxError, IndexError):
            continue
        for kind, lines, start, end in cases:
            middle, suffix = text[start:end], text[end:]
            stops = EditorStops(text[:start], suffix, "python", lines)
            asked[kind] += 1
            alone[kind] += stopped(stops, middle) == middle
            seam[kind] += stopped(stops, middle + suffix) == middle
    print(f"{'masked':22}{'cases':>7}{'middle':>9}{'with suffix':>13}")
    for kind, count in asked.items():
        print(f"{kind:22}{count:7}{alone[kind] / count:9.2%}{seam[kind] / count:13.2%}")
    total = asked.total()
    print(f"{'all':22}{total:7}{alone.total() / total:9.2%}{seam.total() / total:13.2%}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
