"""From what a model generates to what a client reads."""
