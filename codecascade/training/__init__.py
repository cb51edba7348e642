"""Training: the loop, what it needs, and the stream of batches that it consumes. Start at loop.py."""
