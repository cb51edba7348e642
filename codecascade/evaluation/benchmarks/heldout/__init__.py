"""Gaps in held-out files, asked as an editor asks for them."""
