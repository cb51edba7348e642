"""Whether editor stops leave the true middle of masked code whole, and cut it where the suffix begins.

Parts of files are masked. The stops are given the true middle, and the true middle with the whole suffix typed again:
both must give back the middle. The files are those of the installed Python packages, or those in a folder of sources
in any languages: ``python benchmarks/editor_stops.py [CASES [FOLDER]] [--seed N] [--misses]``
"""

from __future__ import annotations

import argparse
import ast
import random
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from codecascade.corpus.reading.languages import document_kind, language_by_name
from codecascade.generation.editing.stops import EditorLines, EditorStops
from codecascade.generation.editor_stops import EditorStopper

Case = tuple[str, EditorLines, int, int]
Counts = defaultdict[str, list[int]]


class Lines:
    """The lines of a file, and where they are."""

    def __init__(self, text: str) -> None:
        self.lines = text.split("\n")
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)
        self.full = [number for number, line in enumerate(self.lines) if line.strip()]

    def indent(self, number: int) -> int:
        return len(self.lines[number]) - len(self.lines[number].lstrip())

    def end(self, number: int) -> int:
        return self.starts[number] + len(self.lines[number])

    def span(self, first: int, last: int) -> tuple[int, int]:
        return self.starts[first] + self.indent(first), self.end(last)


def cases_of(text: str, language: str, draw: random.Random) -> Iterator[Case]:
    """``(kind, lines, start, end)`` of some parts of a file."""
    lines = Lines(text)
    number = draw.choice(lines.full)
    yield "line, single", "single", *lines.span(number, number)
    yield "line", "block", *lines.span(number, number)
    yield "line with its break", "block", lines.starts[number], lines.starts[number + 1]
    number = draw.choice(lines.full)
    first, last = sorted(draw.choices(range(*lines.span(number, number)), k=2))
    yield "rest of a line", "block", first, lines.end(number)
    yield "part of a line", "block", first, last + 1
    first = draw.randrange(len(text))
    yield "any span", "any", first, min(len(text), first + draw.randrange(400))
    yield from definitions(text, lines, draw) if language == "python" else bodies(lines, draw)


def definitions(text: str, lines: Lines, draw: random.Random) -> Iterator[Case]:
    """Of Python: a function, its body, some of its statements."""
    found = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    if not found:
        return
    node = draw.choice(found)
    top = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]) - 1
    end = (node.end_lineno or node.lineno) - 1
    yield "definition", "block", *lines.span(top, end)
    body, header = node.body[0].lineno - 1, node.body[0].lineno - 2
    if lines.lines[header].rstrip().endswith(":") and lines.indent(body) > lines.indent(header):
        yield "body", "block", lines.end(header), lines.end(end)
        one = draw.randrange(len(node.body))
        other = draw.randrange(one, len(node.body))
        first_line, last_line = node.body[one].lineno - 1, (node.body[other].end_lineno or 0) - 1
        yield "statements", "block", *lines.span(first_line, last_line)


def bodies(lines: Lines, draw: random.Random) -> Iterator[Case]:
    """Of any language: what is indented deeper than the line before it."""
    full = lines.full
    headers = [at for at, number in enumerate(full[:-1]) if lines.indent(full[at + 1]) > lines.indent(number)]
    if not headers:
        return
    at = draw.choice(headers)
    inner = []
    for number in full[at + 1 :]:
        if lines.indent(number) <= lines.indent(full[at]):
            break
        inner.append(number)
    if len(inner) <= 40:
        yield "body", "block", lines.end(full[at]), lines.end(inner[-1])


def stopped(stops: EditorStops, text: str) -> str:
    """What is left of ``text``."""
    stopper = EditorStopper(stops)
    return stopper.push(text) + stopper.finish()


def main(wanted: int, folder: Path | None, seed: int, *, show_misses: bool = False) -> None:
    """Measure about so many cases of each language, and print the shares by kind, and by language of a folder."""
    draw = random.Random(seed)
    root = folder or Path(sysconfig.get_paths()["purelib"])
    files = sorted(path for path in root.rglob("*" if folder else "*.py") if path.is_file())
    draw.shuffle(files)
    by_language: Counts = defaultdict(lambda: [0, 0, 0])
    by_kind: Counts = defaultdict(lambda: [0, 0, 0])
    for file in files:
        language = language_by_name(file.name)
        if language is None or document_kind(language) != "code" or by_language[language][0] >= wanted:
            continue
        try:
            text = file.read_text()
            if not 500 < len(text) < 200_000 or max(map(len, text.split("\n"))) > 1000:
                continue
            cases = list(cases_of(text, language, draw))
        except (ValueError, SyntaxError, IndexError):
            continue
        for kind, lines, start, end in cases:
            middle, suffix = text[start:end], text[end:]
            stops = EditorStops(text[:start], suffix, language, lines)
            found = [1, stopped(stops, middle) == middle, stopped(stops, middle + suffix) == middle]
            for counts in (by_language[language], by_kind[kind]):
                counts[:] = [count + more for count, more in zip(counts, found, strict=True)]
            if show_misses and not all(found):
                print(f"{file}: {kind} at {start}, {len(middle)} letters: {found[1:]}")
    shown = by_language if folder else by_kind
    print(f"{'masked':22}{'cases':>7}{'middle':>9}{'with suffix':>13}")
    total = [sum(column) for column in zip(*shown.values(), strict=True)]
    for name, (asked, alone, seam) in [*shown.items(), ("all", total)]:
        if asked:
            print(f"{name:22}{asked:7}{alone / asked:9.2%}{seam / asked:13.2%}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", type=int, nargs="?", default=2000)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--misses", action="store_true", help="name each case that is missed")
    given = parser.parse_args()
    main(given.cases, given.folder, given.seed, show_misses=given.misses)
