"""Reads source text: comments and strings, lines of code, statements; and gaps in it, as people ask for them."""
