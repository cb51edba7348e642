"""Benchmarks of infilling: a part of a function is masked and written again."""
