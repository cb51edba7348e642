"""Dialogues that a run makes itself, by a model: self_instruct.py."""
