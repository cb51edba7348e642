"""Finds e-mail addresses, and distinguishes them from code that looks like them.

Not addresses are ``this@Activity.name``, ``cells@meta.data``, ``x@layer.weight``, ``logo@2x.png``,
``getty@tty1.service`` and ``git@github.com:owner/name``. An address ends in a known top-level domain, and nothing
around it indicates code. In languages where such an expression is code, it must be in a string or a comment, or end
in ``.com`` and the like, for any short name may be a member's (``x@m.se``). Some domains are also member names or
file extensions (``.name``, ``.data``, ``.py``); they need further evidence: brackets, ``mailto:``, a word such as
``author`` before the address. Host logins (``git@``, ``ssh user@host``) and names of ciphers (``zlib@openssh.com``)
are kept, because they name no person's mailbox.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from codecascade.corpus.steps.redaction.regions import Regions
from codecascade.corpus.steps.redaction.top_level_domains import COUNTRIES, GENERIC

_ADDRESS = re.compile(
    # A variable and the middle of something else begin otherwise.
    r"(?<![A-Za-z0-9_.%$@&#}~])(?<![$#]\{)"
    r"(?P<local>[A-Za-z0-9_](?:[A-Za-z0-9_.+-]{0,62}[A-Za-z0-9_])?)\\?@"
    r"(?P<domain>(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+(?P<top>[A-Za-z]{2,24}?))"
    # Perl's documentation writes brackets so.
    r"(?=E<gt>|(?![A-Za-z]))"
    r"(?!(?!E<gt>)[A-Za-z0-9_-]|[A-Za-z0-9_.-]*@|\.[A-Za-z0-9_]|[(\[{$]|::|:[\w/~$.]|/[\w.~-]|\\?@)"
)
_COMMENT = re.compile(r"(?:mailto:|(?<![:/]))//$")
"""The only valid slash before an address; other slashes belong to paths and logins (``ftp://user@host``)."""
_ESCAPE = re.compile(r"(?<!\\)(?:\\\\)*\\$")
_EXAMPLE = re.compile(r"(?i)(?:^|\.)(?:example\.(?:com|org|net|edu)|test|example|invalid|localhost)$")
_NO_DOMAIN = re.compile(r"\d\.?\d*x\.|v?\d+\.\d|(?:self|this|super)\.")
"""The scale of a picture, a version, a member."""
_NO_MAILBOX = re.compile(r"(?i)(?:git|this|super|self|hg|svn|gitlab|gitea)$")
_CIPHERS = re.compile(r"(?:^|\.)(?:openssh\.com|libssh\.org)$")
_CIPHER = re.compile(r"(?:[a-z]+\d*-)*(?:aes|cbc|chacha20|des|hmac|rijndael|seed|umac)\b")
_LOGIN = re.compile(
    # A command, also by its path, as a variable (``$(SSH)``), or as an item of a list.
    r"(?i:(?:^|[\s`$\"'(;&|>/={])(?:ssh|scp|sftp|rsync|mosh|ssh-copy-id|sshfs|autossh)[)}]?"
    r"(?:\s|[\"'],\s?[\"'])(?P<arguments>[^\n;|&]{0,200})$)"
    r"|(?i:(?:^|[\s_\"'({,-])(?:host|server|remote)s?[\"']?\s?[:=]\s?[\"']?$)"
)
_CONTINUED = re.compile(r"\\\n[ \t]*")
"""A command that goes on in the next line."""
_PASSWORD = re.compile(r"://[^\s/@\"'<>]*:$")
_MAIL = re.compile(
    r"(?i)(?:e-?mails?|mailbox|mail|authors?|maintainers?|contact|copyright|\(c\)|©|reported-by|signed-off-by"
    r"|co-authored-by|reviewed-by|bugs?|webmaster|postmaster|smtp|recipients?|sender|reply-to)\b[^\n]{0,60}$"
    r"|\b(?:from|to|cc|bcc)[\"']?\s*[:=][^\n]{0,60}$"
)

_FILES = """
app as bar box cab cc do dot foo gd java la link lk map md mk ml mm mov ms pm pro prof ps pub py rs sc sh so st sv
tab tc tf tm vi win zip
"""
_ENDINGS = frozenset(_FILES.split())
"""Top-level domains that are also file extensions. ``.com`` and ``.pl`` are left out: they are mostly domains."""
_OWN_WORDS = frozenset({"id", "im", "in", "is", "re", "to", "ax", "mu", "net", "info", "name"})
"""Top-level domains that are common member names: outside of strings and comments they count as members."""
_MAIL_DOMAINS = """
aero asia berlin biz cat com coop dev edu email eu gov info int jobs mil mobi museum net online org tech travel xyz
"""
_PLAIN = frozenset(_MAIL_DOMAINS.split())
"""Longer top-level domains with many mailboxes that no member is named after."""
_NO_MEMBERS = frozenset({"com", "edu", "gov", "mil", "org"})
"""In an expression any other short name is likelier a member's."""
_ANY_CASE = frozenset({"int", *_NO_MEMBERS}) | (COUNTRIES - _ENDINGS - _OWN_WORDS)
_ALL_CODE = frozenset({"sql", "plsql"})
"""Languages whose expressions ``a@b.c`` end like addresses: a database link ends in a host's name."""
_SECOND_LEVEL = frozenset({"ac", "co", "com", "edu", "gov", "net", "org"})


def find_emails(text: str, language: str = "") -> Iterator[tuple[int, int]]:
    """The spans of the addresses in a text.

    Args:
        language: of the text; in some languages, strings and comments are distinguished from expressions.

    >>> [text[a:b] for text in ("mail jo@corp.io", "this@Main.name", "x@y.data") for a, b in find_emails(text)]
    ['jo@corp.io']
    """
    regions = Regions(text, language)
    for match in _ADDRESS.finditer(text):
        start = match.start()
        if language == "tex" and text[start - 1 : start] == "\\":
            continue  # in packages the sign is a letter of a command's name
        if text[start - 1 : start] == "\\" and _ESCAPE.search(text[max(start - 40, 0) : start]):
            # The n of "\njo@corp.io" belongs to the escape.
            start += 1
        if start < match.end("local") and _is_address(text, match, start, regions, language):
            yield start, match.end()


def _is_address(text: str, match: re.Match[str], start: int, regions: Regions, language: str) -> bool:
    local, domain, top = match["local"], match["domain"].lower(), match["top"]
    known = top.lower() in COUNTRIES or top.lower() in GENERIC
    if not known or not (top.islower() or top.isupper() or top.lower() in _ANY_CASE):
        return False
    around = text[start - 1 : start] + text[match.end() : match.end() + 1]
    if (
        ".." in local
        or (_NO_MAILBOX.match(local) and around != "<>")
        or _NO_DOMAIN.match(domain)
        or _EXAMPLE.search(domain)
        or _CIPHERS.search(domain)
        or _CIPHER.match(local)
    ):
        return False
    top = top.lower()
    before = text[text.rfind("\n", max(start - 120, 0), start) + 1 : start][-120:]
    if (
        _is_login(text, start)
        or _PASSWORD.search(before)
        or (before.endswith("/") and not _COMMENT.search(before))
    ):
        return False
    if domain.count(".") > 1 and top in COUNTRIES and domain.split(".")[-2] in _SECOND_LEVEL:
        top = "com"
    if regions.expression_at(start):
        return top in _NO_MEMBERS and language not in _ALL_CODE
    if top in _PLAIN or (top in COUNTRIES and top not in _ENDINGS and top != "id"):
        return True
    if around == "<>" or before.endswith(("mailto:", "mailto://", "email{")) or _MAIL.search(before):
        return True
    return top not in _ENDINGS and top not in _OWN_WORDS and around in ('""', "''", "``")


def _is_login(text: str, start: int) -> bool:
    """Whether a host is logged in to at ``start``: what comes before is a command such as ssh, or a host's name."""
    before = _CONTINUED.sub(" ", text[max(start - 300, 0) : start])
    login = _LOGIN.search(before[before.rfind("\n") + 1 :])
    return login is not None and not _MAIL.search(login["arguments"] or "")
