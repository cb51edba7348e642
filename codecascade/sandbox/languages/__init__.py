"""Programs in other languages than Python: one small file a language, one table."""
