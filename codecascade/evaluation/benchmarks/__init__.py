"""The benchmarks: a file for each, and a table of all."""
