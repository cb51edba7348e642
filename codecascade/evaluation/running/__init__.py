"""Asking, running and keeping: from a benchmark's tasks to its figures, across stops."""
