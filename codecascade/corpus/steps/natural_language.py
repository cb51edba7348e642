"""Derives natural language for the mixture (Table 1) from code and documentation.

``natural_language_code`` is documentation as it is (READMEs, ``.md``, ``.rst``, ``.txt``) and the docstrings of
Python modules. ``natural_language`` is a **substitute**: the paper uses general web text, and here it is only the
prose of the same documentation, paragraph by paragraph, without code, lists, tables and headings. It keeps a model
used to complete sentences; it teaches no facts about the world. For serious training, add real prose as a source
(rows of ``kind`` ``natural_language``).
"""

from __future__ import annotations

import ast
import math
import re
import textwrap
from collections.abc import Iterable, Iterator

import pyarrow as pa

from codecascade.corpus.documents import (
    Document,
    batch_from_documents,
    document,
    documents_from_batch,
    text_bytes,
)
from codecascade.corpus.output import dropped
from codecascade.corpus.reading.functions import definitions
from codecascade.corpus.steps.step import BatchFunction, StepOutcome
from codecascade.ground.python_source import parse_module, unparse

STEP = "natural language"

SHORTEST_DOCUMENT = 300
"""Fewest characters of a derived document."""
SHORTEST_PARAGRAPH = 200
LEAST_LETTERS = 0.92
"""Least share of letters and blanks in prose; code, formulas and parameter lists have less."""

RICH = 0.2
"""Least share of docstrings in a file that counts as rich in them; the mean is 0.15."""

_EMPTY_LINES = re.compile(r"\n(?:[ \t\r]*\n)+")


def natural_language_step(*, docstrings: bool, share_of_code: float | None) -> BatchFunction:
    """Adds derived documents after each document: the docstrings of Python code, the prose of documentation."""

    def run(batch: pa.RecordBatch) -> StepOutcome:
        made = with_natural_language(
            documents_from_batch(batch), docstrings=docstrings, share_of_code=share_of_code
        )
        return StepOutcome(batch_from_documents(list(made)), dropped.no_rows())

    return run


def with_natural_language(
    documents: Iterable[Document], *, docstrings: bool, share_of_code: float | None
) -> Iterator[Document]:
    """Every document, followed by those derived from it: docstrings of Python code, prose of documentation.

    Args:
        docstrings: whether to look into Python code.
        share_of_code: most bytes of derived text, as a share of the bytes of code of the batch so far, so that
            derived text is spread over the corpus; None: no limit. With a limit only files rich in docstrings are
            parsed, because parsing (3 MB/s) is by far the slowest step of a build.
    """
    seen = made = 0
    for source in documents:
        yield source
        allowed = math.inf
        if source.kind == "code":
            seen += text_bytes(source)
            if not docstrings or (share_of_code is not None and docstring_share(source.text) < RICH):
                continue
        if share_of_code is not None:
            allowed = share_of_code * seen
        if made < allowed:
            for derived in derived_documents(source):
                if made + text_bytes(derived) <= allowed:
                    made += text_bytes(derived)
                    yield derived


def docstring_share(text: str) -> float:
    """The approximate share of a Python file that is docstrings."""
    return sum(map(len, text.split('"""')[1::2])) / len(text)


def derived_documents(source: Document) -> Iterator[Document]:
    """The natural-language documents derived from one document: none, one or two."""
    described = source.text if source.kind == "natural_language_code" else ""
    if source.kind == "code" and source.language == "python":
        described = docstring_page(source.text, source.path)
        if len(described) >= SHORTEST_DOCUMENT:
            yield _derived(source, described, "natural_language_code")
    paragraphs = prose(described)
    if len(paragraphs) >= SHORTEST_DOCUMENT:
        yield _derived(source, paragraphs, "natural_language")


def _derived(source: Document, text: str, kind: str) -> Document:
    return document(
        text,
        path=source.path,
        repository=source.repository,
        language="text",
        license=source.license,
        kind=kind,
        revision=source.revision,
    )


def docstring_page(text: str, path: str) -> str:
    """The docstrings of a Python file as one page: the module's, then those of classes and functions with their
    names.

    Empty if there are none, or the file isn't valid Python.
    """
    tree = parse_module(text) if '"""' in text or "'''" in text else None
    if tree is None:
        return ""
    parts = []
    if docstring := ast.get_docstring(tree):
        parts.append(docstring)
    for name, node in definitions(tree.body):
        if docstring := ast.get_docstring(node):
            signature = "" if isinstance(node, ast.ClassDef) else f"({unparse(node.args) or '...'})"
            parts.append(f"{name}{signature}\n{textwrap.indent(docstring, '    ')}")
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return "\n\n".join([module, *parts]) + "\n" if parts else ""


def prose(text: str) -> str:
    """The paragraphs of prose in a text, each as one line; "" if there are none."""
    paragraphs = (" ".join(block.split()) for block in _EMPTY_LINES.split(text) if _is_even(block))
    return "\n\n".join(paragraph for paragraph in paragraphs if _is_prose(paragraph))


def _is_even(block: str) -> bool:
    """Whether all lines are indented equally, unlike those of lists and parameter descriptions."""
    return len({len(line) - len(line.lstrip()) for line in block.splitlines()}) == 1


def _is_prose(paragraph: str) -> bool:
    return (
        len(paragraph) >= SHORTEST_PARAGRAPH
        and paragraph[0].isupper()
        and paragraph[-1] in ".!?:)"
        and sum(character.isalpha() or character == " " for character in paragraph)
        >= LEAST_LETTERS * len(paragraph)
    )
