"""Parts of other files of the repository, which editors send before the file that a gap is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from codecascade.corpus.corpus import Corpus
from codecascade.corpus.documents import Document
from codecascade.corpus.similar_parts import PartIndex, query_words
from codecascade.evaluation.benchmarks.repository.files import LARGEST
from codecascade.tokens.repository import RepositoryChunk

_MOST = 32
"""Parts of one prompt. They have ten lines each, so that more would hardly fit."""

_Key = tuple[str, str]


class Neighbours:
    """The files of the repositories that some documents are from, by repository and language.

    Where single files of a repository are held out, its other files are those that a model is trained on: so it is in
    an editor. The parts are the most similar ones to the lines before the gap.
    """

    def __init__(self, corpus: Corpus, documents: Iterable[Document]) -> None:
        wanted = {(each.repository, each.language) for each in documents}
        files: dict[_Key, dict[str, str]] = {key: {} for key in wanted}
        for document in _documents(corpus, {repository for repository, _ in wanted}):
            key = document.repository, document.language
            if key in files and len(document.text) <= LARGEST:
                files[key][document.path] = document.text
        self._indices = {key: PartIndex(texts) for key, texts in files.items()}

    def of(self, document: Document, prefix: str) -> tuple[RepositoryChunk, ...]:
        """Parts of files other than the document's, the most similar one last."""
        index = self._indices[document.repository, document.language]
        return tuple(index.similar(query_words(prefix), document.path, _MOST))


def _documents(corpus: Corpus, repositories: set[str]) -> Iterator[Document]:
    for split in ("heldout", "train"):
        table = corpus.documents(split, "code")
        for index, repository in enumerate(table.values("repository")):
            if repository in repositories:
                yield table[index]
