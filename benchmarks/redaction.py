"""Measures the precision and recall of redaction on repositories that you name::

    python benchmarks/redaction.py sheet FOLDER... -o sheet.tsv     # what was replaced and what was left, to be read
    python benchmarks/redaction.py score sheet.tsv                  # precision and recall of what was read

For each language and kind, the sheet has a sample of what redaction replaced, and of what it did not replace although
a wider pattern matches. Read its lines, and write ``y`` (it is an address, a key, ... of a person) or ``n`` into the
first column. The wider patterns do not use redaction's rules: an at sign between words; four numbers with points; a
long word of letters and digits in quotes; text between a colon and an at sign in a URL. The sheet contains personal
data, so do not publish it.
"""

from __future__ import annotations

import argparse
import os
import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc

from codecascade.corpus.documents import keyed_draw
from codecascade.corpus.reading.encoding import UnreadableError, decoded
from codecascade.corpus.reading.languages import language_by_name
from codecascade.corpus.steps.redaction.redaction import RULES, find_spans

WIDE = {
    "<EMAIL>": re.compile(r"[\w.+%'=-]{1,64}\\?@[\w-]+(?:\.[\w-]+)*\.[A-Za-z][\w-]*"),
    "<IP_ADDRESS>": re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.])"),
    "<KEY>": re.compile(r"(?<=[\"'`])(?=[^\"'`]*\d)(?=[^\"'`]*[A-Za-z])[A-Za-z0-9+/=_-]{20,200}(?=[\"'`])"),
    "<PASSWORD>": re.compile(r"(?<=://)[^\s/:@\"']+:[^\s/@\"']+(?=@)"),
}
AROUND = 90


class FoundSpan(NamedTuple):
    """A span of a text that a person is to label, with the text around it."""

    kind: str
    replaced: bool
    language: str
    repository: str
    path: str
    before: str
    found: str
    after: str


def found_spans(folder: Path) -> Iterator[FoundSpan]:
    """All spans of a repository that redaction or a wider pattern finds."""
    for root, _, names in os.walk(folder):
        for name in sorted(names):
            path, language = Path(root, name), language_by_name(name)
            if language is None or path.is_symlink() or path.stat().st_size > 1_000_000:
                continue
            try:
                text = decoded(path.read_bytes()).text
            except UnreadableError:
                continue
            rules = [rule for rule in RULES if pc.match_substring_regex(text, rule.hint).as_py()]
            replaced = find_spans(text, rules, language)
            for kind, start, end, is_replaced in _spans(text, replaced):
                before = text[max(start - AROUND, 0) : start].rpartition("\n")[2]
                around = before, text[end : end + AROUND].partition("\n")[0]
                where = (folder.name, str(path.relative_to(folder)))
                yield FoundSpan(kind, is_replaced, language, *where, around[0], text[start:end], around[1])


def _spans(text: str, replaced: list[tuple[int, int, str]]) -> Iterator[tuple[str, int, int, bool]]:
    for start, end, kind in replaced:
        yield kind, start, end, True
    starts = [start for start, _, _ in replaced]
    for kind, pattern in WIDE.items():
        for match in pattern.finditer(text):
            last = bisect_right(starts, match.end() - 1) - 1
            if last < 0 or replaced[last][1] <= match.start():
                yield kind, *match.span(), False


def sheet(folders: list[Path], out: Path, sample: int) -> None:
    """Write the sheet, and print how many spans there were."""
    groups: dict[tuple[str, str, bool], list[FoundSpan]] = defaultdict(list)
    for folder in folders:
        for find in found_spans(folder):
            groups[find.kind, find.language, find.replaced].append(find)
    lines = ["label\tkind\treplaced\tlanguage\tof\tplace\tbefore\tfound\tafter"]
    print(f"{'kind':14}{'language':18}{'replaced':>10}{'left':>10}")
    for kind, language in sorted({key[:2] for key in groups}):
        counts = []
        for replaced in (True, False):
            found = groups[kind, language, replaced]
            counts.append(len(found))
            drawn = sorted(found, key=lambda find: keyed_draw(*map(str, find)))[:sample]
            for find in drawn:
                texts = [re.sub(r"\s+", " ", text) for text in (find.before, find.found, find.after)]
                location = f"{find.repository}/{find.path}"
                lines.append(
                    "\t".join(["", kind, str(replaced), language, str(len(found)), location, *texts])
                )
        print(f"{kind:14}{language:18}{counts[0]:>10,}{counts[1]:>10,}")
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")


def score(path: Path) -> None:
    """Print precision and recall by kind and language. The shares of a sample are taken for all spans of its
    group.
    """
    seen: dict[tuple[str, str, str], list[bool]] = defaultdict(list)
    totals: dict[tuple[str, str, str], int] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        label, kind, replaced, language, total, *_ = line.split("\t")
        if label not in ("y", "n"):
            continue
        seen[kind, language, replaced].append(label == "y")
        totals[kind, language, replaced] = int(total)
    print(
        f"{'kind':14}{'language':18}{'replaced':>10}{'read':>6}{'right':>7}{'left':>10}{'read':>6}{'missed':>8}"
    )
    sums: dict[str, list[float]] = defaultdict(lambda: [0.0] * 4)
    for kind, language in sorted({key[:2] for key in seen}):
        row = []
        for column, verdict in ((0, "True"), (2, "False")):
            labels = seen[kind, language, verdict]
            count = totals.get((kind, language, verdict), 0)
            row += [count, len(labels), sum(labels)]
            sums[kind][column] += count
            sums[kind][column + 1] += count * sum(labels) / max(len(labels), 1)
        print(f"{kind:14}{language:18}{row[0]:>10,}{row[1]:>6}{row[2]:>7}{row[3]:>10,}{row[4]:>6}{row[5]:>8}")
    for kind, (done, right, left, missed) in sums.items():
        precision, recall = right / max(done, 1), right / max(right + missed, 1)
        print(
            f"{kind}: {done:,.0f} replaced, precision {precision:.1%}; {left:,.0f} left, recall {recall:.1%}"
        )


def main() -> None:
    """Parse the arguments and run the command."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("sheet")
    making.add_argument("folders", nargs="+", type=Path)
    making.add_argument("-o", "--output", type=Path, required=True)
    making.add_argument("--sample", type=int, default=25, help="of each language, kind and verdict")
    commands.add_parser("score").add_argument("sheet", type=Path)
    given = parser.parse_args()
    if given.command == "sheet":
        sheet(given.folders, given.output, given.sample)
    else:
        score(given.sheet)


if __name__ == "__main__":
    main()
