"""Git repositories at a commit: bare ones, and any others with ``FOLDER@REVISION``.

Nothing is checked out: file names come from ``git ls-tree``, contents from one ``git cat-file --batch``. Neither runs
hooks, filters or anything else that a repository's configuration could name.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from codecascade.corpus.candidates import Candidate, Origin
from codecascade.corpus.dropped import Dropped
from codecascade.corpus.encoding import UnreadableError
from codecascade.corpus.licenses import OWN
from codecascade.corpus.members import Member, member_candidates
from codecascade.errors import UserError

_FILE_MODES = (b"100644", b"100755")
_LONGEST_LICENSE = 1_000_000
"""Bytes of a file that is read for its licence or first line."""
_PIECE = 1 << 20


def is_bare(path: Path) -> bool:
    """Whether a folder is a repository without a working tree (``NAME.git``)."""
    return (path / "HEAD").is_file() and (path / "objects").is_dir() and (path / "refs").is_dir()


def commit(repository: Path, revision: str, dropped: Dropped) -> Iterator[Candidate]:
    """The files of one commit, as one repository of the user's own.

    Raises:
        UserError: git is not installed, the folder is no repository, or it has no such revision.
    """
    if revision.startswith("-"):
        raise UserError(f"there is no revision {revision!r}", file=repository)
    found = _git(repository, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    identity = found.stdout.decode().strip()
    if found.returncode or not identity:
        reason = found.stderr.decode(errors="replace").strip().split("\n")[0]
        raise UserError(reason or f"there is no revision {revision!r} in this repository", file=repository)
    listing = _git(repository, "ls-tree", "-r", "-l", "-z", "--full-tree", identity)
    if listing.returncode:
        raise UserError("is a damaged git repository (its files can't be listed)", file=repository)
    name = repository.resolve().name.removesuffix(".git")
    origin = Origin(name, "", OWN, own=True, revision=identity)
    members = _members(listing.stdout, repository, name, dropped)
    return member_candidates(members, origin, "git", str(repository.resolve()), dropped)


def _members(listing: bytes, repository: Path, name: str, dropped: Dropped) -> Iterator[Member]:
    objects = Objects(str(repository))
    for line in listing.split(b"\0"):
        if not line:
            continue
        facts, _, raw = line.partition(b"\t")
        mode, _, blob, size = facts.split()
        path = raw.decode(errors="replace")
        if mode not in _FILE_MODES:
            dropped.add("find", "link" if mode == b"120000" else "not a file", path, name)
            continue
        locator = blob.decode()
        yield Member(path, int(size), locator, locator, partial(objects.read, locator, _LONGEST_LICENSE))


class Objects:
    """A repository's blobs by their names, through one running ``git cat-file``."""

    def __init__(self, repository: str) -> None:
        self._process = subprocess.Popen(
            _command(repository, "cat-file", "--batch"),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=_environment(),
        )  # fmt: skip

    def read(self, locator: str, limit: int) -> bytes:
        """A blob's content.

        Raises:
            UnreadableError: it is missing or damaged, or larger than ``limit`` bytes.
        """
        pipe, answers = self._process.stdin, self._process.stdout
        assert pipe is not None and answers is not None
        try:
            pipe.write(locator.encode() + b"\n")
            pipe.flush()
            answer = answers.readline().split()
            size = int(answer[2])
            data = answers.read(size) if size <= limit else b""
            left = size - len(data)
            while left > 0 and (passed := len(answers.read(min(left, _PIECE)))):
                left -= passed
            answers.read(1)  # a newline
        except (OSError, IndexError, ValueError):
            raise UnreadableError("unreadable") from None
        if len(data) != size:
            raise UnreadableError("unreadable")
        return data

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.kill()
        self._process.wait()

    def __del__(self) -> None:
        self.close()


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(
            _command(str(repository), *arguments), capture_output=True, env=_environment(), check=False
        )
    except FileNotFoundError:
        raise UserError("git is not installed, so this repository can't be read", file=repository) from None


def _command(repository: str, *arguments: str) -> list[str]:
    return ["git", "--no-replace-objects", "-C", repository, *arguments]


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {"GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
