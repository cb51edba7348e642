"""Parts of functions that are written again."""
