"""Names of licences, as SPDX expressions, and which of them are permissive.

The first form: a distribution's metadata and a repository's licence file, told apart by their wording.
"""

from __future__ import annotations

import re
from email.message import Message

OWN = "own"
UNKNOWN = "unknown"

PERMISSIVE = frozenset(
    [
        "0BSD",
        "AFL-3.0",
        "Apache-2.0",
        "Artistic-2.0",
        "BSD-1-Clause",
        "BSD-2-Clause",
        "BSD-3-Clause",
        "BSD-3-Clause-Clear",
        "BSL-1.0",
        "BlueOak-1.0.0",
        "CC0-1.0",
        "CNRI-Python",
        "HPND",
        "ISC",
        "MIT",
        "MIT-0",
        "MIT-CMU",
        "NCSA",
        "OFL-1.1",
        "PSF-2.0",
        "PostgreSQL",
        "Python-2.0",
        "UPL-1.0",
        "Unicode-3.0",
        "Unicode-DFS-2016",
        "Unlicense",
        "WTFPL",
        "X11",
        "ZPL-2.1",
        "Zlib",
    ]
)
"""SPDX identifiers, of Blue Oak's list where it has them: no copyleft of any strength."""

# The first that is found decides, so what restricts comes before what permits.
_WORDINGS = tuple(
    (spdx, re.compile(pattern, re.IGNORECASE))
    for spdx, pattern in (
        ("AGPL-3.0", r"\bAGPL|Affero General Public"),
        ("LGPL-3.0", r"\bLGPL|Lesser General Public|Library General Public"),
        ("GPL-3.0", r"\bGPL|GNU General Public|GENERAL PUBLIC LICENSE"),
        ("MPL-2.0", r"\bMPL\b|Mozilla Public"),
        ("EPL-2.0", r"\bEPL\b|Eclipse Public"),
        ("Apache-2.0", r"\bApache\b"),
        ("PSF-2.0", r"\bPSF\b|Python Software Foundation"),
        ("ISC", r"\bISC\b"),
        ("BSD-3-Clause", r"\bBSD\b|Redistribution and use in source and binary forms"),
        ("MIT", r"\bMIT\b|Permission is hereby granted, free of charge"),
        ("Zlib", r"\bzlib\b"),
        ("Unlicense", r"\bUnlicense\b|released into the public domain"),
        ("CC0-1.0", r"\bCC0\b"),
        ("HPND", r"\bHPND\b|Historical Permission Notice"),
        ("BSL-1.0", r"\bBoost Software License"),
    )
)
_TOKEN = re.compile(r"\(|\)|[^\s()]+")


def is_permissive(expression: str) -> bool:
    """Whether all of it may be used under a permissive licence; ``own`` counts, ``unknown`` doesn't.

    >>> is_permissive("MIT"), is_permissive("GPL-3.0-only OR (MIT AND 0BSD)"), is_permissive("MIT AND MPL-2.0")
    (True, True, False)
    """
    tokens = _TOKEN.findall(expression)

    def alternatives() -> bool:
        verdict = all_of()
        while tokens and tokens[0].upper() == "OR":
            tokens.pop(0)
            verdict = all_of() or verdict
        return verdict

    def all_of() -> bool:
        verdict = single()
        while tokens and tokens[0].upper() == "AND":
            tokens.pop(0)
            verdict = single() and verdict
        return verdict

    def single() -> bool:
        token = tokens.pop(0) if tokens else ""
        if token == "(":
            verdict = alternatives()
            if tokens:
                tokens.pop(0)
            return verdict
        if len(tokens) > 1 and tokens[0].upper() == "WITH":  # an exception only gives more freedom
            del tokens[:2]
        return token in PERMISSIVE or token == OWN

    verdict = alternatives()
    return verdict and not tokens


def license_of_metadata(metadata: Message) -> str:
    """The licence of a Python distribution (core metadata 2.4 and older).

    ``License-Expression`` speaks first, then a one-line ``License``, then the classifiers (several of them are
    a choice), then the wording of a ``License`` that holds the whole text.
    """
    expression = metadata.get("License-Expression")
    if expression:
        return " ".join(str(expression).split())
    field = str(metadata.get("License") or "").strip()
    if field and "\n" not in field:
        words = _TOKEN.findall(field)
        if all(word in PERMISSIVE | {"AND", "OR", "(", ")"} or word.startswith("MPL-") for word in words):
            return field
        if (named := license_of_text(field)) != UNKNOWN:
            return named
    classifiers = [str(value) for value in metadata.get_all("Classifier") or ()]
    licenses = {
        license_of_text(value.rpartition(" :: ")[2])
        for value in classifiers
        if value.startswith("License :: OSI Approved :: ")
    }
    return " OR ".join(sorted(licenses)) or license_of_text(field)


def license_of_text(text: str) -> str:
    """The licence that a text names or is, by its beginning.

    >>> license_of_text("New BSD License"), license_of_text("All rights reserved.")
    ('BSD-3-Clause', 'unknown')
    """
    start = " ".join(text[:2000].split())  # wordings may be broken into lines
    return next((spdx for spdx, wording in _WORDINGS if wording.search(start)), UNKNOWN)
