"""What a recipe will cost, and whether it can run at all."""
