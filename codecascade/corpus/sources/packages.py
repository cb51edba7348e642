"""Lists Python code that is on every machine: the standard library and the installed packages."""

from __future__ import annotations

import os
import platform
import sysconfig
from collections.abc import Iterator
from email.message import Message
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import cast

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.licenses import license_from_metadata
from codecascade.corpus.sources.candidates import (
    FIND,
    Candidate,
    Origin,
    file_candidate,
    is_ignored_folder,
    list_folder,
)

_NOT_LIBRARY = frozenset({"test", "idlelib", "turtledemo", "lib-dynload"})


def standard_library_candidates(dropped: Dropped) -> Iterator[Candidate]:
    """The modules of the running interpreter's standard library, without its test suite.

    Each top-level module or package is a repository (``stdlib/json``), so that whole modules can be held out.
    """
    root = Path(sysconfig.get_path("stdlib")).resolve()
    version = platform.python_version()

    def walk(folder: Path, repository: str | None) -> Iterator[Candidate]:
        for entry in list_folder(folder, dropped):
            name = repository or f"stdlib/{entry.name.partition('.')[0]}"
            if entry.is_symlink():
                dropped.add(FIND, "link", entry.path.removeprefix(str(root) + os.sep), name)
            elif entry.is_dir():
                skipped = is_ignored_folder(entry) or (repository is None and entry.name in _NOT_LIBRARY)
                if not skipped and not entry.name.startswith("config-"):
                    yield from walk(Path(entry.path), name)
            else:
                origin = Origin(name, str(root), "PSF-2.0", own=False, revision=version)
                yield from file_candidate(entry.path, origin, dropped)

    return walk(root, None)


def installed_candidates(dropped: Dropped) -> Iterator[Candidate]:
    """The files of the installed distributions, each of which is a repository (``installed/numpy``).

    The long description (README) of a distribution is documentation. Editable installs, and distributions without a
    list of files, are skipped.
    """
    seen: set[str] = set()
    for distribution in sorted(distributions(), key=lambda item: str(item.metadata["Name"]).lower()):
        name = str(distribution.metadata["Name"]).lower().replace("_", "-")
        if name not in seen:
            seen.add(name)
            yield from _distribution(distribution, f"installed/{name}", dropped)


def _distribution(distribution: Distribution, repository: str, dropped: Dropped) -> Iterator[Candidate]:
    files = distribution.files
    if files is None:
        dropped.add(FIND, "distribution without a list of files", repository=repository)
        return
    root = os.path.realpath(str(distribution.locate_file("")))
    metadata = cast(Message, distribution.metadata)
    version = str(metadata.get("Version") or "")
    origin = Origin(repository, root, license_from_metadata(metadata), own=False, revision=version)
    # folder -> whether neither it nor a folder above it is a link
    is_real: dict[str, bool] = {}
    for entry in sorted(map(str, files)):
        top, _, rest = entry.partition("/")
        # `..` are scripts outside of the library.
        if entry.endswith(".pyc") or top == "..":
            continue
        file = os.path.join(root, entry)
        if top.endswith((".dist-info", ".egg-info")):
            if rest in ("METADATA", "PKG-INFO"):
                yield from _description(file, metadata, origin, dropped)
            continue
        folder = os.path.dirname(file)
        if folder not in is_real:
            is_real[folder] = os.path.realpath(folder) == folder
        if not is_real[folder] or os.path.islink(file):
            dropped.add(FIND, "link", entry, repository)
        else:
            yield from file_candidate(file, origin, dropped)


def _description(file: str, metadata: Message, origin: Origin, dropped: Dropped) -> Iterator[Candidate]:
    content_type = str(metadata.get("Description-Content-Type") or "").partition(";")[0].strip()
    language = {"text/markdown": "markdown", "text/plain": "text"}.get(content_type, "restructuredtext")
    return file_candidate(file, origin, dropped, language=language, reader="metadata")
