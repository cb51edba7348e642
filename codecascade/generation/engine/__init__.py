"""The local engine: a model in memory answers requests."""
