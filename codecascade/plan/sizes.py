"""Sizes of memory, as people write them."""

from __future__ import annotations

import re

from codecascade.ground.errors import UserError

_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_LEAST = 10**6
"""No device has less: a smaller number has lost its unit."""


def parse_bytes(text: str) -> int:
    """``80GB`` (decimal), ``80GiB`` (binary) or a number of bytes.

    Raises:
        UserError: it is none of these, or less than a megabyte, as 80 is where 80GB is meant.
    """
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([kKMGT]?)(i?)[bB]?\s*", text)
    if found is None or (found[3] and not found[2]):
        raise UserError(f"must be a size such as 80GB (got {text!r})", key="--memory")
    unit = found[2].upper()
    count = round(float(found[1]) * (_BINARY if found[3] else _UNITS)[unit])
    if count < _LEAST:
        raise UserError(
            f"{text!r} is {count:,} bytes, and must be at least {_LEAST:,}: give the unit, as in 80GB",
            key="--memory",
        )
    return count
