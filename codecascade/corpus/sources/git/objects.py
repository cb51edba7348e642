"""Reads a repository's objects by name, through ``git cat-file`` processes that are closely limited.

The processes run in an empty repository of their own that only borrows the objects. So the configuration,
references, hooks and remotes of the repository are not used, and an object that a partial clone lacks counts as
missing instead of being downloaded. A process is killed if an answer is late, if an object is too large, and when
this process ends.
"""

from __future__ import annotations

import ctypes
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.ground.errors import UserError

ANSWER_SECONDS = 10.0
"""Seconds in which git must answer; a longer silence means a pipe, a device or a disk that hangs."""
MEMORY = 4 << 30
"""Most bytes of address space of a git process. It maps packs in pieces; the rest is indexes and one object."""
_MODEST = ("core.packedGitWindowSize=32m", "core.packedGitLimit=512m", "core.deltaBaseCacheLimit=96m",
           "core.fsmonitor=false", "core.hooksPath=/dev/null", "protocol.allow=never")  # fmt: skip
_PIECE = 1 << 16
_AT_ONCE = 400
"""Requests sent before the answers are read; both must fit into a pipe."""
_LONGEST_LINE = 10_000
_MOST_SILENCES = 3
"""A repository is given up after this many missing answers."""
_EMPTY_TREES = {
    False: "4b825dc642cb6eb9a060e54bf8d69288fbee4904",
    True: "6ef19b41225c5369f1c104d45d8d85efa9b057b53b14b4b9b939dd74decc5321",
}
"""The empty tree, which git has built in; the key says whether names are SHA-256."""
_SHA1 = 40
"""Hexadecimal digits of a SHA-1 name."""
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


class ObjectInfo(NamedTuple):
    """The facts about an object that are known without reading it."""

    kind: str
    """``blob``, ``tree``, ...; "" if the object is missing or damaged."""
    size: int = 0
    stored: int = 0
    """Bytes that it occupies in the repository."""


NO_OBJECT = ObjectInfo("")


class GitEndedError(Exception):
    """The git process ended in the middle of an answer."""


class CatFile:
    """One ``git cat-file`` process on a folder of objects; it starts at the first request.

    Args:
        objects: the folder ``objects`` of a repository.
        mode: the option: ``--batch``, or ``--batch-check`` with a format.
        sha256: whether object names are SHA-256.
    """

    def __init__(self, objects: str, mode: str, *, sha256: bool = False) -> None:
        self._objects, self._mode, self._sha256 = objects, mode, sha256
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = bytearray()
        self._silences = 0
        self._nothing = _EMPTY_TREES[sha256]

    def ask(self, questions: Sequence[str]) -> None:
        """Send object names, at most :data:`_AT_ONCE`.

        Raises:
            GitEndedError: git ended.
            UnreadableError: git did not answer several times, and is not asked again.
        """
        if self._silences >= _MOST_SILENCES:
            raise UnreadableError("unreadable (git does not answer)")
        if self._process is None:
            self._start()
        self._send(questions)

    def _send(self, questions: Sequence[str]) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write("".join(f"{question}\n" for question in questions).encode())
            self._process.stdin.flush()
        except OSError:
            self._failed()

    def line(self) -> list[str]:
        """The words of the next line of an answer. Raises as :meth:`ask`."""
        while b"\n" not in self._buffer:
            if len(self._buffer) > _LONGEST_LINE:
                self._failed()
            self._buffer += self._piece()
        line, _, rest = self._buffer.partition(b"\n")
        self._buffer = rest
        return line.decode("ascii", "replace").split()

    def content(self, size: int) -> bytes:
        """The content of an object, which follows its header line. :meth:`ask_whole` was called before.

        Raises as :meth:`ask`, and:
            UnreadableError: the content is not as long as the header line says.
        """
        end = f"\n{self._nothing} tree 0\n\n".encode()
        while len(self._buffer) < size + len(end) and not self._buffer.endswith(end):
            self._buffer += self._piece()
        if self._buffer[size:] != end:
            self.close()
            raise UnreadableError("damaged")
        content = bytes(self._buffer[:size])
        self._buffer = bytearray()
        return content

    def ask_whole(self, question: str) -> list[str]:
        """Request an object and, after it, the empty tree; returns the words of the object's header line.

        The empty tree marks the end: without it, git's silence after a short object looks like slowness.
        """
        self.ask([question, self._nothing])
        words = self.line()
        if len(words) != 3 or not words[2].isdecimal():
            self.line(), self.line()
            raise UnreadableError("missing from the repository")
        return words

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    # git may not have read all that was written.
                    with suppress(OSError):
                        stream.close()
            process.wait()

    def _piece(self) -> bytes:
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        if not select.select([pipe], [], [], ANSWER_SECONDS)[0]:
            self._silences += 1
            self.close()
            raise UnreadableError("unreadable (git does not answer)")
        piece = os.read(pipe, _PIECE)
        if not piece:
            self._failed()
        return piece

    def _failed(self) -> None:
        self.close()
        raise GitEndedError

    def _start(self) -> None:
        with tempfile.TemporaryDirectory(prefix="codecascade-git-") as name:
            _make_empty_repository(Path(name), self._sha256)
            try:
                self._process = subprocess.Popen(
                    command("--git-dir", name, "cat-file", self._mode),
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                    env=environment() | {"GIT_OBJECT_DIRECTORY": self._objects},
                    preexec_fn=follow_the_parent,
                )  # fmt: skip
            except FileNotFoundError:
                raise UserError("git is not installed, so this repository can't be read") from None
            self._buffer = bytearray()
            # The answer shows that git has read its setup, so the temporary repository can be removed.
            self._send([self._nothing])
            self.line()
            if self._mode == "--batch":
                self.line()


