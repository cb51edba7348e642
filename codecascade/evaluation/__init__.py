"""Measures what a model can do: benchmarks, how they are run, and comparisons of the results."""
