"""JavaScript: assertions of node's ``assert``, and functions found by their declaration.

There is no parser of JavaScript here. A scanner that knows strings, comments and brackets finds calls of ``assert``,
and node itself decides what is right.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from codecascade.instruct.self_instruct.languages.answers import control_characters, without_fences
from codecascade.instruct.self_instruct.languages.form import (
    LONGEST_ASSERTION,
    MOST_ASSERTIONS,
    Example,
    FoundCode,
    LanguageForm,
)
from codecascade.instruct.self_instruct.languages.javascript_scanner import (
    arguments_of,
    end_of_brackets,
    plain_part,
)
from codecascade.sandbox.program import Program

_ASSERTION = re.compile(
    r"^[ \t]*(?:[-*•]|\d+[.)])?[ \t]*`?(?P<call>(?:console\.)?assert(?:\.(?P<method>\w+))?)[ \t]*(?=\()",
    re.MULTILINE,
)
_EQUAL = ("equal", "strictEqual", "deepEqual", "deepStrictEqual")
_METHODS = ("", "ok", *_EQUAL, "notEqual", "notStrictEqual", "notDeepEqual", "notDeepStrictEqual")
_CALL = re.compile(r"(?<![.\w$])([A-Za-z_$][\w$]*)\s*\(")
_WORD = re.compile(r"(?<![.\w$])[A-Za-z_$][\w$]*")
# JavaScript's own names and words: an assertion may use them.
_KNOWN_NAMES = """
Array BigInt Boolean Date Error Infinity JSON Map Math NaN Number Object RangeError RegExp Set String Symbol TypeError
false in instanceof isFinite isNaN new null parseFloat parseInt true typeof undefined void
"""
_KNOWN = frozenset(_KNOWN_NAMES.split())
_BLOCK = re.compile(r"^```[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Lines at the left margin that show the function's use, or hand it to other modules.
_USE = re.compile(
    r"^(?:console\.\w+|(?:console\.)?assert(?:\.\w+)?|module\.exports|exports\.\w+)\b[^\n]*;?[ \t]*$"
)
_ASSERT = 'const assert = require("assert");'
_ASSERT_OF_MODULE = 'const { default: assert } = await import("assert");'
# What only a module may have, in the text without strings and comments.
_MODULE = re.compile(
    r"^[ \t]*(?:import\b(?![ \t]*\()|export\b)|(?<![.\w$])import\s*\.\s*meta\b", re.MULTILINE
)
# A line that hands names to other modules; the declarations of these names stay.
_EXPORTS = re.compile(r"^export[ \t]*\{[^{}]*\}[ \t]*;?[ \t]*$", re.MULTILINE)
_PACKAGE = {"package.json": b'{"type": "module"}'}


def _assertions(text: str) -> list[str]:
    text = without_fences(text)
    found: dict[str, None] = {}
    for match in _ASSERTION.finditer(text):
        end = end_of_brackets(text, match.end())
        method = match["method"] or ""
        if end is None or method not in _METHODS or end - match.start() > LONGEST_ASSERTION:
            continue
        arguments = arguments_of(text[match.end() : end])
        line = _line(method, arguments)
        if line is not None and not control_characters(line) and _is_usable(line, method, arguments):
            found[line] = None
        if len(found) >= MOST_ASSERTIONS:
            break
    return list(found)


def _line(method: str, arguments: Sequence[str]) -> str | None:
    """An assertion without its message, on one line; objects are always compared by their contents."""
    count = 1 if method in ("", "ok") else 2
    if len(arguments) < count:
        return None
    inside = ", ".join(" ".join(argument.split("\n")).strip() for argument in arguments[:count])
    deep = {"equal": "deepStrictEqual", "strictEqual": "deepStrictEqual", "deepEqual": "deepStrictEqual"}
    call = f"assert.{deep.get(method, method)}" if method not in ("", "ok") else "assert"
    return f"{call}({inside});"


def _is_usable(line: str, method: str, arguments: Sequence[str]) -> bool:
    """Whether an assertion calls a function of the program, and names nothing else that is not JavaScript's own."""
    names = set(_called(line))
    words = set(_WORD.findall(plain_part(line))) - {"assert"}
    keys = set(re.findall(r"([A-Za-z_$][\w$]*)\s*:", plain_part(line)))
    one_sided = method in ("", "ok") or any(_called(f"assert({argument})") for argument in arguments[:2])
    assigns = re.search(r"(?<![=!<>])=(?![=>])|\+\+|--", plain_part(line)) is not None
    return bool(names) and words <= names | _KNOWN | keys and one_sided and not assigns and "`" not in line


