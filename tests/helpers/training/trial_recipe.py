"""A recipe of three stages, of which two start from the first."""

from __future__ import annotations

RECIPE = """
name = "trial"
base = "tiny"
corpus = "stdlib"

[[stage]]
name = "code"
kind = "code"
parent = "base"
tokens = 500e9

[[stage]]
name = "chat"
kind = "instruct"
parent = "code"
minutes = 3
dialogues = "mined"

[[stage]]
name = "long"
kind = "long_context"
parent = "code"
steps = 100
"""
