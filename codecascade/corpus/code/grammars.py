"""Syntax trees of languages other than Python, by tree-sitter's grammars (the extra ``languages``).

Each grammar is a package of its own, by the makers of tree-sitter. A language without its package has no trees here.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Grammar:
    """How a language is parsed.

    Attributes:
        module: of the grammar's package.
        function: of the module, which gives the grammar.
        bodies: the types of nodes whose children are statements.
    """

    module: str
    function: str
    bodies: frozenset[str]


def _grammar(module: str, bodies: str, function: str = "language") -> Grammar:
    return Grammar(f"tree_sitter_{module}", function, frozenset(bodies.split()))


GRAMMARS = {
    "javascript": _grammar("javascript", "program statement_block class_body"),
    # TSX is TypeScript with elements, and files of both are one language here.
    "typescript": _grammar("typescript", "program statement_block class_body", "language_typescript"),
    "tsx": _grammar("typescript", "program statement_block class_body", "language_tsx"),
    "java": _grammar("java", "block constructor_body class_body"),
    "go": _grammar("go", "source_file statement_list"),
    "rust": _grammar("rust", "source_file block declaration_list"),
    "c": _grammar("c", "translation_unit compound_statement"),
    "c++": _grammar("cpp", "translation_unit compound_statement declaration_list field_declaration_list"),
    "cuda": _grammar("cpp", "translation_unit compound_statement declaration_list field_declaration_list"),
    "c#": _grammar("c_sharp", "block declaration_list"),
    "ruby": _grammar("ruby", "program body_statement block_body then else ensure do"),
    "php": _grammar("php", "program compound_statement declaration_list", "language_php"),
    "shell": _grammar("bash", "program compound_statement do_group"),
}
NOT_INSTALLED = "the grammars are not installed (pip install 'codecascade[languages]')"
"""What is said where some are missing; the extra installs tree-sitter and the grammars."""


def grammar_of(language: str, path: str = "") -> Grammar | None:
    """The grammar of a language by the corpus' name; None if there is none here."""
    name = "tsx" if language == "typescript" and path.endswith(".tsx") else language
    grammar = GRAMMARS.get(name)
    return grammar if grammar is not None and _parser(grammar) is not None else None


def without_grammar(languages: Iterable[str]) -> tuple[str, ...]:
    """Those of the languages, in order, whose grammar would be used if it were installed."""
    return tuple(each for each in sorted({*languages} & GRAMMARS.keys()) if grammar_of(each) is None)


def tree_of(source: bytes, grammar: Grammar) -> Any:
    """The root node of the syntax tree. A text with errors has one, too (``has_error``)."""
    parser = _parser(grammar)
    assert parser is not None
    return parser.parse(source).root_node


def nodes(root: Any) -> Iterator[tuple[Any, Any]]:
    """``(node, parent)`` of all named nodes, each before its children; without recursion, for trees may be deep."""
    waiting = [(root, None)]
    while waiting:
        node, parent = waiting.pop()
        yield node, parent
        waiting += [(child, node) for child in reversed(node.named_children)]


@cache
def _parser(grammar: Grammar) -> Any:
    try:
        tree_sitter = importlib.import_module("tree_sitter")
        module = importlib.import_module(grammar.module)
        return tree_sitter.Parser(tree_sitter.Language(getattr(module, grammar.function)()))
    # A package that is missing, or too old or too new for the other.
    except (ImportError, AttributeError, TypeError, ValueError):
        return None
