"""Zip and tar archives, and the checks against hostile ones."""
