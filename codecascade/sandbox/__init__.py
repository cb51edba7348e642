"""Runs untrusted programs, confined and with limits.

The threat model is at the top of :mod:`codecascade.sandbox.sandbox`.
"""
