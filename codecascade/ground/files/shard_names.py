"""How the hub and its libraries number the files of a data set."""

from __future__ import annotations

import re

# Conversions by the hub add a hash of 16 hexadecimal digits to the name.
_NUMBER = re.compile(r"-\d{4,}(?:-of-\d{4,}(?:-[0-9a-f]{16})?)?$")


def without_shard_number(stem: str) -> str:
    """The name of a file, which has no ending any more, without its number among the shards of a part.

    >>> without_shard_number("train-00000-of-00002"), without_shard_number("train-0007"), without_shard_number("a-b")
    ('train', 'train', 'a-b')
    >>> without_shard_number("train-00001-of-00002-a09b74b3ef9c3b56")
    'train'
    """
    return _NUMBER.sub("", stem)
