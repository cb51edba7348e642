"""One small file a language."""
