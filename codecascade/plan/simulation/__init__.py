"""One training step on fake tensors and a fake process group: start at step.py."""
