"""Secrets and personal data out of the texts."""