def _make_empty_repository(folder: Path, sha256: bool) -> None:
    for name in ("objects", "refs"):
        (folder / name).mkdir()
    (folder / "HEAD").write_text("ref: refs/heads/none\n")
    version, extension = (1, "[extensions]\nobjectformat = sha256\n") if sha256 else (0, "")
    (folder / "config").write_text(f"[core]\nrepositoryformatversion = {version}\nbare = true\n{extension}")


class GitObjects:
    """The objects of a repository; a candidate's locator is the name of one of them.

    Args:
        objects: the folder of that name in the repository.
        never: names of objects that git must not open.
    """

    def __init__(self, objects: str, never: frozenset[str] = frozenset()) -> None:
        self._folder, self._never = objects, never
        self._contents: CatFile | None = None
        self._facts: CatFile | None = None

    def read(self, locator: str, limit: int) -> bytes:
        """The content of an object.

        Raises:
            UnreadableError: it is missing or damaged, or larger than ``limit`` bytes.
        """
        if locator in self._never:
            raise UnreadableError("unreadable")
        if self._contents is None:
            self._contents = CatFile(self._folder, "--batch", sha256=len(locator) > _SHA1)
        try:
            return _content(self._contents, locator, limit)
        except GitEndedError:
            return self._once_more(self._contents, locator, limit)

    def infos(self, names: Sequence[str]) -> Iterator[ObjectInfo]:
        """Facts about each of these objects, in their order."""
        if self._facts is None and names:
            form = "--batch-check=%(objectname) %(objecttype) %(objectsize) %(objectsize:disk)"
            self._facts = CatFile(self._folder, form, sha256=len(names[0]) > _SHA1)
        for start in range(0, len(names), _AT_ONCE):
            yield from self._some_infos(names[start : start + _AT_ONCE])

    def _some_infos(self, names: Sequence[str]) -> list[ObjectInfo]:
        assert self._facts is not None
        asked = [name for name in names if name not in self._never]
        try:
            known = dict(zip(asked, _infos(self._facts, asked), strict=True)) if asked else {}
        except GitEndedError:
            # git gave up at one damaged object: ask for each alone.
            known = {}
            if len(names) > 1:
                return [info for name in names for info in self._some_infos([name])]
        except UnreadableError:
            known = {}
        return [known.get(name, NO_OBJECT) for name in names]

    @staticmethod
    def _once_more(cat: CatFile, locator: str, limit: int) -> bytes:
        """Ask again: a process that somebody killed is not the object's fault."""
        try:
            return _content(cat, locator, limit)
        except GitEndedError:
            raise UnreadableError("unreadable") from None

    def close(self) -> None:
        for cat in (self._contents, self._facts):
            if cat is not None:
                cat.close()
        self._contents = self._facts = None

    def __del__(self) -> None:
        self.close()


def _content(cat: CatFile, name: str, limit: int) -> bytes:
    size = int(cat.ask_whole(name)[2])
    if size > limit:
        # git would send its content next, and it would have to be read.
        cat.close()
        raise UnreadableError("larger than max_file_bytes")
    return cat.content(size)


def _infos(cat: CatFile, names: Sequence[str]) -> list[ObjectInfo]:
    cat.ask(names)
    answers = [cat.line() for _ in names]
    return [
        ObjectInfo(words[1], int(words[2]), int(words[3]))
        if len(words) == 4 and words[2].isdecimal() and words[3].isdecimal()
        else NO_OBJECT
        for words in answers
    ]


def command(*arguments: str) -> list[str]:
    """A git command line with restrictions that a repository's configuration can't override."""
    settings = [word for setting in _MODEST for word in ("-c", setting)]
    return ["git", "--no-replace-objects", *settings, *arguments]


def ask_git(
    folder: Path, *arguments: str, seconds: float, above: bool = True
) -> subprocess.CompletedProcess[bytes]:
    """Run a git command in a folder, limited in time and memory, and get what it prints.

    Args:
        above: whether the repository may be one of a folder above.

    Raises:
        OSError: git is missing.
        subprocess.TimeoutExpired: it takes longer than so many ``seconds``, and was ended.
    """
    return subprocess.run(
        command("-C", str(folder), *arguments),
        stdin=subprocess.DEVNULL, capture_output=True, check=False,
        env=environment() | ({} if above else {"GIT_CEILING_DIRECTORIES": str(folder.parent)}),
        timeout=seconds, preexec_fn=follow_the_parent,
    )  # fmt: skip


def complaint(done: subprocess.CompletedProcess[bytes]) -> str:
    """The line in which git says why it failed; "" if it said nothing."""
    said = done.stderr.decode(errors="replace").strip().split("\n")
    return next((line for line in said if line.startswith("fatal")), said[0])[:500]


def environment() -> dict[str, str]:
    """The environment of a git process: no git variables of the user, no network, no prompts."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    return kept | {
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C",
    }


def follow_the_parent() -> None:
    """In a new process: be killed when the parent ends, for whatever reason, and limit the memory."""
    if _LIBC is not None:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
