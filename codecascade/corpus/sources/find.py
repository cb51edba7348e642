"""Finds the candidates of a source by the source's name."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.sources.addresses import is_remote
from codecascade.corpus.sources.archives.archives import archive_candidates, is_archive
from codecascade.corpus.sources.candidates import Candidate
from codecascade.corpus.sources.folders import folder_candidates
from codecascade.corpus.sources.git.commits import commit_candidates, is_bare
from codecascade.corpus.sources.packages import installed_candidates, standard_library_candidates
from codecascade.corpus.sources.tables.rows import is_table, table_candidates, table_files
from codecascade.ground.errors import UserError

NAMED = {"stdlib": standard_library_candidates, "installed": installed_candidates}


def find_candidates(source: str, dropped: Dropped) -> Iterator[Candidate]:
    """All candidates of one source, in the same order at every call.

    Args:
        source: ``stdlib`` or ``installed``; a folder, a bare git repository or ``FOLDER@REVISION``; an archive; a
            ``.jsonl`` or ``.parquet`` file, or an fsspec address. A folder with one of the two special names is written
            ``./stdlib``.

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
    path = Path(os.path.expanduser(source))
    if os.path.isdir(path):
        return commit_candidates(path, "HEAD", dropped) if is_bare(path) else folder_candidates(path, dropped)
    if not os.path.exists(path):
        if (found := _at_commit(source)) is not None:
            return commit_candidates(*found, dropped)
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
        return table_candidates(str(path.resolve()), dropped)
    if is_archive(path.name):
        return archive_candidates(path, dropped)
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


def source_title(source: str) -> str:
    """The name of a source without its folders, for the manifest."""
    return source if source in NAMED or is_remote(source) else Path(source).expanduser().resolve().name


def source_address(source: str) -> str:
    """The absolute path or address of a source, for a fingerprint."""
    return source if source in NAMED or is_remote(source) else str(Path(source).expanduser().resolve())
