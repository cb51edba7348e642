"""Natural language for the mixture (Table 1), found in the code itself.

``natural_language_code`` is documentation as it is (READMEs, ``.md``, ``.rst``, ``.txt``) and the docstrings
of Python modules. ``natural_language`` is a **stand-in**: the paper's is general text of the web, and what is made
here is only the running prose of that same documentation, paragraph by paragraph, without code,
lists, tables and headings. It keeps a model used to whole sentences; it teaches no facts about the world.
Give a corpus of real prose as a source (rows of ``kind`` ``natural_language``) for a training that matters.
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
from codecascade.corpus.reading.functions import definitions, parse_python
from codecascade.corpus.steps.step import BatchFunction, StepOutcome

STEP = "natural language"

SHORTEST_DOCUMENT = 300
"""Characters of a document made here."""
SHORTEST_PARAGRAPH = 200
LEAST_LETTERS = 0.92
"""Share of letters and blanks in running prose; code, formulas and lists of parameters stay below."""

RICH = 0.2
"""Share of docstrings from which a file is rich in them; the mean is 0.15."""

_EMPTY_LINES = re.compile(r"\n(?:[ \t\r]*\n)+")


def natural_language_step(*, docstrings: bool, share_of_code: float | None) -> BatchFunction:
    """Adds, behind every document, what is made of it: of Python its docstrings, of all documentation its prose."""

    def run(batch: pa.RecordBatch) -> StepOutcome:
        made = with_natural_language(
            documents_from_batch(batch), docstrings=docstrings, share_of_code=share_of_code
        )
        return StepOutcome(batch_from_documents(list(made)), dropped.no_rows())

    return run


def with_natural_language(
    documents: Iterable[Document], *, docstrings: bool, share_of_code: float | None
) -> Iterator[Document]:
    """Every document, followed by what is made of it: of Python its docstrings, of all documentation its prose.

    Args:
        docstrings: whether to look into Python code.
        share_of_code: most bytes made, as a share of the bytes of code of the batch seen so far, so that what is made
            is spread over the whole corpus; none means no limit. With a limit only files rich in docstrings are used,
            since parsing (3 MB/s) is by far the slowest step of a build.
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
    """Roughly the share of a Python file that is docstrings."""
    return sum(map(len, text.split('"""')[1::2])) / len(text)


def derived_documents(source: Document) -> Iterator[Document]:
    """The documents of natural language that one document gives: none, one or two."""
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
    """The docstrings of a Python file as one page: the module's, then every class's and function's under its name.

    Empty if there are none or the file isn't valid Python.
    """
    tree = parse_python(text) if '"""' in text or "'''" in text else None
    if tree is None:
        return ""
    parts = []
    if docstring := ast.get_docstring(tree):
        parts.append(docstring)
    for name, node in definitions(tree.body):
        if docstring := ast.get_docstring(node):
            signature = "" if isinstance(node, ast.ClassDef) else f"({ast.unparse(node.args)})"
            parts.append(f"{name}{signature}\n{textwrap.indent(docstring, '    ')}")
    module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    return "\n\n".join([module, *parts]) + "\n" if parts else ""


def prose(text: str) -> str:
    """The paragraphs of running prose in a text, each as one line; empty if there are none."""
    paragraphs = (" ".join(block.split()) for block in _EMPTY_LINES.split(text) if _is_even(block))
    return "\n\n".join(paragraph for paragraph in paragraphs if _is_prose(paragraph))


def _is_even(block: str) -> bool:
    """Whether all lines begin at the same column: lists and descriptions of parameters don't."""
    return len({len(line) - len(line.lstrip()) for line in block.splitlines()}) == 1


def _is_prose(paragraph: str) -> bool:
    return (
        len(paragraph) >= SHORTEST_PARAGRAPH
        and paragraph[0].isupper()
        and paragraph[-1] in ".!?:)"
        and sum(character.isalpha() or character == " " for character in paragraph)
        >= LEAST_LETTERS * len(paragraph)
    )
