"""Runs programs that nobody vouches for, confined and under limits.

What holds against a hostile program, and what does not, stands at the top of :mod:`codecascade.sandbox.sandbox`.
"""
