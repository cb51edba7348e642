"""Languages other than Python: one small file for each, in one table."""
