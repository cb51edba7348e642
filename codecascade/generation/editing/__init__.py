"""Completions at an editor's cursor: where they end, and what of a repository the model sees."""
