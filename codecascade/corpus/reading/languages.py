"""Tells the language of a file by its name. Ambiguous names are resolved by :mod:`.content`.

The names are those of GitHub's linguist in lower case. Data formats (JSON, CSV, XML, ...) and type stubs are left
out on purpose, because a code model should not learn to write them.
"""

from __future__ import annotations

import os
import re

from identify import interpreters

from codecascade.corpus.documents import DocumentKind

NOTEBOOK = "jupyter notebook"
"""A notebook becomes two documents: a script and its prose."""

EXTENSIONS = {
    extension: language
    for language, extensions in {
        "actionscript": ".as",
        "ada": ".adb .ads",
        "antlr": ".g4",
        "applescript": ".applescript",
        "agda": ".agda",
        "assembly": ".asm .s .inc",
        "awk": ".awk",
        "batchfile": ".bat .cmd",
        "c": ".c .h",
        "c#": ".cs",
        "c++": ".cc .cpp .cxx .c++ .hh .hpp .hxx .h++ .inl .ipp .tpp",
        "clojure": ".clj .cljs .cljc",
        "cmake": ".cmake",
        "coffeescript": ".coffee",
        "common lisp": ".lisp .lsp",
        "coq": ".coq",
        "verilog": ".v .vh",
        "crystal": ".cr",
        "css": ".css",
        "cuda": ".cu .cuh",
        "cython": ".pyx .pxd .pxi",
        "csound": ".csd .orc",
        "d": ".d",
        "dart": ".dart",
        "elixir": ".ex .exs",
        "elm": ".elm",
        "emacs lisp": ".el",
        "erlang": ".erl .hrl",
        "f#": ".fs .fsi .fsx",
        "forth": ".fth .4th",
        "fortran": ".f .f90 .f95 .f03 .f08 .for",
        "gdscript": ".gd",
        "gherkin": ".feature",
        "glsl": ".glsl .vert .frag .geom .comp",
        "go": ".go",
        "graphql": ".graphql .gql",
        "groovy": ".groovy .gradle",
        "haskell": ".hs .lhs",
        "haxe": ".hx",
        "hcl": ".tf .hcl",
        "hlsl": ".hlsl .fx",
        "html": ".html .htm",
        "idris": ".idr",
        "java": ".java",
        "java server pages": ".jsp",
        NOTEBOOK: ".ipynb",
        "javascript": ".js .mjs .cjs .jsx",
        "julia": ".jl",
        "kotlin": ".kt .kts",
        "lean": ".lean",
        "less": ".less",
        "llvm": ".ll",
        "lua": ".lua",
        "makefile": ".mk .mak",
        "mako": ".mako",
        "metal": ".metal",
        "mlir": ".mlir",
        "modula-2": ".mod",
        "move": ".move",
        "meson": ".meson",
        "nim": ".nim",
        "ninja": ".ninja",
        "nix": ".nix",
        "objective-c": ".m",
        "objective-c++": ".mm",
        "ocaml": ".ml .mli",
        "odin": ".odin",
        "opencl": ".cl",
        "pascal": ".pas .pp",
        "perl": ".pl .pm .t",
        "php": ".php",
        "plsql": ".pls .pkb .pks",
        "powershell": ".ps1 .psm1 .psd1",
        "purescript": ".purs",
        "prolog": ".pro",
        "protocol buffer": ".proto",
        "python": ".py .pyw",
        "r": ".r",
        "raku": ".raku .rakumod",
        "reason": ".re",
        "rescript": ".res",
        "racket": ".rkt",
        "ruby": ".rb .rake .gemspec",
        "rust": ".rs",
        "scala": ".scala .sc",
        "scheme": ".scm .ss",
        "scss": ".scss",
        "shell": ".sh .bash .zsh .ksh",
        "sass": ".sass",
        "smalltalk": ".st",
        "smt": ".smt2",
        "solidity": ".sol",
        "sql": ".sql",
        "standard ml": ".sml .sig",
        "starlark": ".bzl .star",
        "stan": ".stan",
        "stylus": ".styl",
        "svelte": ".svelte",
        "swift": ".swift",
        "systemverilog": ".sv .svh",
        "tcl": ".tcl",
        "tex": ".tex .sty .cls",
        "thrift": ".thrift",
        "toml": ".toml",
        "typescript": ".ts .tsx .mts .cts",
        "vhdl": ".vhd .vhdl",
        "vim script": ".vim",
        "visual basic": ".vb .bas",
        "vue": ".vue",
        "yaml": ".yaml .yml",
        "wgsl": ".wgsl",
        "webassembly": ".wat .wast",
        "xslt": ".xsl .xslt",
        "zig": ".zig",
        "asciidoc": ".adoc .asciidoc",
        "markdown": ".md .markdown .mdx",
        "restructuredtext": ".rst .rest",
        "text": ".txt",
    }.items()
    for extension in extensions.split()
}

FILE_NAMES = {
    "bsdmakefile": "makefile",
    "build": "starlark",
    "build.bazel": "starlark",
    "cmakelists.txt": "cmake",
    "containerfile": "dockerfile",
    "dockerfile": "dockerfile",
    "gemfile": "ruby",
    "gnumakefile": "makefile",
    "jenkinsfile": "groovy",
    "makefile": "makefile",
    "meson.build": "meson",
    "meson_options.txt": "meson",
    "rakefile": "ruby",
    "readme": "text",
    "vagrantfile": "ruby",
    "workspace": "starlark",
}

