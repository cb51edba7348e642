"""Training on several ranks: ranks.py says which there are, apply.py shards a model over them."""
