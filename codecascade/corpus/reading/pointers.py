"""Recognises files that stand for another one.

These are the pointers that Git LFS and git-annex leave in place of content that was not downloaded, and links that a
system without links has written as files.
"""

from __future__ import annotations

import re

LFS, ANNEX, LINK = "Git LFS pointer", "git-annex pointer", "link written as a file"

_LONGEST_LFS = 1024
"""Most characters of an LFS pointer; the specification demands fewer."""
_LFS = re.compile(
    r"version https?://(?:(?:git-lfs|hawser)\.github\.com/spec/v|git-media\.io/v/)\d+\n"
    r"(?:[a-z0-9.-]+ [^\n]*\n)*oid \w+:[0-9a-f]{32,128}\n(?:[a-z0-9.-]+ [^\n]*\n)*size \d+(?:\n[a-z0-9.-]+ [^\n]*)*"
)
"""https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md: lines of a key and a value, the version first. The
other two addresses are those of the years before the specification had its name."""
_ANNEX = re.compile(r"(?:(?:\.\./)*(?:\./)?\.git(?:/modules/\S+)?)?/annex/objects/\S+")
"""https://git-annex.branchable.com/internals/pointer_file/, and links to locked files on systems that write links
as files."""

_CONFLICT = re.compile(r"(?m)^(?:<{7}|={7}|>{7}|\|{7})(?: .*)?\n?")
"""The marks of a merge that was never finished."""
_LONGEST_LINK = 1024
_LINK = re.compile(r"link [^\s]+|(?:\.{1,2}/)+[\w.+@-]+(?:/[\w.+@-]+)*|[\w.+@-]+(?:/[\w.+@-]+)+")
"""What a link leads to is all that its file holds, without a line end: as git writes it, or as Subversion does
(``link PATH``)."""


def pointer_kind(text: str) -> str | None:
    """The kind of pointer that ``text`` is, as a reason to leave it out; None if it is no pointer.

    >>> pointer_kind("../common/setup.py")
    'link written as a file'

    >>> pointer_kind("version https://git-lfs.github.com/spec/v1\\noid sha256:" + "4f" * 32 + "\\nsize 12\\n")
    'Git LFS pointer'
    >>> pointer_kind("def f(): ...")
    """
    if text.startswith("version ") and len(text) < _LONGEST_LFS:
        lines = _CONFLICT.sub("", text.strip().replace("\r\n", "\n") + "\n")
        return LFS if _LFS.fullmatch(lines.strip()) else None
    if "/annex/objects/" in text[:_LONGEST_LFS]:
        return ANNEX if _ANNEX.fullmatch(text.strip()) else None
    return LINK if len(text) < _LONGEST_LINK and _LINK.fullmatch(text) else None
