"""Models whose weights are still in their files: start at weights.py, model.py."""
