"""Near-duplicates: texts whose sets of 5-word shingles are nearly the same.

:func:`remove_near_duplicates` works on one machine. It is composed of functions over blocks of texts
(:mod:`.shingles`, :mod:`.signatures`) and over groups of texts (:mod:`.leaders`).
:mod:`codecascade.corpus.engines.ray` uses the same functions on a cluster.
"""

from codecascade.corpus.steps.near.local import REMOVED, Mode, remove_near_duplicates

STEP = "near duplicate"

__all__ = ["REMOVED", "STEP", "Mode", "remove_near_duplicates"]
