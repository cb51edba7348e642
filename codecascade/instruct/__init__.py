"""Dialogues for instruction fine-tuning: read from files, or mined from a corpus."""
