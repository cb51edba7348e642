"""Finds the candidates of a source by the source's name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.sources.addresses import is_remote
from codecascade.corpus.sources.archives.archives import archive_candidates, archive_name, is_archive
from codecascade.corpus.sources.candidates import Candidate
from codecascade.corpus.sources.folders import folder_candidates
from codecascade.corpus.sources.git.commits import commit_candidates, is_bare, repository_name
from codecascade.corpus.sources.git.ignored import GitIgnored
from codecascade.corpus.sources.packages import installed_candidates, standard_library_candidates
from codecascade.corpus.sources.tables.rows import is_table, table_candidates, table_files
from codecascade.ground.errors import UserError
from codecascade.ground.files.paths import expanded

NAMED = {"stdlib": standard_library_candidates, "installed": installed_candidates}


def find_candidates(
    source: str, dropped: Dropped, name: str | None = None, asked: GitIgnored | None = None
) -> Iterator[Candidate]:
    """All candidates of one source, in the same order at every call.

    Args:
        source: ``stdlib`` or ``installed``; a folder, a bare git repository or ``FOLDER@REVISION``; an archive; a
            ``.jsonl`` or ``.parquet`` file, or an fsspec address. A folder of one of the first two names is
            written ``./stdlib``.
        name: the source's name in those of its repositories; None: that of the file or folder.
        asked: who asks git what it ignores in a folder; None: a new one, by which it is left out.

    Raises:
        UserError: there is no such source, or it is of another type.
    """
    if not source.strip():
        raise UserError("a source's name is empty; the current folder is written '.'", key="corpus")
    if source in NAMED:
        return NAMED[source](dropped)
    if is_remote(source):
        return (candidate for file in table_files(source) for candidate in table_candidates(file, dropped))
    # os.path returns False for a name that is too long or of an unknown user; Path methods raise.
    path = expanded(source)
    if os.path.isdir(path):
        if is_bare(path):
            return commit_candidates(path, "HEAD", dropped, name)
        return folder_candidates(path, dropped, name, asked)
    if not os.path.exists(path):
        if (found := _at_commit(source)) is not None:
            return commit_candidates(*found, dropped, name)
        raise UserError(
            "there is no such source; give a folder, FOLDER@REVISION, an archive, a .jsonl or .parquet file, "
            "stdlib or installed",
            file=source,
        )
    if not path.is_file():
        raise UserError(
            "is a pipe or a device, which can't be read at any place; write it to a file", file=source
        )
    if is_table(path.name):
        return table_candidates(str(path.resolve()), dropped, name)
    if is_archive(path.name):
        return archive_candidates(path, dropped, name)
    raise UserError("is neither a folder nor an archive nor a .jsonl or .parquet file", file=source)


def source_exists(source: str) -> bool:
    """Whether a source exists, as far as this machine can tell."""
    if not source.strip():
        return False
    there = os.path.exists(os.path.expanduser(source))
    return source in NAMED or is_remote(source) or there or _at_commit(source) is not None


def _at_commit(source: str) -> tuple[Path, str] | None:
    """The folder and the revision of ``FOLDER@REVISION``; both may contain further ``@`` (``HEAD@{1}``)."""
    indexes = [index for index, char in enumerate(source) if char == "@"]
    for index in reversed(indexes):
        folder = os.path.expanduser(source[:index])
        if index and os.path.isdir(folder):
            return Path(folder), source[index + 1 :]
    return None


def source_names(sources: Sequence[str]) -> list[str | None]:
    """A name for each source that no other source has; None for a named source or a remote address.

    The name is that of the file or folder. Where two sources at different paths have the same name, their names
    begin with as many of the folders above them as tell them apart: ``one/src`` and ``two/src``. Otherwise their
    files would become one repository, which hold-out could not divide.
    """
    locations = [_location(source) for source in sources]
    own_names = dict(location for location in locations if location is not None)
    beside = Counter((path.parent, name) for path, name in own_names.items())
    # A folder and an archive of the same name differ by the archive's extension.
    own_names = {
        path: path.name if beside[path.parent, name] > 1 else name for path, name in own_names.items()
    }
    names = dict(own_names)
    depth = 0
    while clashing := [path for path in names if list(names.values()).count(names[path]) > 1]:
        depth += 1
        above = {path: path.parent.parts[1:][-depth:] for path in clashing}
        names |= {path: "/".join((*above[path], own_names[path])) for path in clashing}
    return [None if location is None else names[location[0]] for location in locations]


def _location(source: str) -> tuple[Path, str] | None:
    """The path of a source on this machine, and the name that its repository would have."""
    if source in NAMED or is_remote(source) or not source.strip():
        return None
    given = os.path.expanduser(source)
    if not os.path.exists(given) and (found := _at_commit(source)) is not None:
        return found[0].resolve(), repository_name(found[0])
    path = Path(given)
    if os.path.isdir(path):
        return path.resolve(), repository_name(path) if is_bare(path) else path.resolve().name
    return Path(os.path.abspath(path)), archive_name(path.name) if is_archive(path.name) else path.name


def source_titles(sources: Sequence[str], names: Sequence[str | None]) -> list[str]:
    """The names of sources for the manifest, without their folders; where two would be equal, their ``names``."""
    titles = [
        source if source in NAMED or is_remote(source) else expanded(source).resolve().name
        for source in sources
    ]
    return [
        name if name is not None and titles.count(title) > 1 else title
        for title, name in zip(titles, names, strict=True)
    ]


def source_address(source: str) -> str:
    """The absolute path or address of a source, for a fingerprint."""
    return source if source in NAMED or is_remote(source) else str(expanded(source).resolve())
