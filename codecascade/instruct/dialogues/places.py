"""Where the files of a source are: on this machine, at an address, or in a data set of the hub."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path

import huggingface_hub

from codecascade.corpus.sources.addresses import files_at, is_remote
from codecascade.ground.errors import UserError
from codecascade.ground.files.shard_names import without_shard_number
from codecascade.ground.format import listed
from codecascade.instruct.dialogues.settings import HUB, DialogueSource

_PLAIN = (".jsonl", ".ndjson", ".json")
_PACKED = ("", ".gz", ".zst", ".bz2", ".xz")
ENDINGS = (*(plain + packed for plain in _PLAIN for packed in _PACKED), ".parquet")
"""How the names of files of dialogues end. A file that is named itself may have any name."""
_SIGNS = "*?["
_ABOUT = ("dataset_infos.json", "dataset_dict.json", "state.json", "dataset_info.json")
"""Files of a data set that say something about it."""


def files_of_source(source: DialogueSource, *, offline: bool = False) -> list[str]:
    """The paths and addresses of a source's files, sorted.

    Args:
        offline: take a data set of the hub from this machine's cache alone.

    Raises:
        UserError: there is none, or it can't be reached.
    """
    if source.kind == "hub":
        return _of_hub(source.source, offline=offline)
    if is_remote(source.source):
        return files_at(source.source, ENDINGS)
    return _of_disk(os.path.expanduser(source.source))


def is_there(source: DialogueSource) -> bool:
    """Whether a source's files are on this machine. What is elsewhere, or is still to be made, counts as there."""
    if source.kind != "files" or is_remote(source.source):
        return True
    try:
        return all(os.path.exists(path) for path in files_of_source(source))
    except UserError:
        return False


def _of_disk(name: str) -> list[str]:
    path = Path(name)
    if path.is_dir():
        found = _data_files(str(each) for each in sorted(path.rglob("*")) if each.is_file())
        if not found:
            raise UserError(f"holds no file that ends in {', '.join(_PLAIN)} or .parquet", file=name)
        return found
    if not path.exists() and any(sign in name for sign in _SIGNS):
        first = next(index for index, part in enumerate(path.parts) if any(sign in part for sign in _SIGNS))
        matches = Path(*path.parts[:first]).glob(str(Path(*path.parts[first:])))
        files = sorted(str(each) for each in matches if each.is_file())
        if not files:
            raise UserError("no file has such a name", file=name)
        return files
    return [name]


def _data_files(names: Iterable[str]) -> list[str]:
    return [
        name for name in names if name.lower().endswith(ENDINGS) and name.rpartition("/")[2] not in _ABOUT
    ]


# ---- the hub


def _of_hub(source: str, *, offline: bool) -> list[str]:
    owner, _, rest = source.removeprefix(HUB).partition("/")
    name, _, pattern = rest.partition("/")
    name, _, revision = name.partition("@")
    if not owner or not name:
        raise UserError(
            f"must be {HUB}OWNER/NAME or {HUB}OWNER/NAME@REVISION, with /FILE behind it for some of its files",
            file=source,
        )
    data_set, version = f"{owner}/{name}", revision or None
    cause = "the hub was not asked"
    if not offline:
        try:
            hub = huggingface_hub.HfApi()
            there = sorted(hub.list_repo_files(data_set, repo_type="dataset", revision=version))
            wanted = _wanted(there, pattern, source)
            folder = huggingface_hub.snapshot_download(
                data_set, repo_type="dataset", revision=version, allow_patterns=wanted
            )
            return [str(Path(folder) / path) for path in wanted]
        except UserError:
            raise
        # each layer below raises errors of its own
        except Exception as error:
            cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return _cached(data_set, version, pattern, source, cause)


def _cached(data_set: str, version: str | None, pattern: str, source: str, cause: str) -> list[str]:
    """What an earlier call has fetched."""
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                data_set, repo_type="dataset", revision=version, local_files_only=True
            )
        )
    except (OSError, ValueError):
        raise UserError(
            f"can't be fetched from the hub ({cause}), and is not in this machine's cache; name a local copy: a file "
            f"or a folder (huggingface-cli download --repo-type dataset {data_set} --local-dir FOLDER, elsewhere)",
            file=source,
        ) from None
    there = sorted(str(each.relative_to(folder)) for each in folder.rglob("*") if each.is_file())
    return [str(folder / path) for path in _wanted(there, pattern, source)]


def _wanted(there: Sequence[str], pattern: str, source: str) -> list[str]:
    """Which of a data set's files are read: those that the pattern names, else those of its training split.

    Raises:
        UserError: there is none, or there are several splits or parts to choose from.
    """
    files = _data_files(there)
    if pattern:
        under = pattern.rstrip("/") + "/"
        found = [path for path in files if fnmatch(path, pattern) or path.startswith(under)]
        found = found or [path for path in there if path == pattern]
        if not found:
            shown = listed(files) if files else "none in JSON lines, JSON or Parquet"
            raise UserError(f"the data set has no such file; its files are {shown}", file=source)
        return found
    if not files:
        raise UserError("the data set has no file in JSON lines, JSON or Parquet", file=source)
    training = [path for path in files if "train" in path.lower()] or files
    parts = sorted({_part(path) for path in training})
    if len(parts) > 1:
        raise UserError(
            f"the data set has several parts ({listed(parts)}); name one, such as {source}/{parts[0]}*",
            file=source,
        )
    return training


def _part(path: str) -> str:
    """A path without the number of a shard and the endings."""
    ending = next(
        ending for ending in sorted(ENDINGS, key=len, reverse=True) if path.lower().endswith(ending)
    )
    return without_shard_number(path[: -len(ending)])
