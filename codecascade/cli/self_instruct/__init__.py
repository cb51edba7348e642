"""``self-instruct``: the command, and what it shows."""
