"""Checkpoints of a training run: start at checkpoints.py."""
