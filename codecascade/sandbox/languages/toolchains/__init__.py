"""One small file for each language."""
