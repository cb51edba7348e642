"""Comparisons of finished evaluations: with each other, and with the paper's figures."""
