"""Which languages' imports are read, and by what: start here."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from codecascade.corpus.imports.python_imports import PythonRepository
from codecascade.corpus.imports.script_imports import ScriptRepository
from codecascade.corpus.imports.uses import RepositoryReader

READ_WITH = {"python": "python", "javascript": "script", "typescript": "script"}
"""The languages, and with which others their files are read: those that import each other."""
READERS: dict[str, Callable[[Mapping[str, str]], RepositoryReader]] = {
    "python": PythonRepository,
    "script": ScriptRepository,
}
"""What reads a repository's files of a group of languages."""
