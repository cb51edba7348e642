"""From what a client sends to a request in token ids."""
