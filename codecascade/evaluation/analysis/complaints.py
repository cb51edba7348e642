"""Recognises syntax errors among the messages of compilers: g++, javac, mcs, tsc, go and rustc.

Other errors are of programs that parse: a wrong type, a missing return, an unknown name, a borrow, a linker.
"""

from __future__ import annotations

import re

_SYNTAX = re.compile(
    r"""
      \bsyntax[ ]error\b
    # C++
    | error:[ ](?:expected\b | stray\b | missing[ ]terminating\b | unterminated\b | extended[ ]character\b
               | unable[ ]to[ ]find[ ].*[ ]operator\b | [‘']else[’'][ ]without
               | empty[ ]character[ ]constant
               | invalid[ ](?:suffix|digit)\b | too[ ]many[ ]decimal[ ]points )
    # Java
    | ^line[ ]\d+:[ ](?!TS\d)(?:[^:]{1,60}\bexpected(?:;|$) | .*(?:reached[ ]end[ ]of[ ]file[ ]while[ ]parsing
               | illegal[ ]start[ ]of\b
               | not[ ]a[ ]statement | unclosed[ ] | illegal[ ](?:character|escape|unicode|underscore|text[ ]block)\b
               | '?(?:else|catch|finally|try)'?[ ]without\b | orphaned[ ] | return[ ]type[ ]required
               | (?:integer|floating-point)[ ]number[ ]too | malformed[ ] | empty[ ]character[ ]literal
               | \bnot[ ]allowed[ ]here ))
    # C#
    | \bCS(?:10(?:[0-3]\d|4[01]|56)|151[349]|152[0-6]|8025)\b
    # TypeScript
    | \bTS1\d{3}\b
    # Go: the words of its parser, which `go vet` reports before the compiler is asked
    | :\d+:\d+:[ ](?:expected\b.*\bfound\b | missing[ ].*\bbefore\b | .*\bnot[ ]terminated\b | illegal[ ]
               | invalid[ ]character\b)
    # Rust: an error with a number (E0382) is of a program that was parsed
    | ^error:[ ](?:expected\b | unexpected\b | this[ ]file[ ]contains[ ]an[ ]unclosed | mismatched[ ]closing
               | unclosed\b | unterminated\b | unknown[ ](?:start[ ]of[ ]token|character[ ]escape|prefix)
               | character[ ]literal[ ]may | empty[ ]character[ ]literal | missing[ ](?!lifetime) | invalid[ ]suffix
               | ambiguous[ ] | unmatched[ ] | leading[ ]`)
    """,
    re.VERBOSE,
)


def is_syntax_complaint(complaint: str) -> bool:
    """Whether a compiler's first message is a syntax error."""
    return _SYNTAX.search(complaint) is not None
