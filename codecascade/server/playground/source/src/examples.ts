// What the editor shows first.

/** Where the cursor is in an example. */
export const CURSOR = "▮";

export const EXAMPLES: Record<string, string> = {
  python: `def mean(numbers: list[float]) -> float:
    """The arithmetic mean; 0 for an empty list."""
    if not numbers:
        return 0.0
    return ▮


def median(numbers: list[float]) -> float:
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
`,
  javascript: `// Calls a function at most once in so many milliseconds.
function throttle(action, milliseconds) {
  let last = 0;
  return (...values) => {
    const now = Date.now();
    ▮
  };
}
`,
  typescript: `interface Item {
  name: string;
  price: number;
  tags: string[];
}

function cheapest(items: Item[], tag: string): Item | undefined {
  let found: Item | undefined;
  for (const item of items) {
    ▮
  }
  return found;
}
`,
  java: `import java.util.List;

public class Statistics {
    /** The arithmetic mean; 0 for an empty list. */
    public static double mean(List<Double> numbers) {
        double sum = 0;
        for (double number : numbers) {
            ▮
        }
        return numbers.isEmpty() ? 0 : sum / numbers.size();
    }
}
`,
  c: `#include <stddef.h>

/* The index of the first occurrence of value, or -1. */
int find(const int *values, size_t count, int value) {
    for (size_t i = 0; i < count; i++) {
        ▮
    }
    return -1;
}
`,
  cpp: `#include <map>
#include <string>
#include <vector>

// How often each word occurs.
std::map<std::string, int> count(const std::vector<std::string>& words) {
    std::map<std::string, int> counts;
    ▮
    return counts;
}
`,
  csharp: `using System.Collections.Generic;

public static class Words
{
    // How often each word occurs.
    public static Dictionary<string, int> Count(IEnumerable<string> words)
    {
        var counts = new Dictionary<string, int>();
        foreach (var word in words)
        {
            ▮
        }
        return counts;
    }
}
`,
  go: `package words

// Count tells how often each word occurs.
func Count(words []string) map[string]int {
\tcounts := make(map[string]int)
\tfor _, word := range words {
\t\t▮
\t}
\treturn counts
}
`,
  rust: `use std::collections::HashMap;

/// How often each word occurs.
fn count<'a>(words: &[&'a str]) -> HashMap<&'a str, usize> {
    let mut counts = HashMap::new();
    for word in words {
        ▮
    }
    counts
}
`,
  bash: `#!/usr/bin/env bash
set -euo pipefail

# Prints the largest files of a folder.
folder="\${1:-.}"
▮
`,
};
