"""Which of several texts is the program that a reply gives, where no function is asked for by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from codecascade.evaluation.answers.parsing import parse_python
from codecascade.evaluation.answers.python_code import is_program, missing_names, with_needed_definitions

_READING = frozenset({"input", "stdin", "open", "read", "fileinput"})
_PRINTING = frozenset({"print", "stdout", "write", "writelines"})

_MOST = 100
"""How many programs are compared with each other."""


@dataclass(frozen=True)
class _Candidate:
    code: str
    tree: ast.Module

    @cached_property
    def lines(self) -> str:
        """Its lines without their indents, between line breaks."""
        return "\n".join(["", *(line.strip() for line in self.code.strip().splitlines()), ""])

    @cached_property
    def is_complete(self) -> bool:
        return not missing_names(self.tree)

    @cached_property
    def prints(self) -> bool:
        return not _PRINTING.isdisjoint(_words(self.tree))

    @cached_property
    def reads_and_prints(self) -> bool:
        return self.prints and not _READING.isdisjoint(_words(self.tree))


def whole_program(texts: Sequence[str], *, prints: bool = False) -> str | None:
    """The last of some texts that is a program by itself; None if none is.

    One that reads an input and prints is preferred, then one that does so with what other texts define, then one that
    prints. Others are helpers, samples, or lines that are explained; so is what stands in another text.

    Args:
        prints: give None if none of them prints. Otherwise the last one that is Python is taken then.
    """
    parsed = [(text, tree) for text in texts if (tree := parse_python(text)) is not None and is_program(tree)]
    found = [_Candidate(text, tree) for text, tree in parsed[-_MOST:]]
    found = [
        each
        for each in found
        if not any(len(each.lines) < len(other.lines) and each.lines in other.lines for other in found)
    ]
    for each in reversed(found):
        if each.reads_and_prints and each.is_complete:
            return each.code
    for index in range(len(found) - 1, -1, -1):
        if found[index].reads_and_prints:
            others = [*found[index + 1 :][::-1], *found[:index]]
            both = with_needed_definitions(found[index].code, [each.code for each in others])
            if (tree := parse_python(both)) is not None and not missing_names(tree):
                return both
    for each in reversed(found):
        if each.prints and each.is_complete:
            return each.code
    rest = [each for each in found if each.is_complete] or found
    return rest[-1].code if rest and not prints else None


def _words(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
