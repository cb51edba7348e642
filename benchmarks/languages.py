"""Seconds for a program in each language: plain commands without confinement, beside our sandbox, in one run.

    python benchmarks/languages.py                          # every language whose toolchain is here, a few minutes
    python benchmarks/languages.py --languages cpp,java --programs 8

The plain side runs the commands that MultiPL-E's runner starts for each program: its compiler, then the program. Ours
is ``Sandbox.run``, which gives the same verdict with a precompiled header or a compiler that keeps running. Every
program differs from all others, so that no compilation is found in a cache. The two sides take turns. ``first`` is
our first program, which starts the compiler; on a new machine it also prepares the toolchain, so run the benchmark
twice. Both sides must give the same verdicts.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from codecascade.sandbox.languages.table import canonical_name, toolchain
from codecascade.sandbox.program import Program
from codecascade.sandbox.sandbox import Sandbox


@dataclass(frozen=True)
class LanguageCase:
    """A program in one language, and the commands that a plain runner starts.

    In ``text``, ``SEED`` is replaced by a number that makes each program a new one.
    """

    file: str
    commands: tuple[tuple[str, ...], ...]
    text: str


CASES = {
    "cpp": LanguageCase(
        "program.cpp",
        (("g++", "-std=c++17", "program.cpp", "-o", "program"), ("./program",)),
        """#include<assert.h>
#include<bits/stdc++.h>
// The numbers above a bound, sorted, each once.
std::vector<long> above(std::vector<long> numbers, long bound) {
    std::set<long> found;
    for (auto number : numbers) if (number > bound) found.insert(number);
    return std::vector<long>(found.begin(), found.end());
}
int main() {
    auto candidate = above;
    assert(candidate((std::vector<long>({(long)3, (long)9, (long)9, (long)SEED})), (5))
        == (std::vector<long>({(long)9, (long)SEED})));
    assert(candidate((std::vector<long>()), (5)) == (std::vector<long>()));
}
""",
    ),
    "java": LanguageCase(
        "Problem.java",
        (("javac", "-encoding", "UTF8", "-d", ".", "Problem.java"), ("java", "-ea", "-cp", ".", "Problem")),
        """import java.util.*;
import java.util.stream.*;
class Problem {
    // The numbers above a bound, sorted, each once.
    public static ArrayList<Long> above(ArrayList<Long> numbers, long bound) {
        return numbers.stream().filter(number -> number > bound).distinct().sorted()
            .collect(Collectors.toCollection(ArrayList::new));
    }
    public static void main(String[] args) {
    assert(above((new ArrayList<Long>(Arrays.asList((long)3l, (long)9l, (long)9l, (long)SEEDl))), (5l))
        .equals((new ArrayList<Long>(Arrays.asList((long)9l, (long)SEEDl)))));
    assert(above((new ArrayList<Long>(Arrays.asList())), (5l)).equals((new ArrayList<Long>(Arrays.asList()))));
    }

}
""",
    ),
    "typescript": LanguageCase(
        "program.ts",
        (("tsc", "--target", "esnext", "program.ts"), ("node", "program.js")),
        """//The numbers above a bound, sorted, each once.
function above(numbers: number[], bound: number): number[] {
    return [...new Set(numbers.filter((number) => number > bound))].sort((a, b) => a - b);
}
declare var require: any;
const assert = require('node:assert');


function test() {
  let candidate = above;
  assert.deepEqual(candidate([3, 9, 9, SEED], 5),[9, SEED]);
  assert.deepEqual(candidate([], 5),[]);
}

test();""",
    ),
    "javascript": LanguageCase(
        "program.js",
        (("node", "program.js"),),
        """//The numbers above a bound, sorted, each once.
function above(numbers, bound){
    return [...new Set(numbers.filter((number) => number > bound))].sort((a, b) => a - b);
}
const assert = require('node:assert');


function test() {
  let candidate = above;
  assert.deepEqual(candidate([3, 9, 9, SEED], 5),[9, SEED]);
  assert.deepEqual(candidate([], 5),[]);
}

test();""",
    ),
    "csharp": LanguageCase(
        "program.cs",
        (("mcs", "-d:DEBUG", "-r:System.Numerics.dll", "program.cs"), ("mono", "program.exe")),
        """using System;
using System.Numerics;
using System.Diagnostics;
using System.Collections.Generic;
using System.Linq;
class Problem {
    // The numbers above a bound, sorted, each once.
    public static List<long> Above(List<long> numbers, long bound) {
        return numbers.Where(number => number > bound).Distinct().OrderBy(number => number).ToList();
    }
    public static void Main(string[] args) {
    Debug.Assert(Above((new List<long>(new long[]{(long)3L, (long)9L, (long)9L, (long)SEEDL})), (5L))
        .SequenceEqual((new List<long>(new long[]{(long)9L, (long)SEEDL}))));
    Debug.Assert(Above((new List<long>()), (5L)).SequenceEqual((new List<long>())));
    }

}
""",
    ),
    "php": LanguageCase(
        "program.php",
        (("php", "program.php"),),
        """<?php
