"""Lists and reads archives: zip files and wheels, tar files, source distributions and npm tarballs.

An archive is one repository. Nothing is unpacked to the disk. An archive that is broken, or was made to harm
whoever unpacks it, is left out with a reason.
"""

from __future__ import annotations

import json
import posixpath
import zipfile
from collections.abc import Iterable, Iterator
from email.parser import BytesParser
from functools import partial
from pathlib import Path
from typing import Any

from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.faults import FILE_ERRORS, check_machine
from codecascade.corpus.reading.licenses import UNKNOWN, license_from_metadata, normalised_license
from codecascade.corpus.sources.archives.members import (
    LONGEST_PATH,
    MOST_MEMBERS,
    BombError,
    Member,
    first_bytes,
    is_license_file,
    member_candidates,
    plain_members,
)
from codecascade.corpus.sources.archives.tars import ForwardFile, headers
from codecascade.corpus.sources.candidates import FIND, Candidate, Origin
from codecascade.corpus.sources.streams import ForwardReader, decompressed

ZIPS = (".zip", ".whl", ".jar", ".egg")
TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".crate")

MOST_EXPANSION = 200
"""Most bytes of content for each byte of archive; source code reaches 20."""
FREE_BYTES = 100_000_000
"""Bytes of content that every archive may expand to, however small it is."""

_METADATA = ("PKG-INFO", "METADATA", "package.json")
# Bytes.
_BEGINNING, _FIRST_LINE = 100_000, 200
_MOST_KEPT = 50_000_000
"""Bytes of licences and metadata of a tar file that are kept in memory until all its names are known."""
_LARGEST_DIRECTORY = 100_000_000
"""Most bytes of a zip file's directory, of some hundred for a member; in memory it takes several times as much."""


def is_archive(name: str) -> bool:
    """Whether a file name has the extension of an archive."""
    return name.lower().endswith((*ZIPS, *TARS))


def archive_candidates(path: Path, dropped: Dropped, name: str | None = None) -> Iterator[Candidate]:
    """The source files of an archive, in the archive's order."""
    is_zip = path.name.lower().endswith(ZIPS)
    try:
        if is_zip:
            _check_directory(path)
            with zipfile.ZipFile(path) as opened:
                yield from _candidates(_zip_members(opened, path, dropped), path, name, "zip", dropped)
        else:
            yield from _candidates(_tar_members(path, dropped), path, name, "tar", dropped)
    except BombError:
        dropped.add(FIND, "archive expands beyond reason", path.name)
    except FILE_ERRORS as error:
        check_machine(error)
        dropped.add(FIND, f"damaged archive ({type(error).__name__})", path.name)


def _candidates(
    members: Iterator[Member], path: Path, name: str | None, reader: str, dropped: Dropped
) -> Iterator[Candidate]:
    inside = plain_members(members, dropped, path.name)
    yield from member_candidates(
        inside, _origin(inside, name or archive_name(path.name)), reader, str(path.resolve()), dropped
    )


def _origin(members: Iterable[Member], archive: str) -> Origin:
    """The name, version and licence of a package from its metadata; else the archive's name."""
    members = list(members)
    base = _common_folder(member.path for member in members)
    for member in members:
        name = member.path.removeprefix(base)
        if name == "PKG-INFO" or (name.count("/") == 1 and name.endswith(".dist-info/METADATA")):
            metadata = BytesParser().parsebytes(first_bytes(member), headersonly=True)
            if metadata.get("Name"):
                project = str(metadata["Name"]).lower().replace("_", "-")
                return Origin(
                    project, base, license_from_metadata(metadata), False, str(metadata.get("Version") or "")
                )
        if name == "package.json":
            package = _json(first_bytes(member))
            if isinstance(package.get("name"), str):
                spdx = package.get("license")
                # The object form was used until 2015.
                spdx = spdx.get("type") if isinstance(spdx, dict) else spdx
                return Origin(package["name"], base, normalised_license(str(spdx or UNKNOWN)), False,
                              str(package.get("version") or ""))  # fmt: skip
    return Origin(archive, base, UNKNOWN, own=False)


def _common_folder(paths: Iterable[str]) -> str:
    """The folder (``name-1.0/``) that contains all members; "" if there is none."""
    tops = {path.partition("/")[0] if "/" in path else "" for path in paths}
    top = next(iter(tops)) if len(tops) == 1 else ""
    return f"{top}/" if top else ""


