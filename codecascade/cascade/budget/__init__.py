"""How long a run takes: steps.py times training, measuring.py the engine, promise.py says it."""
