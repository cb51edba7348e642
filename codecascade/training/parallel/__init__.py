"""Training on several ranks: settings.py says how they share the work, apply.py makes a model parallel."""
