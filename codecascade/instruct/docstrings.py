"""What a docstring says: its summary, its prose, and its examples as tests of one function."""

from __future__ import annotations

import ast
import doctest
import re
from typing import NamedTuple

from codecascade.corpus.reading.functions import SourcePositions
from codecascade.ground.python_source import NotPythonError, parse

LONGEST_SUMMARY = 200
LONGEST_DESCRIPTION = 800
"""Characters."""

_PARAGRAPHS = re.compile(r"\n[ \t]*\n")
# NumPy's underlined headings, Google's `Args:`, Sphinx's fields and directives: where the prose of a docstring ends.
_SECTION = re.compile(
    r"[^\n]+\n\s*[-=~]{3,}"
    r"|(args|arguments|parameters|params|returns?|raises|yields|examples?|usage|notes?|see also|references?)\s*::?"
    r"|:(param|type|return|rtype|raises|arg)\w*\b|\.\. |>>> ",
    re.IGNORECASE,
)
_ROLE = re.compile(r":[a-z:]+:`~?([^`]*)`")


class DoctestExample(NamedTuple):
    """An interactive example: ``want`` is the output, ``error`` the message of the exception, that it must give."""

    source: str
    want: str
    error: str | None
    options: dict[int, bool]


def docstring_prose(docstring: str) -> str:
    """The prose at the beginning of a docstring: whole paragraphs, without roles and double backquotes."""
    kept: list[str] = []
    for paragraph in _PARAGRAPHS.split(docstring.strip()):
        if _SECTION.match(paragraph.strip()) or ">>> " in paragraph:
            break
        kept.append(_ROLE.sub(r"`\1`", paragraph.strip("\n")).replace("``", "`").rstrip())
        if sum(map(len, kept)) > LONGEST_DESCRIPTION:
            kept.pop()
            break
    # what ends in a colon announces what was cut off
    while kept and kept[-1].endswith(":"):
        kept.pop()
    return "\n\n".join(kept)


def summary_of(docstring: str) -> str:
    """The first paragraph or, where that is long, its first sentence; empty if it can't be quoted."""
    paragraph = " ".join(docstring_prose(docstring).partition("\n\n")[0].split())
    summary = paragraph if len(paragraph) <= LONGEST_SUMMARY else paragraph.partition(". ")[0] + "."
    writable = "\\" not in summary and '"""' not in summary and not summary.endswith('"')
    return summary if writable and len(summary) <= LONGEST_SUMMARY else ""


def own_examples(docstring: str, name: str, modules: set[str]) -> list[DoctestExample]:
    """A docstring's examples as tests of whatever ``name`` is bound to where they run.

    Written for a package, examples import their function from it (``from m import f``) or reach it through it
    (``np.f(x)``); then they would test the package's function. Such imports are left out and such calls become
    ``f(x)``.

    Args:
        modules: names of imported modules that the examples may use without importing them.

    Returns:
        Nothing if the examples can't be parsed, bind the name to something else, or say nothing about the function.
    """
    modules = set(modules)
    examples: list[DoctestExample] = []
    names: list[ast.AST] = []
    checked = False
    try:
        for example in doctest.DocTestParser().get_examples(docstring):
            tree = parse(example.source)
            modules |= {a.asname or a.name for s in tree.body if isinstance(s, ast.Import) for a in s.names}
            source = _without_import(tree, example.source, name)
            if source is None:
                continue
            source = _called_by_name(source, name, modules)
            names += [node for node in ast.walk(parse(source)) if _uses_or_binds(node, name)]
            examples.append(DoctestExample(source, example.want, example.exc_msg, example.options))
            if not example.options.get(doctest.SKIP):
                checked |= bool(example.exc_msg or example.want.strip(" .\n"))
    except (NotPythonError, ValueError):
        # A ValueError is of doctest's: inconsistent indentation.
        return []
    if (
        not checked
        or not names
        or any(not isinstance(getattr(node, "ctx", None), ast.Load) for node in names)
    ):
        return []
    return examples


def _uses_or_binds(node: ast.AST, name: str) -> bool:
    """Whether a node uses or binds ``name``."""
    if isinstance(node, ast.Name):
        return node.id == name
    if isinstance(node, ast.alias):
        return (node.asname or node.name) in (name, "*")
    return isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name


def _without_import(tree: ast.Module, source: str, name: str) -> str | None:
    """An example without its import of ``name``; none if nothing is left of it."""
    if len(tree.body) != 1 or not isinstance(statement := tree.body[0], ast.ImportFrom):
        return source
    others = [alias for alias in statement.names if (alias.asname or alias.name) != name]
    if len(others) == len(statement.names):
        return source
    statement.names = others
    return ast.unparse(statement) + "\n" if others else None


def _called_by_name(source: str, name: str, modules: set[str]) -> str:
    """An example with ``module.name`` written as ``name``."""
    positions = SourcePositions(source)
    spans = [
        positions.span(node)
        for node in ast.walk(parse(source))
        if isinstance(node, ast.Attribute) and node.attr == name and _module_name(node.value) in modules
    ]
    for start, end in sorted(spans, reverse=True):
        source = source[:start] + name + source[end:]
    return source


def _module_name(node: ast.expr) -> str:
    """``a.b`` of a dotted name; empty for any other expression."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (start := _module_name(node.value)):
        return f"{start}.{node.attr}"
    return ""