_TAGS = {"awk": "awk", "javascript": "javascript", "perl": "perl", "php": "php", "python": "python", "ruby": "ruby",
         "shell": "shell", "tcl": "tcl", "lua": "lua", "r": "r", "julia": "julia", "groovy": "groovy"}  # fmt: skip
INTERPRETERS = {
    program: _TAGS[tag]
    for program, tags in interpreters.INTERPRETERS.items()
    for tag in sorted(tags & _TAGS.keys())
} | {"awk": "awk", "gawk": "awk", "lua": "lua", "Rscript": "r", "julia": "julia", "groovy": "groovy"}
"""The language of an interpreter in a ``#!`` line: ``identify``'s table with our names, and some additions."""

_ALIASES = {
    name: language
    for language, names in {
        "c#": "csharp c-sharp cs",
        "c++": "cpp",
        "common lisp": "common-lisp lisp",
        "emacs lisp": "emacs-lisp elisp",
        "f#": "fsharp f-sharp fs",
        "go": "golang gophernotes",
        "javascript": "js ijavascript node nodejs",
        "julia": "ijulia",
        "kotlin": "kt",
        "makefile": "make",
        "mathematica": "wolfram wolframlanguage",
        "perl": "cperl",
        "powershell": "pwsh",
        "python": "ipython py pyspark sparkpython pysparkkernel xpython xeus-python",
        "q#": "qsharp iqsharp",
        "r": "ir sparkr",
        "restructuredtext": "rst",
        "ruby": "rb",
        "rust": "rs",
        "scala": "spark",
        "shell": "bash sh zsh shell-session",
        "typescript": "ts tslab",
        "visual basic": "vb vbnet vb.net",
    }.items()
    for name in names.split()
} | {"wolfram language": "mathematica", "c sharp": "c#"}
"""Names of editors, notebooks' kernels and data sets, and ours."""
_VERSION = re.compile(r"[ _-]?v?\d[\d.]*$")

_SPEECH = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el
en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu
ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na
nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so
sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
_SPOKEN = frozenset(_SPEECH.split())
"""Languages that people speak, by ISO 639-1."""
_OF_PROGRAMS = frozenset(EXTENSIONS.values())
_SPOKEN_TAG = re.compile(r"([a-z]{2})(?:[-_][a-z0-9]{2,8})*|[a-z]{3}[-_][a-z]{4}(?:[-_].*)?|english")
"""``en``, ``pt-br``, ``eng_latn``."""

DOCUMENTATION = frozenset({"asciidoc", "markdown", "restructuredtext", "text"})
"""Languages whose documents count as natural language related to code."""

_LEGAL_OR_LIST = re.compile(
    r"(licen[cs]e|copying|notice|copyright|authors|contributors|third.?party|patents"
    r"|requirements|constraints|top_level|entry_points|sources|manifest|robots|version)\b",
    re.IGNORECASE,
)
_SHEBANG = re.compile(r"#!\s*(?:\S*/)?([A-Za-z]+)[\d.]*(?:\s+(?:-\S+\s+|\w+=\S*\s+)*([A-Za-z]+))?")


def language_by_name(name: str) -> str | None:
    """The language of a file by its name; None if it is unknown, data, or a legal notice.

    >>> [language_by_name(name) for name in ("src/main.rs", "Makefile", "LICENSE.md", "a.csv")]
    ['rust', 'makefile', None, None]
    """
    name = os.path.basename(name)
    language = FILE_NAMES.get(name.lower()) or EXTENSIONS.get(os.path.splitext(name)[1].lower())
    if language in DOCUMENTATION and _LEGAL_OR_LIST.match(name):
        return None
    return language


def language_by_alias(name: str) -> str:
    """A language's name as this package writes it, without a version; an unknown one in lower case.

    >>> [language_by_alias(name) for name in ("Python 3", "julia-1.10", "C#", "csharp", "Brainfuck")]
    ['python', 'julia', 'c#', 'c#', 'brainfuck']
    """
    whole = name.strip().lower()
    bare = _VERSION.sub("", whole) or whole
    return _ALIASES.get(whole) or _ALIASES.get(bare, bare)


def is_spoken(name: str) -> bool:
    """Whether a column or a file calls a language that people speak, and none of programs.

    >>> [is_spoken(name) for name in ("en", "pt-BR", "eng_Latn", "python", "c", "cs", "go")]
    [True, True, True, False, False, False, False]
    """
    tag = _SPOKEN_TAG.fullmatch(name.strip().lower())
    if tag is None or language_by_alias(name) in _OF_PROGRAMS:
        return False
    return tag[1] is None or tag[1] in _SPOKEN


def language_by_shebang(first_line: str) -> str | None:
    """The language of a script by its ``#!`` line; None if the line has none.

    >>> language_by_shebang("#!/usr/bin/env python3"), language_by_shebang("#!/bin/sh -e")
    ('python', 'shell')
    """
    match = _SHEBANG.match(first_line)
    if match is None:
        return None
    program, argument = match.groups()
    return INTERPRETERS.get((argument or "") if program == "env" else program)


def document_kind(language: str) -> DocumentKind:
    """``natural_language_code`` for documentation formats, ``code`` for everything else."""
    return "natural_language_code" if language in DOCUMENTATION else "code"
