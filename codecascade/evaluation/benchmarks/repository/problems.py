"""Makes problems: ends of lines that begin with a name of another file, and what is shown of the other files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from codecascade.corpus.imports import READ_WITH
from codecascade.corpus.similar_parts import PartIndex, by_similarity, query_words
from codecascade.evaluation.benchmarks.repository.files import Repository
from codecascade.evaluation.benchmarks.repository.python_imports import PythonRepository
from codecascade.evaluation.benchmarks.repository.script_imports import ScriptRepository
from codecascade.evaluation.benchmarks.repository.settings import FileContext, RepositorySettings
from codecascade.evaluation.benchmarks.repository.uses import FileUses, RepositoryReader, Use
from codecascade.ground.seeds import generator
from codecascade.tokens.repository import RepositoryChunk

READERS: dict[str, Callable[[Mapping[str, str]], RepositoryReader]] = {
    "python": PythonRepository,
    "script": ScriptRepository,
}
"""What reads a repository's files of a group of languages."""
_MOST_CHUNKS = 24
"""Parts of other files for one problem, at most."""


@dataclass(frozen=True)
class RepositoryProblem:
    """A file with the end of one line masked, and what may be shown of other files.

    Attributes:
        middle: the end of the line, from the use of the name on.
        name: what another file defines.
        chunks: by context, the most important one last.
    """

    task_id: str
    repository: str
    path: str
    language: str
    prefix: str
    middle: str
    suffix: str
    name: str
    chunks: Mapping[FileContext, tuple[RepositoryChunk, ...]]


@dataclass(frozen=True)
class _Found:
    repository: Repository
    language: str
    path: str
    uses: FileUses


def repository_problems(
    repositories: Sequence[Repository], settings: RepositorySettings, seed: int
) -> list[RepositoryProblem]:
    """Up to ``settings.problems`` problems, chosen by the seed, from as many repositories and files as possible."""
    wanted = settings.problems
    chosen: list[tuple[_Found, int]] = []
    for found, number in _in_turn(repositories, settings, seed):
        chosen.append((found, number))
        if wanted is not None and len(chosen) >= wanted:
            break
    indexes: dict[tuple[str, str], PartIndex] = {}
    made = []
    for found, number in chosen:
        group = READ_WITH[found.language]
        files = found.repository.files[group]
        key = found.repository.name, group
        if key not in indexes and "similar" in settings.contexts:
            indexes[key] = PartIndex(files)
        use = found.uses.uses[number]
        text = files[found.path]
        prefix, middle, suffix = text[: use.start], text[use.start : use.end], text[use.end :]
        query = query_words(prefix)
        chunks: dict[FileContext, tuple[RepositoryChunk, ...]] = {"none": ()}
        chunks["imported"] = tuple(by_similarity(query, _imported(found.uses, use))[-_MOST_CHUNKS:])
        if key in indexes:
            chunks["similar"] = tuple(indexes[key].similar(query, found.path, _MOST_CHUNKS))
        others = _others(chosen, found, seed)
        if others is not None:
            chunks["wrong"] = tuple(by_similarity(query, _imported(others.uses))[-_MOST_CHUNKS:])
        # A line may use names of two files that are spelt alike (`first.run(second.run(1))`).
        line, column = prefix.count("\n") + 1, len(prefix) - prefix.rfind("\n")
        made.append(
            RepositoryProblem(
                f"{found.repository.name}/{found.path}:{line}:{column}:{use.name}",
                found.repository.name,
                found.path,
                found.language,
                prefix,
                middle,
                suffix,
                use.name,
                {name: chunks[name] for name in settings.contexts if name in chunks},
            )
        )
    return made


def _in_turn(
    repositories: Sequence[Repository], settings: RepositorySettings, seed: int
) -> Iterator[tuple[_Found, int]]:
    """One use of one file of each repository in turn, then the next of each. Files are read when their turn comes."""
    in_order = sorted(repositories, key=lambda each: generator(seed, "repository", each.name).random())
    rounds = zip_longest(*(_of_repository(each, settings, seed) for each in in_order))
    return (each for one_each in rounds for each in one_each if each is not None)


def _of_repository(
    repository: Repository, settings: RepositorySettings, seed: int
) -> Iterator[tuple[_Found, int]]:
    """First one use of each file, then second uses, up to ``settings.per_file``."""
    readers = {group: READERS[group](files) for group, files in repository.files.items()}
    asked = list(repository.asked)
    generator(seed, "files", repository.name).shuffle(asked)
    further: list[tuple[_Found, list[int]]] = []
    for language, path in asked:
        uses = readers[READ_WITH[language]].uses(path)
        found = _Found(repository, language, path, uses)
        fitting = [
            number
            for number, use in enumerate(uses.uses)
            if settings.min_characters <= use.end - use.start <= settings.max_characters
        ]
        if fitting:
            generator(seed, repository.name, path).shuffle(fitting)
            further.append((found, fitting))
            yield found, fitting[0]
    for turn in range(1, settings.per_file):
        for found, fitting in further:
            if turn < len(fitting):
                yield found, fitting[turn]


def _imported(uses: FileUses, asked: Use | None = None) -> list[RepositoryChunk]:
    return [RepositoryChunk(found.path, found.text) for found in uses.definitions(asked)]


def _others(chosen: Sequence[tuple[_Found, int]], found: _Found, seed: int) -> _Found | None:
    """Another problem's file, which imports from other files than this one does; None if there is none."""
    own = {definition.path for definition in found.uses.definitions()} | {found.path}
    fitting = {
        (each.repository.name, each.path): each
        for each, _ in chosen
        if READ_WITH[each.language] == READ_WITH[found.language]
        and (
            each.repository.name != found.repository.name
            or own.isdisjoint({definition.path for definition in each.uses.definitions()} | {each.path})
        )
    }
    if not fitting:
        return None
    return generator(seed, "wrong", found.repository.name, found.path).choice(list(fitting.values()))
