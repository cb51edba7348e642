"""Programs in every language, in the shape of MultiPL-E's: a function to complete, then tests that know its name."""

from __future__ import annotations

from dataclasses import dataclass

# What a completion may be, and the outcome that it must have.
# One that leaves has exit status 0 before the tests; a broken one does not compile, or parse.
EXPECTED = {"right": "passed", "wrong": "failed", "leaves": "failed", "broken": "failed"}
EXPECTED |= {"endless": "timed_out", "flood": "timed_out", "hungry": "out_of_memory"}


@dataclass(frozen=True)
class Sample:
    """``text`` with ``BODY`` where a completion goes; completions of each kind of :data:`EXPECTED`."""

    text: str
    right: str
    wrong: str
    leaves: str
    broken: str
    endless: str
    flood: str
    hungry: str

    def program(self, kind: str) -> str:
        completion: str = getattr(self, kind)
        return self.text.replace("BODY", completion)


SAMPLES = {
    "cpp": Sample(
        text="""#include<assert.h>
#include<bits/stdc++.h>
// The sum of two numbers.
long add(long x, long y) {
    BODY
}
int main() {
    auto candidate = add;
    assert(candidate((0), (1)) == (1));
    assert(candidate((2), (3)) == (5));
}
""",
        right="return x + y;",
        wrong="return x - y;",
        leaves="exit(0);",
        broken="return x + unknown;",
        endless="volatile long n = 0; while (true) n++;",
        flood='while (true) std::cout << "0123456789abcdef\\n";',
        hungry="std::vector<std::string> all; while (true) all.push_back(std::string(1 << 20, 'x'));",
    ),
    "java": Sample(
        text="""import java.util.*;
import org.javatuples.*;
class Problem {
    // The sum and the difference of two numbers.
    public static Pair<Long, Long> both(long x, long y) {
        BODY
    }
    public static void main(String[] args) {
    assert(both((1l), (2l)).equals((Pair.with(3l, -1l))));
    }

}
""",
        right="return Pair.with(x + y, x - y);",
        wrong="return Pair.with(x - y, x + y);",
        leaves="System.exit(0); return null;",
        broken="return Pair.with(x + unknown, x - y);",
        endless="while (x < 5) y++; return null;",
        flood='while (x < 5) System.out.println("0123456789abcdef"); return null;',
        hungry="List<long[]> all = new ArrayList<>(); while (x < 5) all.add(new long[1 << 17]); return null;",
    ),
    "php": Sample(
        text="""<?php
// The sum of two numbers.
function add($x, $y) {
    BODY
}

function candidate(...$args) {
    return add(...$args);
}

function test(): void {
    if (candidate(0, 1) !== 1) { throw new Exception("Test failed!"); }
    if (candidate(2, 3) !== 5) { throw new Exception("Test failed!"); }
}

test();""",
        right="return $x + $y;",
        wrong="return $x - $y;",
        leaves="exit(0);",
        broken="return $x + ;",
        endless="while (true);",
        flood='while (true) echo "0123456789abcdef\\n";',
        hungry="$all = []; while (true) $all[] = str_repeat('x', 1 << 20);",
    ),
    "javascript": Sample(
        text="""//The sum of two numbers.
function add(x, y){
    BODY
}
const assert = require('node:assert');


function test() {
  let candidate = add;
  assert.deepEqual(candidate(0, 1),1);
  assert.deepEqual(candidate(2, 3),5);
}

test();""",
        right="return x + y;",
        wrong="return x - y;",
        leaves="process.exit(0);",
        broken="return x + ;",
        endless="while (true);",
        flood="while (true) require('fs').writeSync(1, '0123456789abcdef\\n');",
        hungry="const all = []; while (true) all.push(new Array(1 << 17).fill(x));",
    ),
    "typescript": Sample(
        text="""//The sum of two numbers.
function add(x: number, y: number): number {
    BODY
}
declare var require: any;
const assert = require('node:assert');


function test() {
  let candidate = add;
  assert.deepEqual(candidate(0, 1),1);
  assert.deepEqual(candidate(2, 3),5);
}

test();""",
        right="return x + y;",
        wrong="return x - y;",
        leaves='globalThis["process"].exit(0); return 1;',
        # Wrong in its type only.
        broken='return "3";',
        endless="while (true);",
        flood="while (true) require('fs').writeSync(1, '0123456789abcdef\\n');",
        hungry="const all: number[][] = []; while (true) all.push(new Array(1 << 17).fill(x));",
    ),
    "csharp": Sample(
        text="""using System;
using System.Numerics;
using System.Diagnostics;
using System.Collections.Generic;
using System.Linq;
class Problem {
    // The sum of two numbers.
    public static long Add(long x, long y) {
        BODY
    }
    public static void Main(string[] args) {
    Debug.Assert(Add((0L), (1L)) == (1L));
    Debug.Assert(Add((2L), (3L)) == (5L));
    }

}
""",
        right="return x + y;",
        wrong="return x - y;",
        leaves="Environment.Exit(0); return 1;",
        broken="return x + unknown;",
        endless="while (x < 5) y++; return 1;",
        flood='while (x < 5) Console.WriteLine("0123456789abcdef"); return 1;',
        hungry="var all = new List<long[]>(); while (x < 5) all.Add(new long[1 << 17]); return 1;",
    ),
    "bash": Sample(
        text="""#!/bin/bash
# The sum of two numbers.
add() {
    BODY
}

candidate() {
    add "$@"
}

set -e
run_test() {
    [[ $(candidate "0" "1") = "1" ]]
    [[ $(candidate "2" "3") = "5" ]]
}

run_test""",
        right="echo $(($1 + $2))",
        wrong="echo $(($1 - $2))",
        leaves=":\n}\nexit 0\nadd() {\n    :",
        broken="if; fi",
        endless="while true; do :; done",
        flood="while true; do echo 0123456789abcdef >&2; done",
        hungry="local x=0123456789abcdef; while true; do x=$x$x; done",
    ),
    "go": Sample(
        text="""package add_test

import (
    "testing"
    "fmt"
)

// The sum of two numbers.
func add(x int, y int) int {
    BODY
}

func TestAdd(t *testing.T) {
  candidate := add
	type test struct {
		actual   interface{}
		expected interface{}
	}
   tests := []test{
     { actual: candidate(0, 1), expected: 1 },
     { actual: candidate(2, 3), expected: 5 },
   }

	for i, tc := range tests {
		t.Run(fmt.Sprintf("test num % d", i), func(t *testing.T) {
			if fmt.Sprintf("%v", tc.actual) != fmt.Sprintf("%v", tc.expected) {
				t.Errorf("expected '%s', got '%s'", tc.expected, tc.actual)
			}
		})
	}
}
""",
        right="return x + y",
        wrong="return x - y",
        leaves="panic(nil)",
        broken="return x + unknown",
        endless="for { x++ }",
        flood='for { fmt.Println("0123456789abcdef") }',
        hungry="all := [][]byte{}; for { all = append(all, make([]byte, 1<<20)); all[len(all)-1][x] = 1 }",
    ),
    "rust": Sample(
        text="""// The sum of two numbers.
fn add(x: isize, y: isize) -> isize {
    BODY
}

fn main() {
    let candidate = add;
    assert_eq!(candidate(0, 1), 1);
    assert_eq!(candidate(2, 3), 5);
}
""",
        right="x + y",
        wrong="x - y",
        leaves="std::process::exit(0)",
        broken="x + unknown",
        endless="loop {}",
        flood='loop { println!("0123456789abcdef") }',
        hungry="let mut all = Vec::new(); loop { all.push(vec![x as u8 + 1; 1 << 20]) }",
    ),
    "perl": Sample(
        text="""# The sum of two numbers.
sub add {
    my($x, $y) = @_;
    BODY
}
use Test::Deep;


sub testhumaneval {
    my $candidate = \\&add;
        if(eq_deeply($candidate->(0, 1),1)) {
        print "ok!" }else{
        exit 1;
        }
}

testhumaneval();""",
        right="return $x + $y;",
        wrong="return $x - $y;",
        leaves="exit 0;",
        broken="return $x + ;",
        endless="while (1) {}",
        flood='while (1) { print "0123456789abcdef\\n" }',
        hungry="my $all = 'x' x 1024; while (1) { $all .= $all }",
    ),
    "ruby": Sample(
        text="""# The sum of two numbers.
def add(x, y)
    BODY
end
require 'test/unit'
class TestHumanEval < Test::Unit::TestCase
  def test_add
    candidate = method(:add)
    assert_equal(1, candidate.call(0, 1))
    assert_equal(5, candidate.call(2, 3))
  end
end
""",
        right="x + y",
        wrong="x - y",
        leaves="exit(0)",
        broken="x + )",
        endless="while true do end",
        flood='while true do puts "0123456789abcdef" end',
        hungry="all = []; while true do all << 'x' * (1 << 20) end",
    ),
    "lua": Sample(
        text="""-- The sum of two numbers.
local function add(x, y)
    BODY
end
lu = require('luaunit')

function test_humaneval()
local candidate = add
    lu.assertEquals(candidate(0, 1), 1)
    lu.assertEquals(candidate(2, 3), 5)
end

os.exit(lu.LuaUnit.run())""",
        right="return x + y",
        wrong="return x - y",
        leaves="os.exit(0)",
        broken="return x + )",
        endless="while true do end",
        flood='while true do print("0123456789abcdef") end',
        hungry="local all = {}; while true do all[#all + 1] = string.rep('x', 1 << 20) .. #all end",
    ),
    "r": Sample(
        text="""# The sum of two numbers.
add <- function(x, y) {
    BODY
}
test_humaneval <- function() {
    candidate <- add
    stopifnot(isTRUE(all.equal(candidate(0, 1), 1)))
    stopifnot(isTRUE(all.equal(candidate(2, 3), 5)))
}
test_humaneval()""",
        right="x + y",
        wrong="x - y",
        leaves="quit(status = 0)",
        broken="x + )",
        endless="while (TRUE) {}",
        flood='repeat cat("0123456789abcdef\\n")',
        hungry="numeric(1e9)",
    ),
}
