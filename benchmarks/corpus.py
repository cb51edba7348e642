"""How fast a corpus is made, beside other tools for it, in one run on the same real files.

    python benchmarks/corpus.py near                              # near-deduplication alone
    python benchmarks/corpus.py near --peers VENV/bin/python      # with peers that are installed elsewhere
    python benchmarks/corpus.py build --peers VENV/bin/python     # from rows to shards, beside datatrove
    python benchmarks/corpus.py cluster                           # what a cluster computes and moves
    python benchmarks/corpus.py scaling                           # 10k, 30k and 100k synthetic documents

``near`` and ``build`` take Python files of the standard library and the installed packages. Each tool runs in its own
process, from reading a Parquet file to naming what it removes, so that imports and compilation count. CPU seconds are
those of the process and its children; memory is that of the largest process. What a tool removes is checked against
the exact similarity of all pairs. *No twin* counts removed documents without a similar document among those kept (0.7
or more). *Left* counts kept documents that are similar to an earlier kept one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from corpus_data import near_pairs, quality, write_real_files, write_synthetic_files
from rich.console import Console
from rich.table import Table

THRESHOLD = 0.7
PEERS = {"rensa": "rensa", "datasketch": "datasketch", "text-dedup": "text_dedup", "datatrove": "datatrove"}
"""The peers, each with the module by which an interpreter is known to have it."""


class ToolRun(NamedTuple):
    """The run of one tool on one file."""

    seconds: float
    cpu: float
    peak_bytes: int
    removed: list[int]


def run_tool(tool: str, python: str, file: Path) -> ToolRun:
    """ToolRun one tool of ``peers.py`` and measure its process."""
    result, complaints = file.with_suffix(f".{tool}.json"), file.with_suffix(f".{tool}.err")
    command = [python, str(Path(__file__).with_name("peers.py")), tool, str(file), str(result)]
    paths = [path for path in (str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")) if path]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)}
    start = time.perf_counter()
    with open(complaints, "w") as stderr:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=stderr, env=environment)
        _, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    if status:
        sys.exit(f"{tool} failed:\n{complaints.read_text()[-3000:]}")
    removed = json.loads(result.read_text())
    return ToolRun(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, removed)


def write_in_process(
    write: Callable[[int, Path], tuple[int, int]], count: int, file: Path
) -> tuple[int, int]:
    """Write a file in another process.

    The peak memory that Linux reports for a tool includes the memory of this process, so it must stay small.
    """
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(write, count, file).result()


def interpreters(tools: list[str], candidates: list[str]) -> dict[str, str]:
    """For each tool the first interpreter that has it installed."""
    found = {}
    for tool in tools:
        for python in candidates:
            if subprocess.run([python, "-c", f"import {PEERS[tool]}"], capture_output=True).returncode == 0:
                found[tool] = python
                break
        else:
            print(f"{tool}: not installed, left out", file=sys.stderr)
    return found


def near(arguments: argparse.Namespace, folder: Path) -> Table:
    """Our tool and the peers on the same files."""
    file = folder / "texts.parquet"
    count, size = write_in_process(write_real_files, arguments.documents, file)
    runs = {
        tool: run_tool(tool, sys.executable, file)
        for tool in ("codecascade", "codecascade-file", "codecascade-exact")
    }
    for tool, python in interpreters(arguments.tools, [sys.executable, *arguments.peers]).items():
        runs[tool] = run_tool(tool, python, file)
    pairs = near_pairs(pq.read_table(file, columns=["text"])["text"].to_pylist(), THRESHOLD)
    table = Table(
        title=f"Near-deduplication of {count:,} Python files, {size / 1e6:,.0f} MB, {len(pairs):,} near pairs"
    )
    names = ("tool", "s", "CPU s", "documents/CPU s", "MB/CPU s", "peak MB", "removed", "no twin", "left")
    for name in names:
        table.add_column(name, justify="left" if name == "tool" else "right")
    for tool, run in runs.items():
        lost, left = quality(run.removed, pairs)
        rates = f"{count / run.cpu:,.0f}", f"{size / 1e6 / run.cpu:,.1f}", f"{run.peak_bytes / 1e6:,.0f}"
        removed = len(run.removed)
        table.add_row(
            tool, f"{run.seconds:.1f}", f"{run.cpu:.1f}", *rates, f"{removed:,}", f"{lost:,}", f"{left:,}"
        )
    return table


def build(arguments: argparse.Namespace, folder: Path) -> Table:
    """A complete build beside the most similar pipeline of datatrove, each on one processor."""
    file = folder / "texts.parquet"
    count, size = write_in_process(write_real_files, arguments.documents, file)
    table = Table(title=f"From {count:,} rows of Python code, {size / 1e6:,.0f} MB, to a corpus")
    for name in ("", "s", "CPU s", "documents/CPU s", "MB/CPU s", "peak MB"):
        table.add_column(name, justify="right" if name else "left")
    tools = {"codecascade-build": sys.executable}
    tools |= {
        f"{tool}-build": python
        for tool, python in interpreters(["datatrove"], [sys.executable, *arguments.peers]).items()
    }
    for tool, python in tools.items():
        run = run_tool(tool, python, file)
        rates = f"{count / run.cpu:,.0f}", f"{size / 1e6 / run.cpu:,.1f}", f"{run.peak_bytes / 1e6:,.0f}"
        table.add_row(tool.removesuffix("-build"), f"{run.seconds:.1f}", f"{run.cpu:.1f}", *rates)
    return table


def scaling(arguments: argparse.Namespace, folder: Path) -> Table:
    """Time and memory on synthetic data of growing size, with the shingles in a file."""
    table = Table(title="Near-deduplication of synthetic documents, shingles in a temporary file")
    for name in ("documents", "MB", "s", "CPU s", "MB/CPU s", "peak MB", "removed"):
        table.add_column(name, justify="right")
    for wanted in arguments.sizes:
        file = folder / f"{wanted}.parquet"
        count, size = write_in_process(write_synthetic_files, wanted, file)
        run = run_tool("codecascade-file", sys.executable, file)
        file.unlink()
        rates = f"{size / 1e6 / run.cpu:,.1f}", f"{run.peak_bytes / 1e6:,.0f}", f"{len(run.removed):,}"
        table.add_row(f"{count:,}", f"{size / 1e6:,.0f}", f"{run.seconds:.1f}", f"{run.cpu:.1f}", *rates)
    return table


def cluster(arguments: argparse.Namespace, folder: Path) -> Table:
    """The stages of near-deduplication on a cluster, run here on one machine: their CPU time and their output."""
    from codecascade.corpus.steps.near.distributed import (
        band_rows,
        connected,
        in_components,
        linked,
        remove_in_partition,
    )

    file = folder / "texts.parquet"
    count, size = write_in_process(write_real_files, arguments.documents, file)
    texts = pq.read_table(file, columns=["number", "text"])
    texts = texts.append_column("rank", texts["number"])
    table = Table(title=f"Near-deduplication of {count:,} Python files, {size / 1e6:,.0f} MB, stage by stage")
    for name in ("stage", "CPU s", "MB of text/CPU s", "rows out", "MB out"):
        table.add_column(name, justify="left" if name == "stage" else "right")

    def row(stage: str, start: float, out: pa.Table) -> None:
        used = time.process_time() - start
        rate = f"{size / 1e6 / used:,.0f}" if used > 0.005 else ""
        table.add_row(stage, f"{used:.2f}", rate, f"{len(out):,}", f"{out.nbytes / 1e6:,.1f}")

    start = time.process_time()
    keys = pa.concat_tables(band_rows(pa.Table.from_batches([batch])) for batch in texts.to_batches(1000))
    row("band keys (to the first shuffle)", start, keys)
    start = time.process_time()
    links = linked(keys)
    row("links (to one machine)", start, links)
    start = time.process_time()
    pairs = np.stack([links["number"].to_numpy(), links["other"].to_numpy()])
    components = pa.table(dict(zip(("number", "component"), connected(pairs), strict=True)))
    row("components (to all)", start, components)
    start = time.process_time()
    members = in_components(texts, components)
    row("their texts (to the second shuffle)", start, members)
    start = time.process_time()
    row("the rule (the result)", start, remove_in_partition(members, THRESHOLD))
    sizes = np.unique(members["component"].to_numpy(), return_counts=True)[1]
    table.caption = f"{len(members):,} documents in {len(sizes):,} components, the largest of {sizes.max():,}"
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("near", help="near-deduplication beside its peers")
    command.add_argument("--documents", type=int, default=3000)
    command.add_argument("--tools", nargs="*", choices=PEERS, default=list(PEERS))
    command.add_argument(
        "--peers", nargs="*", default=[], metavar="PYTHON", help="interpreters to look for peers in"
    )
    command.set_defaults(measure=near)
    command = commands.add_parser("build", help="all steps, beside datatrove")
    command.add_argument("--documents", type=int, default=3000)
    command.add_argument(
        "--peers", nargs="*", default=[], metavar="PYTHON", help="interpreters to look for peers in"
    )
    command.set_defaults(measure=build)
    command = commands.add_parser("cluster", help="the stages of a cluster, without one")
    command.add_argument("--documents", type=int, default=20_000)
    command.set_defaults(measure=cluster)
    command = commands.add_parser("scaling", help="how time and memory grow")
    command.add_argument("--sizes", type=int, nargs="*", default=[10_000, 30_000, 100_000])
    command.set_defaults(measure=scaling)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        Console(width=130).print(arguments.measure(arguments, Path(folder)))


if __name__ == "__main__":
    main()