def archive_name(name: str) -> str:
    """The file name of an archive without its extension."""
    ending = max((e for e in (*ZIPS, *TARS) if name.lower().endswith(e)), key=len, default="")
    return name[: len(name) - len(ending)] if ending else name


def _json(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


# ---- zip --------------------------------------------------------------------------------------------------


def _check_directory(path: Path) -> None:
    """Check that the directory of a zip file fits in memory. Raises :class:`BombError`."""
    with open(path, "rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is not None and end[zipfile._ECD_SIZE] > _LARGEST_DIRECTORY:  # type: ignore[attr-defined]
        raise BombError


def _zip_members(opened: zipfile.ZipFile, path: Path, dropped: Dropped) -> Iterator[Member]:
    infos = opened.infolist()
    declared = sum(info.file_size for info in infos)
    if len(infos) > MOST_MEMBERS or declared > max(FREE_BYTES, MOST_EXPANSION * path.stat().st_size):
        raise BombError
    for number, info in enumerate(infos):
        mode = info.external_attr >> 16
        if info.is_dir():
            continue
        if mode & 0o170000 == 0o120000:
            dropped.add(FIND, "link", info.filename, archive_name(path.name))
            continue

        def beginning(info: zipfile.ZipInfo = info) -> bytes:
            try:
                with opened.open(info) as stream:
                    return stream.read(_BEGINNING)
            except FILE_ERRORS:
                raise UnreadableError("damaged or encrypted") from None

        # Some Windows programs write backslashes between folders.
        yield Member(
            info.filename.replace("\\", "/"), info.file_size, str(number), f"{info.CRC:08x}", beginning
        )


class ZipReader:
    """An open zip file."""

    def __init__(self, path: str) -> None:
        try:
            self._file = zipfile.ZipFile(path)
        except FILE_ERRORS:
            raise UnreadableError("unreadable") from None
        self._infos = self._file.infolist()

    def read(self, locator: str, limit: int) -> bytes:
        """The content of a member; ``locator`` is its index.

        Raises:
            UnreadableError: it is damaged or encrypted, or longer than ``limit`` bytes, whatever the directory says.
        """
        try:
            with self._file.open(self._infos[int(locator)]) as stream:
                data = stream.read(limit + 1)
        except NotImplementedError:
            raise UnreadableError("compressed in a way that is not supported") from None
        except FILE_ERRORS:
            raise UnreadableError("damaged or encrypted") from None
        if len(data) > limit:
            raise UnreadableError("longer than the archive says")
        return data

    def close(self) -> None:
        self._file.close()


# ---- tar --------------------------------------------------------------------------------------------------


def _tar_members(path: Path, dropped: Dropped) -> Iterator[Member]:
    allowed = max(FREE_BYTES, MOST_EXPANSION * path.stat().st_size)
    changed = path.stat().st_mtime_ns
    room = _MOST_KEPT
    with open(path, "rb") as file:
        stream = ForwardFile(decompressed(file), allowed)
        for number, info in enumerate(headers(stream)):
            if number > MOST_MEMBERS:
                raise BombError
            if info.isdir():
                continue
            if not info.isreg() or info.issparse():
                kind = "link" if info.issym() or info.islnk() else "not a file"
                dropped.add(FIND, kind, info.name[:LONGEST_PATH], archive_name(path.name))
                continue
            # A tar file is read once, forwards, so what may be needed later is kept now.
            name = posixpath.basename(info.name)
            kept = b""
            if name in _METADATA or is_license_file(name):
                kept = stream.read(min(info.size, _BEGINNING, room))
            elif "." not in name and (beginning := stream.read(min(info.size, _FIRST_LINE))).startswith(
                b"#!"
            ):
                kept = beginning
            room -= min(len(kept), room)
            locator = f"{info.offset_data}:{info.size}"
            yield Member(info.name, info.size, locator, f"{info.mtime} {changed}", partial(bytes, kept))


class TarReader:
    """An open tar file."""

    def __init__(self, path: str) -> None:
        # Closed by close.
        self._stream = ForwardReader(lambda: open(path, "rb"))  # noqa: SIM115

    def read(self, locator: str, limit: int) -> bytes:
        """The content of a member; ``locator`` is its offset and size in the decompressed archive.

        Raises:
            UnreadableError: the archive is damaged or ends too early, or the member is longer than ``limit``.
        """
        start, size = map(int, locator.split(":"))
        if size > limit:
            raise UnreadableError("longer than the archive says")
        return self._stream.read(start, size)

    def close(self) -> None:
        self._stream.close()
