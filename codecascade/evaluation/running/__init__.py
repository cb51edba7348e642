"""Runs benchmarks, from the settings to the figures. A run that was stopped continues where it was."""
