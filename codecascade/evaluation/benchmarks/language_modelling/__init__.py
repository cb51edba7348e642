"""Benchmarks of the loss on held-out text."""
