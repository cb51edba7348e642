"""Copies of a run at another place, such as ``s3://bucket/runs``: each stage's model as soon as it is trained.

Any address that fsspec knows will do. A model's ``codecascade.json`` is copied last: a folder at the target that has
none is not whole. What was copied is noted in ``RUN/copied.json``, so that nothing is copied twice.
"""

from __future__ import annotations

import logging
import os
import queue
import secrets
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from codecascade.cascade.run_folder import LINEAGE, RunFolder
from codecascade.corpus.sources.addresses import address_errors
from codecascade.ground.errors import RunFailed, UserError
from codecascade.ground.files.atomic import write_json
from codecascade.ground.files.reading import read_json
from codecascade.ground.format import show_bytes
from codecascade.reports.cascade.report import COMPARISONS

logger = logging.getLogger(__name__)

NOTES = "copied.json"
_REPORTS = ("results.json", "report.md", "report.html", COMPARISONS)
RECORDS = ("recipe.toml", "inputs.json", *_REPORTS, "logs", "evaluations")
"""What of a run is copied at its end, besides the models: how they were made and what was measured."""
_ATTEMPTS = 3
_FIRST_WAIT = 5.0
_FILES_AT_A_TIME = 4

Stamp = dict[str, list[int]]
"""Of each file of a part of the run its size and the time of its last change."""


def check_target(target: str, run: Path) -> None:
    """See that files can be written to an address, before work begins whose result is to be there.

    Raises:
        UserError: they can't, it is a place in the run's own folder, or the package is missing that fsspec needs for
            the address.
    """
    with address_errors(target):
        filesystem, root = fsspec.core.url_to_fs(target)
        if isinstance(filesystem, LocalFileSystem) and Path(root).resolve().is_relative_to(run.resolve()):
            raise UserError(
                f"{target} is in the run's own folder; name another place, or take it out", key="run.copy_to"
            )
        path = f"{root.rstrip('/')}/.codecascade-{secrets.token_hex(4)}"
        filesystem.makedirs(root, exist_ok=True)
        filesystem.pipe_file(path, b"may be written")
        filesystem.rm_file(path)


def copy_finished(target: str, run: RunFolder, stages: Sequence[str], say: Callable[[str], None]) -> None:
    """Copy what of a finished run is not copied yet, or has another target now.

    Raises:
        RunFailed: some of it could not be copied.
    """
    with closing(Copies(target, run, say)) as copies:
        for name in stages:
            copies.model(name)
        copies.finish()


class Copies:
    """Copies parts of a run in a thread of its own, while the run goes on.

    A copy that fails is made again, and then is a warning: the run itself is whole without it. :meth:`finish` tells
    what is missing.

    Args:
        target: an address for fsspec, to which the run's name is not added; None copies nothing.
        say: called with a line for each part.
    """

    def __init__(
        self, target: str | None, run: RunFolder, say: Callable[[str], None] = lambda text: None
    ) -> None:
        self._wanted, self._target, self._run, self._say = target is not None, target or "", run, say
        self._parts: queue.SimpleQueue[tuple[str, ...] | None] = queue.SimpleQueue()
        self._missing: dict[str, str] = {}
        self._stopped = threading.Event()
        # A daemon: whoever stops the run does not wait for a copy.
        self._thread = threading.Thread(target=self._work, name="copies", daemon=True)
        if self._wanted:
            self._thread.start()

    def model(self, name: str) -> None:
        """Copy a stage's model, if it is not there yet. Returns at once."""
        self._parts.put((str(self._run.model(name).relative_to(self._run.path)),))

    def finish(self) -> None:
        """Copy what tells of the run, and wait until all is copied.

        Raises:
            RunFailed: some of it could not be copied.
        """
        if not self._wanted:
            return
        self._parts.put(tuple(name for name in RECORDS if (self._run.path / name).exists()))
        self._parts.put(None)
        self._thread.join()
        if self._missing:
            what = "; ".join(f"{part}: {reason}" for part, reason in self._missing.items())
            raise RunFailed(
                f"the run is finished, but not all of it could be copied to {self._target} ({what}). Run the same "
                "command again to copy the rest"
            )

    def close(self) -> None:
        """Stop after the file that is being copied."""
        self._stopped.set()
        self._parts.put(None)

    # ---- in the thread

    def _work(self) -> None:
        while (parts := self._parts.get()) is not None and not self._stopped.is_set():
            for part in parts:
                self._try(part)

    def _try(self, part: str) -> None:
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._copy(part)
                self._missing.pop(part, None)
                return
            # Each file system of fsspec raises the errors of its own library.
            except Exception as error:
                reason = (str(error).strip() or type(error).__name__).splitlines()[0]
                self._missing[part] = reason
                logger.warning("%s could not be copied to %s (%s)", part, self._target, reason)
            if attempt < _ATTEMPTS and self._stopped.wait(_FIRST_WAIT * 2 ** (attempt - 1)):
                return

    def _copy(self, part: str) -> None:
        files = sorted(_files(self._run.path / part))
        stamp: Stamp = {}
        for file in files:
            info = file.stat()
            stamp[str(file.relative_to(self._run.path))] = [info.st_size, info.st_mtime_ns]
        notes = self._notes()
        if notes.get(part) == {"target": self._target, "files": stamp}:
            return
        filesystem, root = fsspec.core.url_to_fs(self._target)
        last = [name for name in stamp if Path(name).name == LINEAGE]
        for name in last:
            # The files of an earlier model of this name are about to be replaced.
            if filesystem.exists(_at(root, name)):
                filesystem.rm_file(_at(root, name))

        def put(name: str) -> None:
            if self._stopped.is_set():
                raise InterruptedError("the run was stopped")
            there = _at(root, name)
            filesystem.makedirs(there.rpartition("/")[0], exist_ok=True)
            filesystem.put_file(str(self._run.path / name), there)
            if filesystem.info(there)["size"] != stamp[name][0]:
                raise OSError(f"{name} has another size there")

        with ThreadPoolExecutor(_FILES_AT_A_TIME, "copies") as pool:
            list(pool.map(put, [name for name in stamp if name not in last]))
        for name in last:
            put(name)
        write_json(self._run.path / NOTES, {**self._notes(), part: {"target": self._target, "files": stamp}})
        self._say(f"{part}: copied to {self._target} ({show_bytes(sum(size for size, _ in stamp.values()))})")

    def _notes(self) -> dict[str, Any]:
        path = self._run.path / NOTES
        try:
            found = read_json(path) if path.exists() else {}
        except UserError:
            found = {}
        return found if isinstance(found, dict) else {}


def _at(root: str, name: str) -> str:
    return f"{root.rstrip('/')}/{name}"


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for folder, _, names in os.walk(path):
        yield from (Path(folder, name) for name in names)
