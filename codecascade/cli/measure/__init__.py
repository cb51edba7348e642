"""The commands that measure models: ``eval``, ``compare``, ``correlations`` and ``sweep``."""
