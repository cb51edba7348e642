"""What a model can do, in numbers with intervals, and the report of it."""
