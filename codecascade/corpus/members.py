"""Trees that are not on disk (archives, commits): their files as candidates of one repository."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from codecascade.corpus.candidates import Candidate, Origin, ignored_name
from codecascade.corpus.dropped import Dropped
from codecascade.corpus.encoding import UnreadableError
from codecascade.corpus.languages import kind_of, language_of, language_of_shebang
from codecascade.corpus.licenses import LICENSE_FILES, combined, license_of_text


class Member(NamedTuple):
    """A regular file of an archive or commit."""

    path: str
    size: int
    locator: str
    stamp: str
    beginning: Callable[[], bytes]
    """Gives its first bytes (8 kB are enough), for a shebang or a licence; raises UnreadableError."""


def beginning_of(member: Member) -> bytes:
    """A member's first bytes; nothing if they can't be read, which is counted when the whole of it is wanted."""
    try:
        return member.beginning()
    except UnreadableError:
        return b""


def unsafe(path: str) -> bool:
    """Whether a member's name leads out of the archive. (Nothing is ever unpacked; such an archive is hostile.)

    >>> [unsafe(path) for path in ("a/b.py", "../b.py", "/etc/passwd", "a/../../b", "C:\\\\b.py")]
    [False, True, True, True, True]
    """
    path = path.replace("\\", "/")
    return path.startswith("/") or path[1:2] == ":" or ".." in path.split("/")


def member_candidates(
    members: Iterable[Member], origin: Origin, reader: str, container: str, dropped: Dropped
) -> Iterator[Candidate]:
    """The candidates among the members, in their order. ``origin.base`` is the folder inside the archive.

    A file's licence is that of the nearest folder above it with a licence file, else the origin's.
    """
    wanted: list[tuple[Member, str, str]] = []
    texts: dict[str, list[str]] = {}
    for member in members:
        path = member.path.removeprefix(origin.base)
        folder, name = posixpath.split(path)
        if is_license_file(name):
            # the expression in a package's metadata was written for machines: the root's text adds nothing
            if folder or origin.license in ("own", "unknown"):
                text = beginning_of(member).decode("utf-8", "replace")
                texts.setdefault(folder, []).append(license_of_text(text))
            continue
        if name.startswith(".") or any(map(ignored_name, folder.split("/") if folder else ())):
            continue
        language = language_of(name)
        if language is None and "." not in name:
            language = language_of_shebang(beginning_of(member)[:200].decode("latin-1"))
        if language is None:
            dropped.add("find", "not a known language", path, origin.repository, license=origin.license)
        else:
            wanted.append((member, path, language))
    licenses = {folder: combined(found) for folder, found in texts.items()}
    for member, path, language in wanted:
        yield Candidate(
            repository=origin.repository,
            path=path,
            language=language,
            kind=kind_of(language),
            license=_nearest(licenses, posixpath.dirname(path)) or origin.license,
            size=member.size,
            stamp=member.stamp,
            reader=reader,
            container=container,
            locator=member.locator,
            own=origin.own,
            revision=origin.revision,
        )


def is_license_file(name: str) -> bool:
    """By its name: ``LICENSE``, ``COPYING.txt``... but not ``license.py``."""
    stem, extension = posixpath.splitext(name.lower())
    return stem.startswith(LICENSE_FILES) and (
        extension in ("", ".txt", ".md", ".rst") or not language_of(name)
    )


def _nearest(licenses: Mapping[str, str], folder: str) -> str | None:
    while folder and folder not in licenses:
        folder = posixpath.dirname(folder)
    return licenses.get(folder)
