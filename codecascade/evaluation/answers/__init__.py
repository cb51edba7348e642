"""Extracts the answer from what a model wrote: programs from replies and texts; and compares texts."""
