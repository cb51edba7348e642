"""Checksums of files: whether the content of each is still what it was.

All bytes are hashed, because 64 flipped bytes among gigabytes must be found. BLAKE2b hashes about 1 GB/s a thread,
and several files are hashed at a time. That takes less time than to use the same files, so it is repeated each time,
and no result is kept that could be out of date.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b, file_digest
from pathlib import Path
from stat import S_ISREG
from typing import Any

Sums = dict[str, dict[str, Any]]
"""By a file's path in its folder: ``bytes`` and ``blake2b``. JSON-able."""


def checksums(folder: Path, names: Iterable[str]) -> Sums:
    """The checksums of the files ``names`` in ``folder``.

    Raises:
        OSError: one can't be read.
    """
    names = sorted(names)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
        return dict(zip(names, threads.map(lambda name: _sum(folder / name), names), strict=True))


def _sum(path: Path) -> dict[str, Any]:
    with open(path, "rb") as file:
        digest = file_digest(file, lambda: blake2b(digest_size=16))
        return {"bytes": file.tell(), "blake2b": digest.hexdigest()}


def damages(folder: Path, expected: Mapping[str, Any]) -> list[str]:
    """What is wrong with the files in ``folder``, by the :data:`Sums` that they should have; empty if nothing is."""
    found = []
    for name, before in expected.items():
        path = folder / name
        try:
            status = path.stat()
            size = status.st_size
            if not S_ISREG(status.st_mode):
                found.append(f"{name} is no file")
            elif size != before["bytes"]:
                found.append(f"{name} has {size:,} bytes instead of {before['bytes']:,}")
            elif _sum(path)["blake2b"] != before["blake2b"]:
                found.append(f"{name} has another content than was written (its checksum differs)")
        except FileNotFoundError:
            found.append(f"{name} is missing")
        except OSError as error:
            found.append(f"{name} can't be read ({error.strerror})")
        except (KeyError, TypeError):
            found.append(f"{name} has no checksum")
    return found


def changed_files(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """How the files of two :data:`Sums` differ, a phrase for each file."""
    found = []
    for name in sorted({*before, *now}):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if old is None or new is None:
            found.append(f"{name} is {'new' if old is None else 'gone'}")
        else:
            sizes = f"{old['bytes']:,} bytes, now {new['bytes']:,}"
            found.append(f"{name} has another content ({sizes})")
    return found
