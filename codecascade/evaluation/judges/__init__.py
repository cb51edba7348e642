"""Judges of answers that no test can check: a local rule, a classifier, a language model, a file of verdicts."""
