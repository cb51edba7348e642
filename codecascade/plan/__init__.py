"""What a recipe will cost: start at plan.py. Memory is counted in memory.py, the plan is shown by table.py."""
