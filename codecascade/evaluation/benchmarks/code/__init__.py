"""Benchmarks in which a model writes functions or programs, which are run."""
