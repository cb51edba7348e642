"""The repositories that problems are taken from: of a corpus with held-out files, or of a folder, by their files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from codecascade.corpus.corpus import Corpus
from codecascade.corpus.imports import READ_WITH
from codecascade.corpus.output.dropped import Dropped
from codecascade.corpus.reading.containers import CandidateContents
from codecascade.corpus.reading.encoding import UnreadableError
from codecascade.corpus.reading.faults import file_errors
from codecascade.corpus.similar_parts import LARGEST
from codecascade.corpus.sources.find import find_candidates
from codecascade.corpus.sources.folders import METADATA_FILES
from codecascade.corpus.sources.git.ignored import GitIgnored


@dataclass
class Repository:
    """The source files of one repository.

    Attributes:
        files: the text of each file, by group of languages (:data:`READ_WITH`) and path.
        asked: ``(language, path)`` of the files that problems may be taken from.
    """

    name: str
    files: dict[str, dict[str, str]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def add(self, language: str, path: str, text: str, *, asked: bool) -> None:
        self.files.setdefault(READ_WITH[language], {})[path] = text
        if asked:
            self.asked.append((language, path))


def corpus_repositories(corpus: Corpus) -> list[Repository]:
    """The repositories of a corpus that have held-out files.

    Where single files were held out, the other files of their repository are those that the model was trained on: so
    it is in an editor.
    """
    found: dict[str, Repository] = {}
    table = corpus.documents("heldout", "code")
    for document in table:
        if document.language in READ_WITH and len(document.text) <= LARGEST:
            repository = found.setdefault(document.repository, Repository(document.repository))
            repository.add(document.language, document.path, document.text, asked=True)
    trained = corpus.documents("train", "code")
    for index, name in enumerate(trained.values("repository")):
        if name in found:
            document = trained[index]
            if document.language in READ_WITH and len(document.text) <= LARGEST:
                found[name].add(document.language, document.path, document.text, asked=False)
    return list(found.values())


def folder_repositories(source: Path) -> list[Repository]:
    """The repositories below a folder (or in an archive). All files are asked.

    Files are found as for a corpus. But a folder without ``.git`` and without a package's metadata belongs to the
    named one, which is the user's word for one project.

    Raises:
        UserError: there is no such folder.
    """
    found: dict[str, Repository] = {}
    marked: dict[str, bool] = {}
    contents = CandidateContents()
    asked = GitIgnored()
    try:
        for candidate in find_candidates(str(source), Dropped(), asked=asked):
            if candidate.language not in READ_WITH or candidate.size > LARGEST:
                continue
            # What can't be read is left out of a corpus, too.
            with suppress(UnreadableError), file_errors(candidate.path):
                text = contents.text(candidate, LARGEST)
                name, path = candidate.repository, candidate.path
                if name not in marked:
                    marked[name] = _is_marked(source, name)
                if not marked[name]:
                    top, _, inner = name.partition("/")
                    name, path = top, f"{inner}/{path}" if inner else path
                repository = found.setdefault(name, Repository(name))
                repository.add(candidate.language, path, text, asked=True)
    finally:
        contents.close()
    asked.say_refused()
    return list(found.values())


def _is_marked(source: Path, repository: str) -> bool:
    """Whether a repository below ``source``, ``<its name>/<folder>``, is one by what is in its folder."""
    folder = source / repository.partition("/")[2]
    return any((folder / name).exists() for name in (".git", *METADATA_FILES))


def counted_files(repositories: Sequence[Repository]) -> dict[str, int]:
    """How many files of each language are asked."""
    return dict(Counter(language for repository in repositories for language, _ in repository.asked))
