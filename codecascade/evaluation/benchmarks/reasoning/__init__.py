"""Benchmarks whose problems are stated in words."""
