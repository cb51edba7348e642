"""Which language a file is written in, by its name or its first line.

The names follow GitHub's linguist in lower case. Data formats (JSON, CSV, XML, notebooks...) and type
stubs are left out on purpose: they are not what a code model should learn to write.
"""

from __future__ import annotations

import os
import re

from codecascade.corpus.documents import Kind

EXTENSIONS = {
    extension: language
    for language, extensions in {
        "ada": ".adb .ads",
        "agda": ".agda",
        "assembly": ".asm .s",
        "awk": ".awk",
        "batchfile": ".bat .cmd",
        "c": ".c .h",
        "c#": ".cs",
        "c++": ".cc .cpp .cxx .c++ .hh .hpp .hxx .h++ .inl .ipp .tpp",
        "clojure": ".clj .cljs .cljc",
        "cmake": ".cmake",
        "coffeescript": ".coffee",
        "common lisp": ".lisp .lsp",
        "coq": ".v",
        "crystal": ".cr",
        "css": ".css",
        "cuda": ".cu .cuh",
        "cython": ".pyx .pxd .pxi",
        "d": ".d",
        "dart": ".dart",
        "elixir": ".ex .exs",
        "elm": ".elm",
        "emacs lisp": ".el",
        "erlang": ".erl .hrl",
        "f#": ".fs .fsi .fsx",
        "fortran": ".f .f90 .f95 .f03 .for",
        "glsl": ".glsl .vert .frag",
        "go": ".go",
        "graphql": ".graphql .gql",
        "groovy": ".groovy .gradle",
        "haskell": ".hs .lhs",
        "hcl": ".tf .hcl",
        "html": ".html .htm",
        "java": ".java",
        "javascript": ".js .mjs .cjs .jsx",
        "julia": ".jl",
        "kotlin": ".kt .kts",
        "lean": ".lean",
        "lua": ".lua",
        "metal": ".metal",
        "nim": ".nim",
        "nix": ".nix",
        "objective-c": ".m",
        "objective-c++": ".mm",
        "ocaml": ".ml .mli",
        "pascal": ".pas .pp",
        "perl": ".pl .pm .t",
        "php": ".php",
        "powershell": ".ps1 .psm1",
        "prolog": ".pro",
        "protocol buffer": ".proto",
        "python": ".py .pyw",
        "r": ".r",
        "racket": ".rkt",
        "ruby": ".rb .rake .gemspec",
        "rust": ".rs",
        "scala": ".scala .sc",
        "scheme": ".scm .ss",
        "scss": ".scss",
        "shell": ".sh .bash .zsh .ksh",
        "smalltalk": ".st",
        "solidity": ".sol",
        "sql": ".sql",
        "standard ml": ".sml .sig",
        "starlark": ".bzl .star",
        "svelte": ".svelte",
        "swift": ".swift",
        "systemverilog": ".sv .svh",
        "tcl": ".tcl",
        "tex": ".tex .sty",
        "thrift": ".thrift",
        "toml": ".toml",
        "typescript": ".ts .tsx .mts .cts",
        "vhdl": ".vhd .vhdl",
        "vim script": ".vim",
        "visual basic": ".vb .bas",
        "vue": ".vue",
        "yaml": ".yaml .yml",
        "zig": ".zig",
        "asciidoc": ".adoc .asciidoc",
        "markdown": ".md .markdown .mdx",
        "restructuredtext": ".rst .rest",
        "text": ".txt",
    }.items()
    for extension in extensions.split()
}

NAMES = {
    "build": "starlark",
    "build.bazel": "starlark",
    "cmakelists.txt": "cmake",
    "dockerfile": "dockerfile",
    "gemfile": "ruby",
    "gnumakefile": "makefile",
    "jenkinsfile": "groovy",
    "makefile": "makefile",
    "rakefile": "ruby",
    "readme": "text",
    "vagrantfile": "ruby",
    "workspace": "starlark",
}

INTERPRETERS = {
    "awk": "awk",
    "bash": "shell",
    "node": "javascript",
    "perl": "perl",
    "php": "php",
    "python": "python",
    "ruby": "ruby",
    "sh": "shell",
    "tclsh": "tcl",
    "zsh": "shell",
}

DOCUMENTATION = frozenset({"asciidoc", "markdown", "restructuredtext", "text"})
"""Languages whose documents are natural language related to code."""

_LEGAL_OR_LIST = re.compile(
    r"(licen[cs]e|copying|notice|copyright|authors|contributors|third.?party|patents"
    r"|requirements|constraints|top_level|entry_points|sources|manifest|robots|version)\b",
    re.IGNORECASE,
)
_SHEBANG = re.compile(r"#!\s*(?:\S*/)?([A-Za-z]+)[\d.]*(?:\s+(?:-\S+\s+)*([A-Za-z]+))?")


def language_of(name: str) -> str | None:
    """The language of a file by its name, or none: unknown, data, or a legal notice.

    >>> language_of("src/main.rs"), language_of("Makefile"), language_of("LICENSE.md"), language_of("a.csv")
    ('rust', 'makefile', None, None)
    """
    name = os.path.basename(name)
    language = NAMES.get(name.lower()) or EXTENSIONS.get(os.path.splitext(name)[1].lower())
    if language in DOCUMENTATION and _LEGAL_OR_LIST.match(name):
        return None
    return language


def language_of_shebang(first_line: str) -> str | None:
    """The language of a script without an extension.

    >>> language_of_shebang("#!/usr/bin/env python3"), language_of_shebang("#!/bin/sh -e")
    ('python', 'shell')
    """
    match = _SHEBANG.match(first_line)
    if match is None:
        return None
    program, argument = match.groups()
    return INTERPRETERS.get((argument or "") if program == "env" else program)


def kind_of(language: str) -> Kind:
    """``natural_language_code`` for a format of documentation, ``code`` for everything else."""
    return "natural_language_code" if language in DOCUMENTATION else "code"
