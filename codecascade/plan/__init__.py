"""What a recipe will cost: start at plan.py; display.py shows it."""
