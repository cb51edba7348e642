"""Asks git which files below a folder it ignores.

git only lists names. It reads the repository's index and the patterns (``.gitignore``, ``.git/info/exclude``, the
user's own ``core.excludesFile``), opens no other file, and runs no hook, filter or other program that a repository's
configuration can name.
"""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterable
from pathlib import Path

from codecascade.corpus.sources.git.files import check_files
from codecascade.corpus.sources.git.objects import ask_git, complaint
from codecascade.ground.errors import UserError

log = logging.getLogger(__name__)

ANSWER_SECONDS = 300.0
"""Seconds in which git must have walked a folder; a million files on a slow disk take less."""


class GitIgnored:
    """What git ignores in the sources of a build, and the repositories of which it could not be asked.

    Args:
        read: whether ignored files are read all the same, and nobody needs to be asked.
    """

    def __init__(self, *, read: bool = False) -> None:
        self._read = read
        self._refused: dict[Path, str] = {}

    def below(self, folder: Path) -> frozenset[str]:
        """The absolute paths of the files and folders below a folder that git ignores, by one git command.

        Of an ignored folder only the folder is listed. Nothing is ignored in a folder that is in no repository, or
        is ignored itself: whoever names that means it. A repository within the folder's own has its own answer.

        Raises:
            UserError: git does not answer in time. To go on without its answer would be another corpus.
        """
        repository = None if self._read else _repository_of(folder)
        if repository is None:
            return frozenset()
        try:
            check_files(repository)
            # From within an ignored folder git fails, so it is asked from the repository's own.
            part = [] if folder == repository else [str(folder.relative_to(repository))]
            done = ask_git(
                repository, "--literal-pathspecs", "ls-files", "--others", "--ignored", "--exclude-standard",
                "--directory", "-z", "--", *part, seconds=ANSWER_SECONDS, above=False,
            )  # fmt: skip
        except FileNotFoundError:
            return self._refuse(repository, "git is not installed")
        except OSError as error:
            return self._refuse(repository, f"git can't be started: {error.strerror}")
        except UserError as error:
            return self._refuse(repository, error.message)
        except subprocess.TimeoutExpired:
            raise UserError(
                f"git does not say within {ANSWER_SECONDS:g} s what it ignores here; is the repository damaged, or "
                "on a disk that hangs? corpus_build.git_ignored = true reads all files without asking",
                file=folder,
            ) from None
        if done.returncode:
            return self._refuse(repository, f"{complaint(done) or 'git fails'}; `git status` there says more")
        ignored = _without_containers(os.fsdecode(name) for name in done.stdout.split(b"\0") if name)
        found = frozenset(os.path.join(repository, name.removesuffix("/")) for name in ignored)
        return found if found.isdisjoint(map(str, (folder, *folder.parents))) else frozenset()

    def _refuse(self, repository: Path, reason: str) -> frozenset[str]:
        self._refused.setdefault(repository, reason)
        return frozenset()

    def say_refused(self) -> None:
        """Warn, once for all, of the repositories of which it is not known what git ignores."""
        if self._refused:
            repository, reason = next(iter(self._refused.items()))
            others = f", and of {len(self._refused) - 1:,} more" if len(self._refused) > 1 else ""
            log.warning(
                "%s: git can't tell what it ignores here (%s), so all files are read of this repository%s",
                repository, reason, others,
            )  # fmt: skip
            self._refused.clear()


def _without_containers(names: Iterable[str]) -> set[str]:
    """git's list without folders that no pattern is about. git names one beside its files if it ignores all these."""
    listed = set(names)
    for name in [*listed]:
        above = os.path.dirname(name.removesuffix("/"))
        while above:
            listed.discard(f"{above}/")
            above = os.path.dirname(above)
    return listed


def _repository_of(folder: Path) -> Path | None:
    """The nearest folder, this one or one above it, with a repository."""
    return next((each for each in (folder, *folder.parents) if os.path.lexists(each / ".git")), None)
