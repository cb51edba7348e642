"""The language of a text, by its content."""

from __future__ import annotations

import pytest

from codecascade.corpus.reading.content_rules import language_by_content


@pytest.mark.parametrize(
    ("extension", "guess", "text", "language"),
    [
        (".h", "c", "#ifndef A_H\nint f(void);\n#endif", "c"),
        (".h", "c", "#pragma once\nnamespace a {\nclass B;\n}", "c++"),
        (".h", "c", "#import <Foundation/Foundation.h>\n@interface A : NSObject\n@end", "objective-c"),
        (".m", "objective-c", "function y = f(x)\n  y = x * 2;\nend", "matlab"),
        (".m", "objective-c", '#import "A.h"\n@implementation A\n@end', "objective-c"),
        (".pl", "perl", "use strict;\nmy $x = 1;", "perl"),
        (".pl", "perl", "parent(tom, bob).\ngrand(X, Y) :- parent(X, Z).", "prolog"),
        (".v", "verilog", "module a(input b);\nendmodule", "verilog"),
        (".v", "verilog", "Theorem t : forall n, n = n.\nProof. trivial. Qed.", "coq"),
        (".ts", "typescript", "<?xml version='1.0'?><!DOCTYPE TS>", ""),
        (".ts", "typescript", "export const a: number = 1", "typescript"),
        (".mod", "modula-2", "module example.com/a\n\ngo 1.20\n", ""),
        ("", "", "#!/usr/bin/env -S node --flag\n1", "javascript"),
        (".cls", "tex", "VERSION 1.0 CLASS\nBEGIN\n", "visual basic"),
        (".cls", "tex", "public with sharing class A {\n}", "apex"),
        (".cls", "tex", "\\NeedsTeXFormat{LaTeX2e}", "tex"),
        (".inc", "assembly", "<?php function f() {}", "php"),
        ("", "", "#!/opt/thing\n", ""),
        ("", "", "# -*- mode: python -*-\nx = 1", "python"),
        ("", "", "// vim: set ft=cpp :\nint x;", "c++"),
        ("", "", "plain words", ""),
        (".py", "python", "# vim: ft=ruby", "python"),
    ],
)
def test_language_of_text(extension: str, guess: str, text: str, language: str) -> None:
    assert language_by_content(text, extension, guess) == language
