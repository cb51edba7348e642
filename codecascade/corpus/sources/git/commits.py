"""Lists the files of a git repository at a commit: of a bare one, or of any other as ``FOLDER@REVISION``, where
``FOLDER`` may be a part of the repository.

Nothing is checked out. git only resolves the revision; this module walks the trees itself. So it copes with missing
files and folders, as in a partial clone, and with endless trees. Hooks, filters and other programs that a
repository's configuration can name are never run.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.licenses import OWN
from codecascade.corpus.sources.archives.members import (
    MOST_MEMBERS,
    MOST_NAME_BYTES,
    BombError,
    Member,
    member_candidates,
    plain_members,
)
from codecascade.corpus.sources.candidates import DEEPEST, FIND, Candidate, Origin
from codecascade.corpus.sources.git.files import check_files
from codecascade.corpus.sources.git.objects import (
    ANSWER_SECONDS,
    GitObjects,
    ObjectInfo,
    ask_git,
    complaint,
)
from codecascade.ground.errors import UserError

_FOLDER, _LINK, _FILES = "40000", "120000", ("100644", "100755", "100664")
_LONGEST_LICENSE = 1_000_000
"""Most bytes of a file that is read for its licence or first line."""
_LARGEST_TREE = 1 << 26
"""Most bytes of one tree object, of about 40 for each entry."""
MOST_EXPANSION = 1000
"""Most bytes of files for each byte of stored objects; an old version may be stored as a one-line delta."""
FREE_BYTES = 1_000_000_000
"""Bytes of files that every commit may have, however small its objects are."""
_AT_ONCE = 400


class _Entry(NamedTuple):
    mode: str
    path: str
    name: str
    """The name (hash) of the object."""


def is_bare(path: Path) -> bool:
    """Whether a folder is a bare repository, without a working tree (``NAME.git``)."""
    return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()


def commit_candidates(
    repository: Path, revision: str, dropped: Dropped, name: str | None = None
) -> Iterator[Candidate]:
    """The files of one commit, as one repository of the user's own.

    Raises:
        UserError: git is missing or does not answer, the folder is not a repository, or there is no such revision.
    """
    if revision.startswith("-"):
        raise UserError(f"there is no revision {revision!r}", file=repository)
    pipes = check_files(repository)
    identity = _git(
        repository, f"there is no revision {revision!r} in this repository",
        "--verify", "--quiet", f"{revision}^{{commit}}",
    )  # fmt: skip
    folder = _git(repository, "has no folder of objects", "--git-path", "objects")
    folder = os.path.realpath(os.path.join(repository, folder))
    objects = GitObjects(folder, pipes)
    below = _git(repository, None, "--show-prefix").removesuffix("/")
    start = ""
    if below:
        start = _git(
            repository, f"this folder is not there at {revision!r}",
            "--verify", "--quiet", f"{identity}:{below}",
        )  # fmt: skip
    name = name or repository_name(repository)
    origin = Origin(name, "", OWN, own=True, revision=identity)
    try:
        if not below:
            # A commit object begins with `tree` and the name of its root tree.
            tree = objects.read(identity, _LARGEST_TREE).partition(b"\n")[0].removeprefix(b"tree ")
            start = tree.decode("ascii", "replace")
        root = _tree(objects, start, len(identity) // 2)
    except UnreadableError as error:
        raise UserError(
            f"is a damaged git repository, or lacks the commit's folders (its files can't be listed: {error})",
            file=repository,
        ) from None
    try:
        members = plain_members(
            _members(_entries(objects, root, len(identity) // 2, name, dropped), objects, name, dropped),
            dropped, name, tree="commit",
        )  # fmt: skip
    except BombError:
        dropped.add(FIND, "commit expands beyond reason", name, name)
        return iter(())
    return member_candidates(members, origin, "git", folder, dropped)


def repository_name(repository: Path) -> str:
    """The name of a repository by its folder (``NAME``, ``NAME.git`` or ``NAME/.git``)."""
    full_path = repository.resolve()
    return full_path.name.removesuffix(".git") or full_path.parent.name


def _entries(
    objects: GitObjects, root: bytes, hash_bytes: int, repository: str, dropped: Dropped
) -> Iterator[_Entry]:
    """All entries below a tree that are not trees themselves, in git's order."""
    waiting = [_parsed(root, "", hash_bytes)]
    count = names = 0
    while waiting:
        entry = next(waiting[-1], None)
        if entry is None:
            waiting.pop()
            continue
        count += 1
        names += len(entry.path)
        if count > MOST_MEMBERS or names > MOST_NAME_BYTES:
            raise BombError
        if entry.mode != _FOLDER:
            yield entry
        elif len(waiting) > DEEPEST:
            dropped.add(FIND, "folders too deep", entry.path, repository)
        else:
            try:
                tree = _tree(objects, entry.name, hash_bytes)
                waiting.append(_parsed(tree, f"{entry.path}/", hash_bytes))
            except UnreadableError as error:
                dropped.add(FIND, f"folder {error}", entry.path, repository)


