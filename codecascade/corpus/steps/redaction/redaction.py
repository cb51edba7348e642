"""Replaces secrets and personal data by placeholders: keys, passwords, e-mail and IP addresses.

Keys are found by the patterns of ``detect-secrets`` (applied to whole texts), as private key blocks, and as
random-looking strings that are assigned to a name like key, secret, token or password. Names of people are not
looked for, because that takes a model. The placeholders are StarCoder's.
"""

from __future__ import annotations

import ipaddress
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from detect_secrets.core.plugins.util import get_mapping_from_secret_type_to_class
from detect_secrets.plugins.basic_auth import BasicAuthDetector
from detect_secrets.plugins.high_entropy_strings import Base64HighEntropyString
from detect_secrets.plugins.ip_public import IPPublicDetector
from detect_secrets.plugins.private_key import PrivateKeyDetector

from codecascade.corpus.output import dropped
from codecascade.corpus.steps.redaction.emails import find_emails
from codecascade.corpus.steps.step import StepOutcome

STEP = "redact"

EMAIL, KEY, PASSWORD, IP_ADDRESS = "<EMAIL>", "<KEY>", "<PASSWORD>", "<IP_ADDRESS>"

_NO_KEYS = (IPPublicDetector, PrivateKeyDetector, BasicAuthDetector)
_VAGUE = ("ArtifactoryDetector",)
"""This detector matches any word of eleven characters that begins with AP and a digit or A to F."""

_IP = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]*\d)(?!\w)")
_VERSION_BEFORE = re.compile(
    r"(?i)(?:version|release|\bver|\bv|[=<>~^]=|[<>~^]|_?sdk|build|firmware|assembly)[^\w\n]{0,12}$"
    # A product's (Chrome/81.0.4044.111), an archive's (oracle-19.3.0.1.zip), an image's (oracle/database:19.3.0.1), a
    # library's (com.oracle:ojdbc8:12.2.0.1), a package's (install foo=14.2.0.1).
    r"|(?:versions|releases)[^\w\n]{0,12}(?:\d[\d.]*[^\w\n.]{1,6})*$"
    r"|\w/$|[A-Za-z]\w*-$|(?<!/)\b[\w-]+/[\w./-]*\w:$|\w:[\w.-]+:$|\b(?:install|add)\b[^\n]*\s[\w.+-]+=(?:\d+:)?$"
)
_ADDRESS_BEFORE = re.compile(
    r"(?i)(?<![a-z])ip(?:s|v4)?(?![a-z])|addr|host|server|dns|proxy|gateway|peer|listen|bind|socket|connect|network"
    r"|subnet|rout(?:e|ing)|firewall|remote|client|vpn|\burl|\b(?:ssh|scp|ping|curl|telnet|nmap)\b|(?:://|@)$"
)
_ADDRESS_BEHIND = re.compile(r":\d|/\d")
"""A port, or the length of a network's prefix."""
_PUBLIC_SERVERS = frozenset(
    [
        "8.8.8.8",
        "8.8.4.4",
        "1.1.1.1",
        "1.0.0.1",
        "76.76.19.19",
        "76.223.122.150",
        "9.9.9.9",
        "149.112.112.112",
        "208.67.222.222",
        "208.67.220.220",
        "8.26.56.26",
        "8.20.247.20",
        "94.140.14.14",
        "94.140.15.15",
    ]
    # Name servers that everybody may know, as in StarCoder.
)

_PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?P<body>(?:(?:Proc-Type|DEK-Info|Version|Comment): [^\n\\]*|\\n|[A-Za-z0-9+/= \t\r\"'`,;#*()]+|[\n\\])*)"
    r"(?P<end>-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?"
)
"""The body may be quoted, escaped and commented line by line; any other character ends it."""
_KEY_LINE = re.compile(r"[A-Za-z0-9+/=]{16,}")
# Code that only contains the markers has no such line.
_LEAST_KEY_LINE = 40
_BASIC_AUTH = BasicAuthDetector.denylist[0]
_NO_PASSWORD = re.compile(r"(?i)passw|\*\*|^(?:pass|pwd|pw|secret|token|key)$")
"""Words that stand for a password in examples."""
_ASSIGNED = re.compile(
    r"(?i)(?:api_?-?key|secret|token|passw(?:or)?d|auth(?!or)|credential|access_?-?key)[\w-]{0,20}[\"']?"
    r"\s{0,3}(?::|=>?|:=)\s{0,3}[\"']([A-Za-z0-9+/=_\-.~]{20,200})[\"']"
)
# The rest of a key that is longer than its pattern.
_REST = re.compile(r"[\w+/=-]*")
_PARTS = re.compile(r"(?P<letters>[A-Z]?[a-z]+|[A-Z]+(?![a-z]))|\d+")
_LEAST_WORDS, _LEAST_LETTERS, _MOST_NUMBERS, _MOST_SHORT = 4, 3.5, 2, 0.35
"""A name has so many words, of so many letters on average, no more numbers, and no larger share of words of one or
two letters. Random characters change between cases and digits more often: of those of 20 letters and digits this
holds for one in 250."""
_SEPARATED = re.compile(r"(?:(?:[A-Za-z]+|v?\d{1,4})[_-])*(?:[A-Za-z]+|v?\d{1,4})")
"""A name whose words and numbers are separated may have more of these."""
_WORD, _DIGIT, _ESCAPE = re.compile(r"\w"), re.compile(r"\d"), re.compile(r"(?<!\\)\\[nrtbf]$")
_OF_FIXED_LENGTH = re.compile(r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[A-Z0-9]{16}[\w+/=]")
"""A longer text that begins like an Amazon key is a part of encoded data."""
_SHORTEST_KEY, _AROUND = 8, " \t\"'=:"
_LONGEST_KEY = 10_000
"""Characters. Longer ones are data that happen to contain what keys begin with."""
_UNBOUNDED = re.compile(r"(?<!\\)\.([+*])")
"""``.+`` in a pattern: on a line of many beginnings each would look through the whole line."""
# An address that begins with a smaller number is probably a version or a section number.
_LARGEST_SECTION = 10
# Four numbers up to this one are probably a version (Oracle's 12.1.0.2). Of all public addresses it is one in 5,000.
_LARGEST_OF_VERSION = 31
# Bits per character of a text that counts as random.
_LEAST_ENTROPY = 4.0
_entropy = Base64HighEntropyString(limit=4.5).calculate_shannon_entropy


def redact_batch(batch: pa.RecordBatch) -> StepOutcome:
    """A batch with its secrets replaced, and how many of each kind; no document is dropped."""
    texts = batch.column("text")
    suspects: dict[int, list[RedactionRule]] = {}
    for rule in RULES:
        for row in np.flatnonzero(np.asarray(pc.match_substring_regex(texts, rule.hint))).tolist():
            suspects.setdefault(row, []).append(rule)
    replaced: Counter[str] = Counter()
    changed: dict[int, str] = {}
    languages = batch.column("language")
    for row, rules in sorted(suspects.items()):
        clean, counts = redact(texts[row].as_py(), rules, languages[row].as_py())
        if counts:
            changed[row] = clean
            replaced.update(counts)
    if changed:
        values = texts.to_pylist()
        for row, clean in changed.items():
            values[row] = clean
        batch = batch.set_column(0, batch.schema.field(0), pa.array(values, pa.string()))
    return StepOutcome(batch, dropped.no_rows(), replaced)


Span = tuple[int, int, str]


class RedactionRule(NamedTuple):
    """A way to find one type of secret."""

    hint: str
    """A pattern that every match contains, for Arrow's regular expressions (RE2); it quickly skips most texts."""
    spans: Callable[[str, str], Iterator[Span]]
    """Finds the spans in a text of a language, with the placeholder for each."""


def redact(
    text: str, rules: Iterable[RedactionRule] | None = None, language: str = ""
) -> tuple[str, Counter[str]]:
    """A text with placeholders, and how many of each.

    Args:
        rules: the rules to apply; None: all.
        language: of the text; an address in one language may be an expression in another.

    >>> redact("mail jo@corp.io from 93.184.216.34")[0]
    'mail <EMAIL> from <IP_ADDRESS>'
    """
    counts: Counter[str] = Counter()
    pieces, done = [], 0
    for start, end, placeholder in find_spans(text, RULES if rules is None else rules, language):
        pieces += [text[done:start], placeholder]
        done = end
        counts[placeholder] += 1
    return ("".join([*pieces, text[done:]]), counts) if counts else (text, counts)


def find_spans(text: str, rules: Iterable[RedactionRule], language: str) -> list[Span]:
    """The spans to replace, in order and without overlap."""
    spans: list[Span] = []
    for span in sorted({span for rule in rules for span in rule.spans(text, language)}):
        if not spans or span[0] >= spans[-1][1]:
            spans.append(span)
    return spans


def _private_keys(text: str, language: str) -> Iterator[Span]:
    for match in _PRIVATE_KEY.finditer(text):
        lines = list(_KEY_LINE.finditer(match["body"]))
        if any(len(line[0]) >= _LEAST_KEY_LINE for line in lines):
            end = match.end() if match["end"] else match.start("body") + lines[-1].end()
            yield match.start(), end, KEY


def _passwords(text: str, language: str) -> Iterator[Span]:
    return (
        (*match.span(1), PASSWORD)
        for match in _BASIC_AUTH.finditer(text)
        if not _is_placeholder(match[1]) and not _NO_PASSWORD.search(match[1])
    )


def _known_keys(text: str, language: str) -> Iterator[Span]:
    return _matches(text, key_patterns()[0])


def _assigned_keys(text: str, language: str) -> Iterator[Span]:
    yield from _matches(text, key_patterns()[1])
    for match in _ASSIGNED.finditer(text):
        if _looks_random(match[1]):
            yield (*match.span(1), KEY)


def _matches(text: str, patterns: Iterable[re.Pattern[str]]) -> Iterator[Span]:
    for pattern in patterns:
        rest = -1
        for match in pattern.finditer(text):
            groups = range(1, pattern.groups + 1)
            start, end = match.span(
                next((n for n in groups if match[n] and len(match[n]) > _SHORTEST_KEY), 0)
            )
            # A match may include surrounding characters.
            start += len(text[start:end]) - len(text[start:end].lstrip(_AROUND))
            end -= len(text[start:end]) - len(text[start:end].rstrip(_AROUND))
            # The pattern also matches an empty string.
            if end > rest:
                rest = _REST.match(text, end).end()  # type: ignore[union-attr]
            end = rest
            if not _SHORTEST_KEY < end - start <= _LONGEST_KEY:
                continue
            if _is_placeholder(text[start:end]) or _is_name(text[start:end]):
                continue
            # A key begins and ends at word boundaries. An identifier such as ghs_written_by_somebody contains no
            # digit.
            inside = _WORD.match(text[start - 1 : start]) and not _ESCAPE.search(
                text[max(start - 9, 0) : start]
            )
            if (
                not inside
                and _DIGIT.search(text, start, end)
                and not _OF_FIXED_LENGTH.match(text, start, end)
            ):
                yield start, end, KEY


def _emails(text: str, language: str) -> Iterator[Span]:
    return ((start, end, EMAIL) for start, end in find_emails(text, language))


def _ip_addresses(text: str, language: str) -> Iterator[Span]:
    for match in _IP.finditer(text):
        if _is_personal(match[0]) and not _is_version(text, match):
            yield (*match.span(), IP_ADDRESS)


def _is_version(text: str, match: re.Match[str]) -> bool:
    """Whether the words before it say so, or its numbers do and no word on its line says that it is an address."""
    before = text[max(0, match.start() - 200) : match.start()]
    if _VERSION_BEFORE.search(before[-80:]):
        return True
    small = all(int(number) <= _LARGEST_OF_VERSION for number in match[0].split("."))
    line = before.rpartition("\n")[2]
    return small and not _ADDRESS_BEFORE.search(line) and not _ADDRESS_BEHIND.match(text, match.end())


RULES = (
    RedactionRule(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY", _private_keys),
    RedactionRule(r"://[^/\s:@]{1,200}:[^/\s:@]{1,200}@", _passwords),
    RedactionRule(
        r"AKC[a-zA-Z0-9]{10}|A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA|(?i:aws.{0,20}(?:key|pwd|pw|pass|token))|AccountKey="
        r"|cloudant\.com|[MNO][a-zA-Z\d_-]{23,25}\.[a-zA-Z\d_-]{6}\.|gh[pousr]_|gl[a-z]{2,6}-|GR1348941|eyJ[A-Za-z0-9_=-]+\."
        r"|[0-9a-z]{32}-us\d|_authToken|T3BlbkFJ|pypi-Ag|SG\.|xox[abposr]-|hooks\.slack|softlayer\.com|sq0csp-|[rs]k_live_"
        r"|\d{8}:[\w-]{35}|AC[a-z0-9]{32}|SK[a-z0-9]{32}",
        _known_keys,
    ),
    RedactionRule(
        r"(?i)(?:key|pwd|pw|pass|token)[\"']?\]?[ =:>]{1,8}[\"']?[\w-]{24}"
        r"|(?:key|secret|token|passw(?:or)?d|auth|credential)[\w-]{0,20}[\"']?\s{0,3}[=:]{1,2}>?\s{0,3}[\"'][\w+/=.~-]{20}",
        _assigned_keys,
    ),
    RedactionRule(r"[A-Za-z0-9_]\\?@[A-Za-z0-9-]+\.", _emails),
    RedactionRule(r"\d\.\d{1,3}\.\d{1,3}\.\d", _ip_addresses),
)


def _is_personal(address: str) -> bool:
    """Whether an address may belong to somebody: public, of one machine, not a known name server, not a version or
    section number."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    numbers = [int(part) for part in address.split(".")]
    return (
        parsed.is_global
        and not parsed.is_multicast
        and address not in _PUBLIC_SERVERS
        and numbers[0] > _LARGEST_SECTION
        and numbers[3] > 0
    )


def _is_placeholder(text: str) -> bool:
    return (
        len(set(text)) < 6
        or any(sign in text for sign in "<{$%")
        or bool(re.search(r"(?i)x{6}|example|test|dummy|12345678|abcdef", text))
    )


def _is_name(text: str) -> bool:
    """Whether a text is made of words, as ``get_pass_for_stage_2`` and ``createTokenForUserWithRole2`` are."""
    parts = list(_PARTS.finditer(text))
    words = [match["letters"] for match in parts if match["letters"]]
    return (
        len(words) >= _LEAST_WORDS
        and (len(parts) - len(words) <= _MOST_NUMBERS or _SEPARATED.fullmatch(text) is not None)
        and sum(map(len, words)) >= _LEAST_LETTERS * len(words)
        and sum(len(word) < 3 for word in words) <= _MOST_SHORT * len(words)
    )


def _looks_random(text: str) -> bool:
    has = (re.search(kind, text) for kind in ("[a-z]", "[A-Z]", "[0-9]"))
    return (
        sum(map(bool, has)) >= 2
        and bool(re.search("[0-9]", text))
        and _entropy(text) >= _LEAST_ENTROPY
        and not _is_placeholder(text)
    )


@cache
def key_patterns() -> tuple[list[re.Pattern[str]], list[re.Pattern[str]]]:
    """The patterns of detect-secrets: known formats of keys, and keys that are assigned to a telling name."""
    plugins: Iterable[Any] = get_mapping_from_secret_type_to_class().values()
    known: list[re.Pattern[str]] = []
    assigned: list[re.Pattern[str]] = []
    for plugin in plugins:
        # A property on plugins that need an instance.
        patterns = getattr(plugin, "denylist", None)
        if plugin in _NO_KEYS or plugin.__name__ in _VAGUE or not isinstance(patterns, (list, tuple)):
            continue
        for pattern in patterns:
            by_name = "|pass|token)" in pattern.pattern or "secret[-_]?" in pattern.pattern
            bounded = _UNBOUNDED.sub(lambda sign: f".{{{int(sign[1] == '+')},500}}", pattern.pattern)
            kind = assigned if by_name and "aws" not in pattern.pattern else known
            kind.append(re.compile(bounded, pattern.flags))
    return known, assigned
