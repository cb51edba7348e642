"""Near-duplicates: texts whose sets of 5-word shingles are nearly the same.

:func:`remove_near_duplicates` is for texts on one machine. Its parts are functions over blocks of texts
(:mod:`.shingles`, :mod:`.signatures`) and over the items of a group (:mod:`.leaders`), from which
:mod:`codecascade.corpus.engines.ray` makes the same on a cluster.
"""

from codecascade.corpus.steps.near.local import REMOVED, Mode, remove_near_duplicates

STEP = "near duplicate"

__all__ = ["REMOVED", "STEP", "Mode", "remove_near_duplicates"]
