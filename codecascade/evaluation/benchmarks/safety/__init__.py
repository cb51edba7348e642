"""Benchmarks of helpfulness and safety: truth, toxicity, sentiment, refusals."""
