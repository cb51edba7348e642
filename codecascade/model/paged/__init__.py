"""How the rows of a pass get to their keys in a cache of blocks."""
