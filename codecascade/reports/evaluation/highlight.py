"""Highlights code as HTML that is small enough for thousands of problems: ``<i class=k>def</i> f():``.

Only keywords, strings, comments, numbers and defined names are marked. Neighbouring tokens of one colour share a
mark.
"""

from __future__ import annotations

import html
from collections.abc import Iterator
from functools import cache, lru_cache

from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.token import Token
from pygments.util import ClassNotFound

_ALIASES = {"cs": "csharp", "sh": "bash", "py": "python"}
_COLOURS = (
    (Token.Comment, "c"),
    (Token.Literal.String, "s"),
    (Token.Literal.Number, "m"),
    (Token.Name.Function, "f"),
    (Token.Name.Class, "f"),
    (Token.Name.Decorator, "f"),
    (Token.Name.Builtin.Pseudo, "m"),
    (Token.Keyword.Constant, "m"),
    (Token.Operator.Word, "k"),
    (Token.Keyword, "k"),
)
# Longer texts, in characters, are not highlighted.
_LONGEST = 20_000


def highlight(code: str, language: str = "python", *, after: str = "") -> str:
    """``code`` as HTML for the inside of ``<pre>``; without marks if the language is unknown or the text is long.

    Args:
        after: the text that comes before ``code``. If it ends inside a string (a prompt that ends in a docstring),
            the string continues in ``code``.
    """
    before = after if after and _ends_inside_string(after, language) else ""
    runs: list[str] = []
    run, colour = "", ""
    for text, kind in _tokens(before + code, language, len(before)):
        if kind != colour and text.strip():
            runs.append(_run(run, colour))
            run, colour = "", kind
        run += text
    return "".join([*runs, _run(run, colour)])


def _tokens(code: str, language: str, start: int) -> Iterator[tuple[str, str]]:
    """The tokens of the code from position ``start`` on, with their colours."""
    position = 0
    for text, colour in _lexed(code, language):
        position += len(text)
        if position > start:
            yield text[-(position - start) :], colour


@lru_cache(maxsize=256)
def _lexed(code: str, language: str) -> tuple[tuple[str, str], ...]:
    lexer = _lexer(language)
    if lexer is None or len(code) > _LONGEST:
        return ((code, ""),)
    return tuple((text, _colour(kind)) for _, kind, text in lexer.get_tokens_unprocessed(code))


def _ends_inside_string(code: str, language: str) -> bool:
    tokens = _lexed(code, language)
    return bool(tokens) and tokens[-1][1] in ("s", "c")


def _run(text: str, colour: str) -> str:
    """Mark a text with a colour. White space at its end stays outside the mark."""
    escaped = html.escape(text, quote=False)
    if not colour or not text:
        return escaped
    bare = escaped.rstrip()
    return f"<i class={colour}>{bare}</i>{escaped[len(bare) :]}"


@cache
def _colour(kind: object) -> str:
    return next((letter for parent, letter in _COLOURS if kind in parent), "")


@cache
def _lexer(language: str) -> Lexer | None:
    name = language.lower()
    try:
        return get_lexer_by_name(_ALIASES.get(name, name))
    except ClassNotFound:
        return None
