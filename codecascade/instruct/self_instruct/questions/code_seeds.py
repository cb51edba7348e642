"""Pieces of code that questions are asked about: functions and classes of Python, a few lines of other languages.

Only code under permissive licences or the user's own is taken: what is made of it may be published with a model.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from codecascade.corpus.corpus import Corpus, DocumentTable
from codecascade.corpus.documents import Document, keyed_draw
from codecascade.corpus.reading.functions import Definition, SourcePositions, definitions
from codecascade.corpus.reading.licenses import is_permissive
from codecascade.ground.errors import UserError
from codecascade.ground.format import listed
from codecascade.ground.python_source import parse_module, unparse

SHORTEST, LONGEST = 80, 2500
"""Characters of a piece of code."""
LINES = 15
"""Of a piece of a language other than Python, as in OSS-Instruct (Wei et al. 2024)."""
MOST_OF_ONE = 20
"""Pieces of one document, so that a long file is not asked about for ever."""


@dataclass(frozen=True)
class CodeSeed:
    """A piece of code, and where it comes from."""

    code: str
    name: str
    """Of the function or class (``Class.method``); of other languages the number of its first line."""
    document: Document

    @property
    def provenance(self) -> dict[str, str]:
        """What a question about it keeps, for the datasheet."""
        facts = {
            "repository": self.document.repository,
            "path": self.document.path,
            "function": self.name,
            "license": self.document.license,
            "revision": self.document.revision,
            "document": self.document.id,
        }
        return {key: value for key, value in facts.items() if value}


def code_seeds(corpus: Corpus, languages: Sequence[str], seed: int) -> Iterator[CodeSeed]:
    """Pieces of a corpus's training documents, in an order that ``seed`` decides.

    One piece of each document comes before a second one of any. No piece comes twice.

    Args:
        languages: of the documents; none: all that the corpus has code in.

    Raises:
        UserError: the corpus has none of the languages, or no code that may be used.
    """
    tables = [corpus.documents("train", language) for language in languages or ("code",)]
    places = [place for table in tables for place in _usable(table)]
    if not places:
        raise UserError(
            "holds no code under a permissive licence or of your own, so no questions can be asked about it",
            file=corpus.path,
        )
    places.sort(key=lambda place: keyed_draw(str(seed), "code", place[2]))
    anything = False
    for round_ in range(MOST_OF_ONE):
        left = []
        for table, index, id_ in places:
            found = pieces_of(table[index])
            if round_ < len(found):
                found.sort(key=lambda piece: keyed_draw(str(seed), "piece", id_, piece.name))
                anything = True
                yield found[round_]
                left.append((table, index, id_))
        places = left
    if not anything:
        kind = f"code in {listed(languages)}" if languages else "code"
        raise UserError(
            f"holds no {kind} that a question could be asked about: functions or classes of {SHORTEST} to "
            f"{LONGEST:,} characters, or lines of other languages",
            file=corpus.path,
        )


def _usable(table: DocumentTable) -> list[tuple[DocumentTable, int, str]]:
    ids, licenses = table.values("id"), table.values("license")
    may_be_used = {license_: is_permissive(license_) for license_ in set(licenses)}
    return [
        (table, index, id_)
        for index, (id_, license_) in enumerate(zip(ids, licenses, strict=True))
        if may_be_used[license_]
    ]


def pieces_of(document: Document) -> list[CodeSeed]:
    """All pieces of a document that a question can be asked about."""
    if document.language == "python":
        return [CodeSeed(code, name, document) for name, code in _python_pieces(document.text)]
    return [CodeSeed(code, str(line), document) for line, code in _line_pieces(document.text)]


def _python_pieces(text: str) -> Iterator[tuple[str, str]]:
    """Public functions and classes, each with its whole name; a long class as an outline of what it offers."""
    tree = parse_module(text)
    if tree is None:
        return
    positions = SourcePositions(text)
    for name, node in definitions(tree.body):
        last = name.rpartition(".")[2]
        if last.startswith("_") or last.lower().startswith(("test", "setup", "teardown")):
            continue
        start, end = positions.whole_lines(node)
        code = text[start:end]
        if isinstance(node, ast.ClassDef) and len(code) > LONGEST:
            code = _outline(node)
        if SHORTEST <= len(code) <= LONGEST and len(node.body) + code.count("\n") > 2:
            yield name, _dedented(code)


def _outline(node: ast.ClassDef) -> str:
    """A class without the bodies of its methods: their signatures and the first lines of their docstrings."""
    lines = [f"class {node.name}:"]
    lines += _first_line(node, "    ")
    for method in node.body:
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and not method.name.startswith("_"):
            arguments = unparse(method.args)
            returns = "" if method.returns is None else unparse(method.returns)
            if arguments is None or returns is None:
                # nested too deeply to be shown
                continue
            lines.append(f"    def {method.name}({arguments}){returns and ' -> '}{returns}:")
            lines += _first_line(method, "        ") or ["        ..."]
    return "\n".join(lines)


def _first_line(node: Definition, indentation: str) -> list[str]:
    docstring = ast.get_docstring(node)
    return [f'{indentation}"""{docstring.splitlines()[0]}"""'] if docstring else []


def _dedented(code: str) -> str:
    """Code at the left margin. The lines of a text in it that begin further left stay where they are."""
    first = len(code) - len(code.lstrip(" \t"))
    return "\n".join(line[first:] if not line[:first].strip() else line for line in code.split("\n"))


def _line_pieces(text: str) -> Iterator[tuple[int, str]]:
    """Runs of at most ``LINES`` lines that begin with a line of code, one after the other."""
    lines = text.split("\n")
    number = 0
    while number < len(lines):
        if not any(character.isalpha() for character in lines[number]):
            number += 1
            continue
        code = "\n".join(lines[number : number + LINES]).rstrip()
        if SHORTEST <= len(code) <= LONGEST:
            yield number + 1, code
        number += LINES