def _called(assertion: str) -> tuple[str, ...]:
    names = dict.fromkeys(_CALL.findall(plain_part(assertion)))
    return tuple(name for name in names if name not in _KNOWN and name != "assert")


def _find_code(answer: str, name: str) -> FoundCode:
    declared = re.compile(
        rf"(?:^|[\s;])(?:async\s+)?(?:function\s*\*?\s+{re.escape(name)}\b|(?:const|let|var)\s+{re.escape(name)}\s*=)"
    )
    blocks = [match[1] for match in _BLOCK.finditer(answer + ("" if answer.endswith("\n") else "\n"))]
    for code in (*reversed(blocks), without_fences(answer)):
        if declared.search(code):
            if control_characters(code):
                return FoundCode("", "the program holds control characters")
            return FoundCode(_without_use(code))
    return FoundCode("", f"defines no function {name}")


def _without_use(code: str) -> str:
    lines = _EXPORTS.sub("", code.replace("\r\n", "\n")).strip("\n").split("\n")
    kept = [
        line.removeprefix("export default ").removeprefix("export ") for line in lines if not _USE.match(line)
    ]
    return "\n".join(kept).strip("\n")


def _program(code: str, assertions: Sequence[str], entry_point: str) -> Program:
    """The code and its tests: a module, which has no ``require``, if the code imports like one; else a script."""
    is_module = _MODULE.search(plain_part(code)) is not None
    # A block of its own keeps the tests' `assert` apart from a name that the program may have.
    lines = [_ASSERT_OF_MODULE if is_module else _ASSERT, *assertions]
    tests = "\n".join(f"  {line}" for line in lines)
    # Node before 20.19 takes a file for a script, whatever is in it, unless its package says otherwise.
    return Program(f"{code}\n{{\n{tests}\n}}\n", language="javascript", files=_PACKAGE if is_module else {})


def _expected(assertions: Sequence[str], entry_point: str) -> list[str]:
    return list(dict.fromkeys(_expected_values(assertions, entry_point)))


def _expected_values(assertions: Sequence[str], entry_point: str) -> Iterator[str]:
    for assertion in assertions:
        opened = assertion.index("(")
        arguments = arguments_of(assertion[opened:].rstrip().rstrip(";"))
        if len(arguments) == 2 and not _called(f"assert({arguments[1]})"):
            yield arguments[1].strip()
        elif len(arguments) == 1 and (parts := re.split(r"===?", arguments[0])) and len(parts) == 2:
            yield parts[1].strip()


JAVASCRIPT = LanguageForm(
    name="javascript",
    title="JavaScript",
    fence="javascript",
    tag="JAVASCRIPT",
    example=Example(
        "Write a function that returns the words of a sentence that occur more than once, in the order in which they "
        "first occur. Upper and lower case make no difference, and the words are returned in lower case.",
        (
            'assert.deepStrictEqual(repeatedWords("the cat saw the dog"), ["the"]);',
            'assert.deepStrictEqual(repeatedWords("one two three"), []);',
            'assert.deepStrictEqual(repeatedWords(""), []);',
            'assert.deepStrictEqual(repeatedWords("To be or not to be"), ["to", "be"]);',
            'assert.deepStrictEqual(repeatedWords("a a a"), ["a"]);',
        ),
        "function repeatedWords(sentence) {\n"
        "  const words = sentence.toLowerCase().split(/\\s+/).filter(Boolean);\n"
        "  const repeated = words.filter((word, index) => words.indexOf(word) !== index);\n"
        "  return words.filter((word, index) => words.indexOf(word) === index && repeated.includes(word));\n"
        "}",
    ),
    test_form="assert.deepStrictEqual(f(argument), value);",
    assertions=_assertions,
    called=_called,
    find_code=_find_code,
    program=_program,
    empty_stub=lambda name: f"function {name}() {{}}",
    constant_stub=lambda name, value: f"function {name}() {{\n  return ({value});\n}}",
    argument_stub=lambda name: f"function {name}(value) {{\n  return value;\n}}",
    expected=_expected,
    odd_value="-987654321.5",
    usual_values=("true", "false", "0", "1", '""', "[]", "null"),
)
