"""Turns source files into training documents: reading, filtering, deduplication, hold-out, shards."""