def _tree(objects: GitObjects, name: str, hash_bytes: int) -> bytes:
    """The content of a tree object. Raises :class:`UnreadableError` if it is missing or damaged."""
    tree = objects.read(name, _LARGEST_TREE)
    # Parsed once completely, so that a damaged tree is never used in part.
    for _ in _parsed(tree, "", hash_bytes):
        pass
    return tree


def _parsed(tree: bytes, before: str, hash_bytes: int) -> Iterator[_Entry]:
    """The entries of a tree object: mode, space, name, NUL, hash. Raises :class:`UnreadableError`."""
    offset = 0
    while offset < len(tree):
        space = tree.find(b" ", offset, offset + 8)
        end = tree.find(b"\0", offset)
        after = end + 1 + hash_bytes
        if not offset < space < end or after > len(tree):
            raise UnreadableError("damaged")
        mode = tree[offset:space].decode("ascii", "replace")
        name = tree[space + 1 : end].decode(errors="replace")
        yield _Entry(mode, before + name, tree[end + 1 : after].hex())
        offset = after


def _members(
    entries: Iterator[_Entry], objects: GitObjects, repository: str, dropped: Dropped
) -> Iterator[Member]:
    size = stored = 0
    seen: set[str] = set()
    for entry, info in _known(entries, objects, repository, dropped):
        if info.kind != "blob":
            dropped.add(FIND, "missing from the repository", entry.path, repository)
            continue
        size += info.size
        if entry.name not in seen:
            seen.add(entry.name)
            stored += info.stored
        if size > max(FREE_BYTES, MOST_EXPANSION * stored):
            raise BombError
        beginning = partial(objects.read, entry.name, _LONGEST_LICENSE)
        if info.size > _LONGEST_LICENSE:
            beginning = partial(bytes, 0)
        yield Member(entry.path, info.size, entry.name, entry.name, beginning)


def _known(
    entries: Iterator[_Entry], objects: GitObjects, repository: str, dropped: Dropped
) -> Iterator[tuple[_Entry, ObjectInfo]]:
    """The files among the entries with information about their objects, which is requested in batches."""
    files: list[_Entry] = []

    def known() -> Iterator[tuple[_Entry, ObjectInfo]]:
        yield from zip(files, objects.infos([entry.name for entry in files]), strict=True)
        files.clear()

    for entry in entries:
        if entry.mode not in _FILES:
            dropped.add(FIND, "link" if entry.mode == _LINK else "not a file", entry.path, repository)
            continue
        files.append(entry)
        if len(files) >= _AT_ONCE:
            yield from known()
    yield from known()


def _git(repository: Path, otherwise: str | None, *arguments: str) -> str:
    """The output of ``git rev-parse``.

    Args:
        otherwise: what is wrong where git says nothing; None: to say nothing is an answer.

    Raises:
        UserError: git is missing, does not answer, or fails; the message is git's own, else ``otherwise``.
    """
    try:
        done = ask_git(repository, "rev-parse", *arguments, seconds=ANSWER_SECONDS)
    except FileNotFoundError:
        raise UserError("git is not installed, so this repository can't be read", file=repository) from None
    except subprocess.TimeoutExpired:
        raise UserError(
            f"git does not answer within {ANSWER_SECONDS:g} s; is this repository damaged, or on a disk that hangs?",
            file=repository,
        ) from None
    answer = done.stdout.decode(errors="surrogateescape").removesuffix("\n")
    if done.returncode or not (answer or otherwise is None):
        raise UserError(complaint(done) or otherwise or "git fails", file=repository)
    return answer
