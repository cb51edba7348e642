"""Measuring a model on all ranks: generator.py shares the requests out."""