// The numbers above a bound, sorted, each once.
function above($numbers, $bound) {
    $found = array_unique(array_filter($numbers, fn($number) => $number > $bound));
    sort($found);
    return $found;
}

function candidate(...$args) {
    return above(...$args);
}

function test(): void {
    if (candidate(array(3, 9, 9, SEED), 5) !== array(9, SEED)) { throw new Exception("Test failed!"); }
    if (candidate(array(), 5) !== array()) { throw new Exception("Test failed!"); }
}

test();""",
    ),
    "bash": LanguageCase(
        "program.sh",
        (("bash", "program.sh"),),
        """#!/bin/bash
# The numbers above a bound, sorted, each once.
above() {
    for number in $1; do (( number > $2 )) && echo "$number"; done | sort -nu | xargs
}

candidate() {
    above "$@"
}

set -e
run_test() {
    [[ $(candidate "3 9 9 SEED" "5") = "9 SEED" ]]
    [[ $(candidate "" "5") = "" ]]
}

run_test""",
    ),
    "rust": LanguageCase(
        "program.rs",
        (("rustc", "program.rs", "-o", "program"), ("./program",)),
        """// The numbers above a bound, sorted, each once.
fn above(numbers: Vec<isize>, bound: isize) -> Vec<isize> {
    let found: std::collections::BTreeSet<isize> = numbers.into_iter().filter(|&n| n > bound).collect();
    found.into_iter().collect()
}

fn main() {
    let candidate = above;
    assert_eq!(candidate(vec![3, 9, 9, SEED], 5), vec![9, SEED]);
    assert_eq!(candidate(Vec::<isize>::new(), 5), Vec::<isize>::new());
}
""",
    ),
}


def passes_plain(case: LanguageCase, text: str) -> bool:
    """Whether a program passes, by the exit status of the plain commands."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, case.file).write_text(text)
        environment = {**os.environ, "MONO_TRACE_LISTENER": "Console.Error"}
        for command in case.commands:
            done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
            if done.returncode or b"DefaultTraceListener.Fail" in done.stderr:
                return False
    return True


def timed(run: Callable[[], bool]) -> tuple[float, bool]:
    started = time.perf_counter()
    passed = run()
    return time.perf_counter() - started, passed


def measure(name: str, programs: int) -> dict[str, float | int]:
    """Median times over ``programs`` programs. Every fourth program is wrong."""
    case = CASES[name]
    plain: list[float] = []
    ours: list[float] = []
    agreed = 0
    with Sandbox(workers=1) as sandbox:
        first, _ = timed(lambda: sandbox.run(Program(case.text.replace("SEED", "99"), name)).passed)
        for number in range(programs):
            text = case.text.replace("SEED", str(100 + number))
            if number % 4 == 3:
                text = text.replace("9, 9,", "9, 8,").replace("9l, (long)9l", "9l, (long)8l")
                text = text.replace("9L, (long)9L", "9L, (long)8L").replace(
                    "(long)9, (long)9", "(long)9, (long)8"
                )
                text = text.replace("3 9 9 ", "3 9 8 ")
            seconds, expected = timed(lambda text=text: passes_plain(case, text))  # type: ignore[misc]
            plain.append(seconds)
            seconds, passed = timed(lambda text=text: sandbox.run(Program(text, name)).passed)  # type: ignore[misc]
            ours.append(seconds)
            agreed += passed is expected
    return {
        "plain": round(statistics.median(plain), 4),
        "ours": round(statistics.median(ours), 4),
        "first": round(first, 3),
        "ratio": round(statistics.median(plain) / statistics.median(ours), 2),
        "programs": programs,
        "agreed": agreed,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--languages", default=",".join(CASES), help="of these")
    parser.add_argument("--programs", type=int, default=12, help="of each language")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args()
    table = Table("language", "plain, s", "ours, s", "times as fast", "first, s", "same verdicts")
    figures: dict[str, dict[str, float | int]] = {}
    for name in map(canonical_name, options.languages.split(",")):
        if toolchain(name) is None:
            table.add_row(name, "toolchain missing")
            continue
        row = figures[name] = measure(name, options.programs)
        cells = (f"{row[key]:.3f}" for key in ("plain", "ours"))
        table.add_row(
            name, *cells, f"{row['ratio']:.1f}", f"{row['first']:.1f}", f"{row['agreed']}/{row['programs']}"
        )
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
