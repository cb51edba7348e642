"""Dialogues to fine-tune on, from files of any usual format: start at reading.py."""

from codecascade.instruct.dialogues.dialogue import Dialogue, DialogueTable
from codecascade.instruct.dialogues.reading import read_dialogues

__all__ = ["Dialogue", "DialogueTable", "read_dialogues"]
