"""Normalises the names of licences to SPDX expressions, and decides which ones are permissive.

Licences come from a package's metadata, a repository's licence file and the first lines of a source file.
Expressions are parsed by ``license-expression``, full licence texts are recognised by ``identify``. If neither
knows the licence, its wording decides.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable
from email.message import Message
from functools import cache, lru_cache
from typing import Any

from boolean.boolean import ParseError
from identify.identify import license_id
from license_expression import (
    ExpressionError,
    LicenseSymbol,
    LicenseWithExceptionSymbol,
    get_spdx_licensing,
)

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
        "LicenseRef-scancode-public-domain",
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
"""SPDX identifiers of permissive licences, from the Blue Oak list where it has them: no copyleft of any strength."""

# The first match decides, so restrictive licences come before permissive ones.
_WORDINGS = tuple(
    (spdx, re.compile(pattern, re.IGNORECASE))
    for spdx, pattern in (
        ("AGPL-3.0-only", r"\bAGPL|Affero General Public"),
        ("LGPL-3.0-only", r"\bLGPL|Lesser General Public|Library General Public"),
        ("GPL-3.0-only", r"\bGPL|GNU General Public|GENERAL PUBLIC LICENSE"),
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
_SPDX_TAG = re.compile(r"SPDX-License-Identifier:[ \t]*([^\r\n]+)")
_GNU_NOTICE = re.compile(
    r"(?:terms of|under|licen[cs]ed).{0,40}\bGNU (?:(Lesser|Library|Affero) )?General Public Licen[cs]e",
    re.IGNORECASE,
)
_COMMENT_SIGNS = re.compile(r"^[ \t]*(?:#+|//+|/?\*+|;+|--|%+|dnl\b|REM\b)", re.MULTILINE)
_HEADER = 3000
_SHORTEST_LICENSE, _LONGEST_LICENSE = 400, 100_000
_UNPARSEABLE = (ExpressionError, ParseError)

LICENSE_FILES = ("license", "licence", "copying", "unlicense")
"""How the names of licence files begin, in lower case."""


_licensing = cache(get_spdx_licensing)


@lru_cache(maxsize=10_000)
def is_permissive(expression: str) -> bool:
    """Whether a work may be used under a permissive licence; ``own`` counts as permissive, ``unknown`` does not.

    >>> is_permissive("MIT"), is_permissive("GPL-3.0-only OR (MIT AND 0BSD)"), is_permissive("MIT AND MPL-2.0")
    (True, True, False)
    """
    if expression in (OWN, UNKNOWN):
        return expression == OWN
    try:
        parsed = _licensing().parse(expression)
    except _UNPARSEABLE:
        return False
    return parsed is not None and _permits(parsed)


def _permits(node: Any) -> bool:
    # An exception only grants more freedom.
    if isinstance(node, LicenseWithExceptionSymbol):
        return node.license_symbol.key in PERMISSIVE
    if isinstance(node, LicenseSymbol):
        return node.key in PERMISSIVE or node.key == OWN
    verdicts = [_permits(part) for part in node.args]
    return any(verdicts) if isinstance(node, _licensing().OR) else all(verdicts)


@lru_cache(maxsize=10_000)
def normalised_license(expression: str) -> str:
    """An SPDX expression with identifiers as SPDX spells them; any other text is recognised by its wording.

    >>> normalised_license("mit or apache-2.0"), normalised_license("New BSD License")
    ('MIT OR Apache-2.0', 'BSD-3-Clause')
    """
    expression = " ".join(expression.split())
    if expression in ("", OWN, UNKNOWN):
        return expression or UNKNOWN
    try:
        parsed = _licensing().parse(expression, validate=True)
    except _UNPARSEABLE:
        return license_from_text(expression)
    return str(parsed) if parsed is not None else UNKNOWN


def combined_license(licenses: Iterable[str]) -> str:
    """The licence of a folder with several licence files: all known ones apply.

    >>> combined_license(["unknown", "MIT", "Apache-2.0", "MIT"])
    'Apache-2.0 AND MIT'
    """
    known = sorted(set(licenses) - {UNKNOWN})
    return " AND ".join(f"({one})" if " OR " in one else one for one in known) if known else UNKNOWN


def license_from_metadata(metadata: Message) -> str:
    """The licence of a Python distribution (core metadata 2.4 and older).

    In this order: ``License-Expression``, a one-line ``License``, the classifiers (several are alternatives), the
    wording of a ``License`` field that contains a full text.
    """
    expression = metadata.get("License-Expression")
    if expression:
        return normalised_license(str(expression))
    field = str(metadata.get("License") or "").strip()
    if field and "\n" not in field and (named := normalised_license(field)) != UNKNOWN:
        return named
    classifiers = [str(value) for value in metadata.get_all("Classifier") or ()]
    licenses = {
        license_from_text(value.rpartition(" :: ")[2])
        for value in classifiers
        if value.startswith("License :: OSI Approved :: ")
    }
    return " OR ".join(sorted(licenses)) or license_from_text(field)


@lru_cache(maxsize=10_000)
def license_from_text(text: str) -> str:
    """The licence of a licence text: a well-known text by comparison (``identify``), else by the words at its
    beginning.

    >>> license_from_text("New BSD License"), license_from_text("All rights reserved.")
    ('BSD-3-Clause', 'unknown')
    """
    if _SHORTEST_LICENSE <= len(text) <= _LONGEST_LICENSE and (known := _known_text(text)):
        return known
    # Phrases may be broken into lines.
    start = " ".join(text[:2000].split())
    return next((spdx for spdx, wording in _WORDINGS if wording.search(start)), UNKNOWN)


def license_from_header(text: str) -> str | None:
    """The licence that a source file states in its first lines: an SPDX tag, or a standard GNU notice.

    >>> license_from_header("// SPDX-License-Identifier: Apache-2.0 OR MIT\\nint x;")
    'Apache-2.0 OR MIT'
    """
    start = text[:_HEADER]
    if match := _SPDX_TAG.search(start):
        return normalised_license(match[1].removesuffix("*/").removesuffix("-->").strip())
    if "General Public" in start or "General\n" in start:
        words = " ".join(_COMMENT_SIGNS.sub(" ", start).split())
        if match := _GNU_NOTICE.search(words):
            return {"Lesser": "LGPL-3.0-only", "Library": "LGPL-2.0-only", "Affero": "AGPL-3.0-only"}.get(
                match[1] or "", "GPL-3.0-only"
            )
    return None


def _known_text(text: str) -> str | None:
    # `identify` only takes files. Empty lines mean nothing to it, but would take it quadratic time.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as file:
        file.write("\n".join(line for line in text.split("\n") if line.strip()))
        file.flush()
        found: str | None = license_id(file.name)
    return found
