"""Turns the files of an archive or commit into the candidates of one repository."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.faults import file_errors
from codecascade.corpus.reading.languages import document_kind, language_by_name, language_by_shebang
from codecascade.corpus.reading.licenses import LICENSE_FILES, combined_license, license_from_text
from codecascade.corpus.sources.candidates import DEEPEST, FIND, Candidate, Origin, is_ignored_name


class BombError(Exception):
    """An archive, commit or table that contains far more than its size allows."""


class Member(NamedTuple):
    """A regular file of an archive or commit."""

    path: str
    size: int
    locator: str
    stamp: str
    beginning: Callable[[], bytes]
    """Returns the first bytes (at least 8 kB), for a ``#!`` line or a licence; raises UnreadableError."""


def first_bytes(member: Member) -> bytes:
    """The first bytes of a member; b"" if they can't be read: the error is counted when the whole member is read."""
    try:
        with file_errors(member.path):
            return member.beginning()
    except UnreadableError:
        return b""


MOST_MEMBERS = 2_000_000
MOST_NAME_BYTES = 500_000_000
"""Most bytes of all names of an archive or commit together."""
LONGEST_PATH = 4096
"""Bytes, as in Linux: no source file has a longer path."""
_DRIVE = re.compile(r"[A-Za-z]:")


def plain_path(path: str) -> str | None:
    """A member's name as a relative path without empty parts and ``.``; None if it leads out of its tree.

    Code that walks along such a path is sure to end. Nothing is unpacked, so a name that leads out can only be
    hostile.

    >>> [plain_path(path) for path in ("a/b.py", "./a//b.py", "a/./b.py/")]
    ['a/b.py', 'a/b.py', 'a/b.py']
    >>> [plain_path(path) for path in ("../b.py", "/etc/passwd", "a/../../b", "C:\\\\b.py", "//")]
    [None, None, None, None, None]
    """
    plain = "/".join(part for part in path.split("/") if part not in ("", "."))
    # The result is checked, too: "./\x" has become a path from the root.
    for each in (path, plain):
        slashes = each.replace("\\", "/")
        if slashes.startswith("/") or _DRIVE.match(each) or ".." in slashes.split("/"):
            return None
    return plain


def plain_members(
    members: Iterable[Member], dropped: Dropped, repository: str, tree: str = "archive"
) -> list[Member]:
    """The members with usable names, as their :func:`plain_path`; the others become rows of ``dropped``.

    Raises:
        BombError: there are too many.
    """
    kept = []
    names = 0
    for number, member in enumerate(members, 1):
        names += len(member.path)
        if number > MOST_MEMBERS or names > MOST_NAME_BYTES:
            raise BombError
        path = plain_path(member.path)
        if path is None:
            dropped.add(FIND, f"name leads out of the {tree}", member.path[:LONGEST_PATH], repository)
        elif not path or "\0" in path:
            dropped.add(FIND, "name is no path", member.path[:LONGEST_PATH], repository)
        elif len(path) > LONGEST_PATH or path.count("/") > DEEPEST:
            dropped.add(FIND, "name too long", path[:LONGEST_PATH], repository)
        else:
            kept.append(member if path == member.path else member._replace(path=path))
    return kept


def member_candidates(
    members: Iterable[Member], origin: Origin, reader: str, container: str, dropped: Dropped
) -> Iterator[Candidate]:
    """The candidates among the members, in their order; ``origin.base`` is the folder inside the tree.

    The licence of a file is that of the nearest folder above it with a licence file, else the origin's.
    """
    wanted: list[tuple[Member, str, str]] = []
    texts: dict[str, list[str]] = {}
    for member in members:
        path = member.path.removeprefix(origin.base)
        folder, name = posixpath.split(path)
        if is_license_file(name):
            # The metadata of a package states the licence in machine-readable form, so the root's licence file adds
            # nothing.
            if folder or origin.license in ("own", "unknown"):
                text = first_bytes(member).decode("utf-8", "replace")
                texts.setdefault(folder, []).append(license_from_text(text))
            continue
        if name.startswith(".") or any(map(is_ignored_name, folder.split("/") if folder else ())):
            continue
        language = language_by_name(name)
        if language is None and "." not in name:
            language = language_by_shebang(first_bytes(member)[:200].decode("latin-1"))
        if language is None:
            dropped.add(FIND, "not a known language", path, origin.repository, license=origin.license)
        else:
            wanted.append((member, path, language))
    licenses = {folder: combined_license(found) for folder, found in texts.items()}
    for member, path, language in wanted:
        yield Candidate(
            repository=origin.repository,
            path=path,
            language=language,
            kind=document_kind(language),
            license=_nearest(licenses, posixpath.dirname(path)) or origin.license,
            size=member.size,
            stamp=member.stamp,
            reader=reader,
            container=container,
            locator=member.locator,
            own=origin.own,
            revision=origin.revision,
        )


def label_path(value: object) -> str:
    """The path in a table row as a plain relative path: a row is taken for its text, whatever its path is.

    >>> label_path("//a\\\\b/../c.py"), label_path(None)
    ('a/b/c.py', '')
    """
    text = "" if value is None else str(value)[:LONGEST_PATH].replace("\\", "/").replace("\0", "")
    return "/".join(part for part in text.split("/") if part not in ("", ".", ".."))


def is_license_file(name: str) -> bool:
    """Whether a file is a licence file by its name: ``LICENSE``, ``COPYING.txt``, ... but not ``license.py``."""
    stem, extension = posixpath.splitext(name.lower())
    return stem.startswith(LICENSE_FILES) and (
        extension in ("", ".txt", ".md", ".rst") or not language_by_name(name)
    )


def _nearest(licenses: Mapping[str, str], folder: str) -> str | None:
    while folder and folder not in licenses:
        # `dirname` would not get shorter for every text; this does.
        folder = folder.rpartition("/")[0]
    return licenses.get(folder)
