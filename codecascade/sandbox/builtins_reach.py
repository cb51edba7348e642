"""Whether a program's text leaves it any way to change what the tests after it find among the builtins.

To put the builtins back touches a hundred pages of memory, a tenth of a short program's time; most answers to a
benchmark's problems are plain functions, after which it need not be done.
"""

from __future__ import annotations

import re

# What only hands out types and functions of C, in the form in which it can be read without doubt. (Of ``typing`` not
# all: ``get_type_hints`` evaluates strings.)
_TYPES = (
    "Any|Callable|Counter|DefaultDict|Deque|Dict|FrozenSet|Generator|Iterable|Iterator|List|Mapping|NamedTuple|"
    "NoReturn|Optional|Sequence|Set|Tuple|Type|TypeVar|Union"
)
_HARMLESS = re.compile(
    rf"^[ \t]*(?:import math|from math import [\w, ]+|from typing import (?:{_TYPES})(?: *, *(?:{_TYPES}))*)[ \t]*$",
    re.MULTILINE,
)
# Every other module may lead to ``builtins`` under some name (``re.enum.bltns``).
_WAYS = (
    "import",
    "__",
    "sys",
    "modules",
    "builtin",
    "globals",
    "locals",
    "vars",
    "eval",
    "exec",
    "attr",
    "compile",
    "open",
    "breakpoint",
    "frame",
    "code",
)


def may_change_builtins(source: str) -> bool:
    """Whether it can't be told from the text alone that a program leaves the builtins as they are."""
    # Python reads other alphabets' letters in a name as the ASCII letters that they resemble.
    if not source.isascii():
        return True
    if "import" in source:
        source = _HARMLESS.sub("", source)
    return any(way in source for way in _WAYS)
