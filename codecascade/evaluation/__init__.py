"""What a model can do, in numbers with intervals: benchmarks, their running, and what finished ones say."""
