"""Replaces secrets and personal data in texts."""
