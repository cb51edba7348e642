"""Infilling prompts that clients write as text, such as ``<PRE> a <SUF>b <MID>``."""

from __future__ import annotations


def recognise(text: str) -> tuple[str, str] | None:
    """The prefix and the suffix of a prompt that is an infilling template, whatever family's; None if it is none."""
    return None
