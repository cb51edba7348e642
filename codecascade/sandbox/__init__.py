"""Runs programs that nobody vouches for, confined and under limits."""
