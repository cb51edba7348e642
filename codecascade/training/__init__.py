"""The stream of training batches and the loop that consumes it."""
