"""What must be known of a programming language to see its brackets: comments and strings, read letter by letter."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

OPENING = {")": "(", "]": "[", "}": "{"}
"""Of each closing bracket."""


@dataclass(frozen=True)
class Syntax:
    """Of a family of languages.

    Attributes:
        comments: what begins a comment that ends with its line.
        block_comment: what begins and ends a comment of any length.
        quotes: letters around a string that ends with its line at the latest.
        long_quotes: what stands around a string of any length.
        spaced_comments: a comment begins behind white space only (``$#`` of a shell is none).
        indents: lines of less indentation end a block. Prose has no blocks.
        preprocessor: lines that begin with ``#`` stand at any indentation.
        statement_end: what ends each statement, whatever lines it has; "" where lines end statements.
    """

    comments: tuple[str, ...] = ()
    block_comment: tuple[str, str] | None = None
    quotes: str = "\"'"
    long_quotes: tuple[str, ...] = ()
    spaced_comments: bool = False
    indents: bool = True
    preprocessor: bool = False
    statement_end: str = ""


_HASH = Syntax(("#",))
_SHELL = Syntax(("#",), spaced_comments=True)
_BRACES = Syntax(("//",), ("/*", "*/"))
_C = Syntax(("//",), ("/*", "*/"), preprocessor=True, statement_end=";")
_SCRIPT = Syntax(("//",), ("/*", "*/"), long_quotes=("`",))
_TEXT_BLOCKS = Syntax(("//",), ("/*", "*/"), long_quotes=('"""',))
_PYTHON = Syntax(("#",), long_quotes=('"""', "'''"))
_PROSE = Syntax(quotes="", indents=False)
_SYNTAXES: dict[Syntax, str] = {
    _PYTHON: "python starlark cython toml",
    # An apostrophe is a lifetime, a prime or a quotation in some, and no string that ends.
    Syntax(("//",), ("/*", "*/"), quotes='"', statement_end=";"): "rust",
    Syntax(("--",), quotes='"'): "haskell elm ada vhdl",
    Syntax((";",), quotes='"'): "lisp commonlisp clojure scheme racket elisp",
    Syntax(("--",), statement_end=";"): "sql",
    Syntax(("--",)): "lua applescript",
    Syntax(("%",), quotes='"'): "erlang matlab prolog",
    Syntax((), ("<!--", "-->"), indents=False): "html xml vue svelte",
    Syntax((), ("/*", "*/"), statement_end=";"): "css",
    _HASH: "ruby r julia elixir yaml nim crystal coffeescript cmake nix",
    _SHELL: "shell sh bash zsh shellscript fish perl makefile make dockerfile tcl powershell ini conf",
    _C: "c cpp c++ cuda objective-c objc objectivec csharp c# glsl hlsl",
    _TEXT_BLOCKS: "java kotlin scala swift groovy dart",
    _SCRIPT: "javascript typescript javascriptreact typescriptreact jsx tsx js ts go golang",
    _BRACES: "php zig solidity proto protobuf verilog systemverilog scss less json json5 jsonc hcl terraform d v",
    _PROSE: "markdown text plaintext rst restructuredtext latex tex asciidoc org txt",
}
_BY_NAME = {name: syntax for syntax, names in _SYNTAXES.items() for name in names.split()}
# Within a line: \s would try all the blank lines from each of them on.
_BRACED_LINE = re.compile(r"[;{}][^\S\n]*(//.*)?$|^[^\S\n]*//", re.MULTILINE)
_COLON_LINE = re.compile(r":[^\S\n]*(#.*)?$|^[^\S\n]*(import|from|def|class|elif)\b", re.MULTILINE)


def syntax_of(language: str | None, text: str) -> Syntax:
    """The syntax of a language by name, else by the look of the ``text`` around the cursor."""
    known = _BY_NAME.get((language or "").lower())
    if known is not None:
        return known
    braced, colons = len(_BRACED_LINE.findall(text)), len(_COLON_LINE.findall(text))
    return _BRACES if braced > colons else _PYTHON


class Scanner:
    """Reads source text in parts of any size and names the brackets outside of comments and strings.

    A quote that its line does not close is over at the line's end: half a string does no harm beyond its line.
    """

    def __init__(self, syntax: Syntax) -> None:
        self._syntax = syntax
        self._inside = ""  # what ends the comment or string; "" in code, "\n" in a comment of one line
        self._offset = 0  # of the next letter
        self._run, self._run_end = "", 0  # neighbouring letters of interest, and where they end
        self._escaped = -1  # the offset of a letter behind a backslash
        self._before = "\n"  # the letter before the part
        begins = (*syntax.comments, *(syntax.block_comment or ()), *syntax.long_quotes, syntax.quotes)
        letters = re.escape("".join(begins) + "()[]{}\\\n")
        self._interesting = re.compile(f"[{letters}]")

    @property
    def in_text(self) -> bool:
        """Whether the next letter is within a comment or a string, whatever line it is in."""
        return self._inside not in ("", "\n") and self._inside not in self._syntax.quotes

    @property
    def in_code(self) -> bool:
        """Whether the next letter is neither in a comment nor in a string."""
        return not self._inside

    @property
    def text_end(self) -> str:
        """What ends the comment or string that the next letter is within, if it may go on from line to line."""
        return self._inside if self.in_text else ""

    def copy(self) -> Scanner:
        """Another one that has read the same."""
        other = Scanner(self._syntax)
        other.__dict__.update(self.__dict__)
        return other

    def read(self, part: str) -> Iterator[tuple[int, str]]:
        """``(index in part, bracket)`` of each bracket that counts; to be read to its end."""
        for found in self._interesting.finditer(part):
            index, letter = found.start(), found[0]
            before = part[index - 1] if index else self._before
            if self._letter(self._offset + index, letter, before):
                yield index, letter
        if part:
            self._before = part[-1]
            self._offset += len(part)

    def _letter(self, offset: int, letter: str, before: str) -> bool:
        """Whether a letter of interest is a bracket that counts."""
        self._run = (self._run + letter)[-4:] if offset == self._run_end else letter
        self._run_end = offset + 1
        syntax = self._syntax
        if self._inside:
            if letter == "\n":
                if self._inside == "\n" or (self._inside in syntax.quotes and self._escaped != offset):
                    self._inside = ""
            elif offset == self._escaped or self._inside == "\n":
                pass
            elif letter == "\\" and not self._is_comment:
                self._escaped = offset + 1
            elif self._run.endswith(self._inside):
                if len(self._inside) > 1:
                    self._run = ""
                self._inside = ""
            return False
        self._inside = self._opened(letter, before)
        if len(self._inside) > 1 or self._inside == "`":
            self._run = ""
        return not self._inside and letter in "()[]{}"

    @property
    def _is_comment(self) -> bool:
        comment = self._syntax.block_comment
        return comment is not None and self._inside == comment[1]

    def _opened(self, letter: str, before: str) -> str:
        """What ends the comment or string that begins with the run of letters; "" if none does."""
        syntax, run = self._syntax, self._run
        for quotes in syntax.long_quotes:
            if run.endswith(quotes):
                return quotes
        if syntax.block_comment is not None and run.endswith(syntax.block_comment[0]):
            return syntax.block_comment[1]
        if run.endswith(syntax.comments) and (not syntax.spaced_comments or before.isspace()):
            return "\n"
        return letter if letter in syntax.quotes else ""
