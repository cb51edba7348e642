"""Finds the language of a text by its content, if its file name does not say it.

So it is if several languages share the extension, or if there is none.

Each rule is a pattern that occurs in one language and not in the others of the same extension. If no rule matches,
the usual language of the extension is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from codecascade.corpus.reading.languages import (
    EXTENSIONS,
    FILE_NAMES,
    INTERPRETERS,
    language_by_alias,
    language_by_shebang,
)

_EXAMINED = 50_000
"""Characters at the beginning of a text that the rules look at."""


def _rules(rules: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    # `^\s*` would also cross empty lines, and take quadratic time on many of them; one line is enough.
    return {
        extension: [
            (language, re.compile(sign.replace(r"^\s*", r"^[^\S\n]*+"), re.MULTILINE))
            for language, sign in signs
        ]
        for extension, signs in rules.items()
    }


_OBJECTIVE_C = (
    r"^\s*(?:@(?:interface|class|protocol|property|end|implementation|synthesize|import)\b|#import\s)"
)
_CPP = (
    r"^\s*(?:template\s*<|class\s+\w++[^;]*$|namespace\s+\w*\s*\{?|using\s+(?:namespace|\w+\s*=)|(?:public|private|protected):)"
    r"|\bstd::\w|^\s*#\s*include\s*<(?:string|vector|map|memory|iostream|utility|functional|algorithm|cstdint)>"
    r"|\b(?:constexpr|nullptr|noexcept|static_cast<|virtual\s+~?\w)"
)
_PROLOG = r"^[a-z]\w*\([^)]*\)\s*:-|^:-\s*\w"
_PERL = r"^\s*(?:use\s+(?:strict|warnings|v?5)|my\s*[$@%(]|sub\s+\w+|package\s+\w)|^#!.*perl"
CONTENT_RULES = _rules(
    {
        ".as": [("angelscript", r"^\s*(?:shared|interface|#include)\b.*@")],
        ".cl": [
            ("opencl", r"\b__?kernel\b|\b__global\b"),
            ("common lisp", r"^\s*\((?:defun|in-package|defpackage)\b"),
        ],
        ".cls": [
            ("tex", r"\\(?:NeedsTeXFormat|ProvidesClass)"),
            ("visual basic", r"^\s*(?:VERSION \d|Attribute VB_)"),
            ("apex", r"^\s*(?:public|global|private)\b.*\bclass\b"),
        ],
        ".d": [
            ("d", r"^\s*(?:module|import|version|unittest|struct|class|void|auto)\b"),
            ("makefile", r"^[^\s#:]+\.\w+\s*:(?:[^=]|$)"),
        ],
        ".fs": [
            ("glsl", r"^\s*(?:#version|uniform|varying|precision|void\s+main\s*\()"),
            ("forth", r"^:\s+\S+.*;\s*$"),
        ],
        ".h": [("objective-c", _OBJECTIVE_C), ("c++", _CPP)],
        ".html": [("jinja", r"\{%-?\s*(?:extends|block|for|if)\b")],
        ".inc": [
            ("php", r"<\?php"),
            ("pascal", r"^\s*(?:procedure|function)\b.*;"),
            ("assembly", r"^\s*(?:%macro|\.macro|section)\b"),
            ("c++", r"^\s*#\s*(?:include|define|if)|[;{}]\s*$"),
        ],
        ".m": [
            ("objective-c", _OBJECTIVE_C + r"|^\s*#\s*(?:include|define|pragma)\b"),
            ("matlab", r"^\s*(?:function\b|%|classdef\b|end\b|\w+\s*=.*;\s*$)"),
        ],
        ".mod": [
            ("modula-2", r"^\s*(?:DEFINITION |IMPLEMENTATION )?MODULE\b"),
            ("go module", r"^module\s+\S+\s*$"),
        ],
        ".php": [("hack", r"^<\?hh\b")],
        ".pl": [("perl", _PERL), ("prolog", _PROLOG)],
        ".pm": [("raku", r"^\s*use\s+v6\b")],
        ".pro": [("prolog", _PROLOG), ("qmake", r"^\s*(?:QT|SOURCES|HEADERS|TEMPLATE|CONFIG)\s*[+*-]?=")],
        ".r": [("rebol", r"^\s*REBOL\b")],
        ".sc": [
            ("supercollider", r"^\s*(?:SynthDef|\(\s*$|~\w+\s*=)"),
            ("scala", r"^\s*(?:import|object|val|def|class)\b"),
        ],
        ".st": [
            ("smalltalk", r"^\s*(?:!\w|\w+ class\b|Object subclass:)"),
            ("html", r"<[a-z]+[ >]|\$\w+\$"),
        ],
        ".t": [
            ("perl", r"^\s*(?:use\s+|my\s*[$@%(])|^#!.*perl"),
            ("turing", r"^\s*var\s+\w+\s*:\s*\w+"),
        ],
        ".ts": [("qt translation", r"^\s*<(?:\?xml|!DOCTYPE TS)")],
        ".tsx": [("tiled", r"^\s*<\?xml")],
        ".v": [
            ("coq", r"^\s*(?:Require|Theorem|Lemma|Definition|Proof|Inductive|Fixpoint|Module\s+\w+\.)\b"),
            ("v", r"^\s*(?:(?:pub\s+)?fn\s+\w+\(|import\s+\w+(?:\.\w+)*\s*$|module\s+\w+\s*$)"),
        ],
    }
)
NOT_CODE = frozenset({"go module", "qt translation", "tiled", "qmake"})
"""Other formats that use these extensions. They are no programming languages, so a corpus leaves them out."""

POSSIBLE_LANGUAGES = {
    extension: {language for language, _ in signs} for extension, signs in CONTENT_RULES.items()
}

_LONGEST_MODE_LINE = 500
_MODE_LINE = re.compile(
    r"-\*-\s*(?:[^*\n]*\bmode:\s*)?([\w+#-]+)\s*(?:;[^*\n]*)?-\*-"
    r"|\bvim?:[^\n]*\b(?:ft|filetype|syntax)=(\w+)"
)
LANGUAGES = frozenset(
    {*EXTENSIONS.values(), *FILE_NAMES.values(), *INTERPRETERS.values()}.union(*POSSIBLE_LANGUAGES.values())
    - NOT_CODE
)
"""All languages that a file may turn out to be in."""


def language_by_content(text: str, extension: str, guess: str) -> str:
    """The language of a text whose extension (lower case, with the dot) suggests ``guess``; "" if it is unknown.

    >>> language_by_content("namespace a { class B; }", ".h", "c"), language_by_content("int f(void);", ".h", "c")
    ('c++', 'c')
    >>> language_by_content("#!/usr/bin/env python3", "", "")
    'python'
    """
    start = text[:_EXAMINED]
    for language, sign in CONTENT_RULES.get(extension, ()):
        if sign.search(start):
            return "" if language in NOT_CODE else language
    return guess or language_by_shebang(start[:200]) or language_by_mode_line(start) or ""


def language_by_mode_line(text: str) -> str | None:
    """The language that an Emacs or Vim mode line names in the first five lines."""
    lines = [line[:_LONGEST_MODE_LINE] for line in text.split("\n", 5)[:5]]
    match = _MODE_LINE.search("\n".join(lines))
    if match is None:
        return None
    mode = language_by_alias(match[1] or match[2])
    return mode if mode in LANGUAGES else None
