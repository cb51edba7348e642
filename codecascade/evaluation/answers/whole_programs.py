"""Which of several texts is the program that a reply gives, where no function is asked for by its name."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from codecascade.evaluation.answers.names import Definition, bound_names, in_module
from codecascade.evaluation.answers.parsing import parse_python
from codecascade.evaluation.answers.python_code import (
    append_program,
    is_program,
    missing_names,
    with_needed_definitions,
)

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
    def definitions(self) -> frozenset[str]:
        """The names of its functions and classes."""
        return frozenset(each.name for each in self.tree.body if isinstance(each, Definition))

    @cached_property
    def runs(self) -> bool:
        """Whether it reads or prints when it is run, or uses what it defines: not only defines it."""
        return self.uses(self.definitions) or any(
            _called_name(node) in self._doers for node in self._outer_nodes if isinstance(node, ast.Call)
        )

    def uses(self, names: Collection[str]) -> bool:
        """Whether it uses one of the names outside of its own functions."""
        return any(
            isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in names
            for node in self._outer_nodes
        )

    @cached_property
    def _outer_nodes(self) -> list[ast.AST]:
        return [node for each in self.tree.body for node in in_module(each)]

    @cached_property
    def _doers(self) -> frozenset[str]:
        """What may read or print if it is called: also a variable, which may be such a function."""
        assigned = (each for each in self.tree.body if not isinstance(each, ast.Import | ast.ImportFrom))
        return _READING | _PRINTING | {name for each in assigned for name in bound_names(each)}

    @cached_property
    def reads_and_prints(self) -> bool:
        return self.prints and not _READING.isdisjoint(_words(self.tree))


def whole_program(texts: Sequence[str], *, prints: bool = False) -> str | None:
    """The last of some texts that is a program by itself; None if none is.

    One that reads an input and prints is preferred, then one that does so with what other texts define, then one that
    prints. Others are helpers, samples, or lines that are explained; so is what stands in another text. Where a
    program only defines functions, a later text that uses them (``main()``) belongs to it.

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
    idle: list[str] = []
    for index, each in _most_likely_first(found):
        if idle and not each.reads_and_prints:
            break
        if (program := _that_runs(each, found[index + 1 :])) is not None:
            return program
        idle.append(each.code)
    if idle:
        return idle[0]
    rest = [each for each in found if each.is_complete] or found
    return rest[-1].code if rest and not prints else None


def _most_likely_first(found: Sequence[_Candidate]) -> Iterator[tuple[int, _Candidate]]:
    """Programs that lack no name, with the number of the text that each was made of."""
    backwards = range(len(found) - 1, -1, -1)
    whole = [(index, found[index]) for index in backwards if found[index].is_complete]
    yield from ((index, each) for index, each in whole if each.reads_and_prints)
    known = {name for each in found for statement in each.tree.body for name in bound_names(statement)}
    lacking = [index for index in backwards if _lacks_only(found[index], known)]
    # Those that read and print themselves, then those that call what does.
    for index in sorted(lacking, key=lambda index: not found[index].reads_and_prints):
        others = [*found[index + 1 :][::-1], *found[:index]]
        both = with_needed_definitions(found[index].code, [each.code for each in others])
        if (tree := parse_python(both)) is not None:
            each = _Candidate(both, tree)
            if each.reads_and_prints and each.is_complete:
                yield index, each
    yield from ((index, each) for index, each in whole if each.prints and not each.reads_and_prints)


def _lacks_only(program: _Candidate, known: Collection[str]) -> bool:
    """Whether a text lacks names, and all that it lacks is known."""
    lacking = missing_names(program.tree)
    return bool(lacking) and lacking.issubset(known)


def _that_runs(program: _Candidate, later: Sequence[_Candidate]) -> str | None:
    """A program, with a later text that uses what it defines if it only defines; None if there is none."""
    if program.runs:
        return program.code
    for other in reversed(later):
        if other.uses(program.definitions):
            both = append_program(program.code.rstrip("\r\n") + "\n", other.code)
            if (tree := parse_python(both)) is not None and not missing_names(tree):
                return both
    return None


def _called_name(call: ast.Call) -> str:
    """The name of what is called, without what it is an attribute of."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _words(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name
