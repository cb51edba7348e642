"""The protocols, one file each; ``table.py`` names them all."""
