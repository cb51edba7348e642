"""Where documents come from: a source's name in, candidates out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from codecascade.corpus.candidates import Candidate
from codecascade.corpus.dropped import Dropped
from codecascade.corpus.folders import folder
from codecascade.corpus.python_packages import installed, standard_library
from codecascade.corpus.rows import json_lines, parquet
from codecascade.errors import UserError

NAMED = {"stdlib": standard_library, "installed": installed}
FILES = {".jsonl": json_lines, ".parquet": parquet}


def find(source: str, dropped: Dropped) -> Iterator[Candidate]:
    """All candidates of one source, in the same order on every call.

    Args:
        source: ``stdlib``, ``installed``, a folder, or a ``.jsonl`` or ``.parquet`` file. A folder of one of
            the two special names is written ``./stdlib``.

    Raises:
        UserError: there is no such source, or it is not of one of these kinds.
    """
    if source in NAMED:
        return NAMED[source](dropped)
    path = Path(source).expanduser()
    if path.is_dir():
        return folder(path, dropped)
    if not path.exists():
        raise UserError(
            "there is no such source; give a folder, a .jsonl or .parquet file, stdlib or installed",
            file=source,
        )
    if path.suffix not in FILES:
        raise UserError("is neither a folder nor a .jsonl or .parquet file", file=source)
    return FILES[path.suffix](path, dropped)
