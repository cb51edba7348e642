"""Functions and programs that are run."""
