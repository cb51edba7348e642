"""Zip and tar archives, and what they may hold."""
