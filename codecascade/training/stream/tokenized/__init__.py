"""Tokenised shards of a corpus, kept for later epochs, stages and runs: start at cache.py."""
