"""The local engine: a model in memory completes requests."""
