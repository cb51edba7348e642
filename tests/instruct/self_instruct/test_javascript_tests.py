"""JavaScript: tests by node's ``assert``, run by node."""

from __future__ import annotations

import pytest
from scripted_teacher import ScriptedTeacher, number_in, questions, run

from codecascade.instruct.self_instruct.languages.javascript import JAVASCRIPT
from codecascade.sandbox.languages.table import why_unusable
from codecascade.sandbox.sandbox import Sandbox


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('assert.strictEqual(f(1), 2, "one");', ["assert.deepStrictEqual(f(1), 2);"]),
        ("console.assert(f('a,(b') === ')');", ["assert(f('a,(b') === ')');"]),
        (
            "assert.deepEqual(f({a: [1, 2]}),\n  {b: 1}); // two lines",
            ["assert.deepStrictEqual(f({a: [1, 2]}), {b: 1});"],
        ),
        (
            "1. assert(f(1) === 2)\n```js\nassert(f(2) === 3);\n```",
            ["assert(f(1) === 2);", "assert(f(2) === 3);"],
        ),
        ("assert.equal(f(null), undefined);", ["assert.deepStrictEqual(f(null), undefined);"]),
        ("assert(f(1) = 2);", []),
        ("assert(1 === 1);", []),
        ("assert.throws(() => f());", []),
        ("assert(f(process.env) === 1);", []),
        ("assert(f(1) === ", []),
        ("process.exit(0);", []),
    ],
)
def test_assertions(text: str, expected: list[str]) -> None:
    assert JAVASCRIPT.assertions(text) == expected


def test_called_and_expected() -> None:
    assert JAVASCRIPT.called("assert.deepStrictEqual(f(new Map(), g(1)), [1]);") == ("f", "g")
    assert JAVASCRIPT.called("assert(require('fs').existsSync(f(1)));")[0] == "require"
    tests = ["assert.deepStrictEqual(f(1, 2), [1, 2]);", "assert(f('a') === true);"]
    assert JAVASCRIPT.expected(tests, "f") == ["[1, 2]", "true"]


@pytest.mark.parametrize(
    "head", ["function f(x) {", "const f = (x) => {", "async function f(x) {", "export function f(x) {"]
)
def test_a_function_is_found_by_its_declaration(head: str) -> None:
    answer = f"Sure:\n```javascript\n{head}\n  return x;\n}}\nconsole.log(f(1));\nmodule.exports = f;\n```\n"
    found = JAVASCRIPT.find_code(answer, "f")
    assert found.code == f"{head.removeprefix('export ')}\n  return x;\n}}"
    assert JAVASCRIPT.find_code(answer, "g").problem == "defines no function g"


def adds(step: str, question: str, sample: int) -> str:
    n = number_in(question)
    if step == "tests":
        return "\n".join(f"assert.strictEqual(add{n}({value}), {2 * value + n});" for value in (1, 2, 30))
    if sample == 0:
        return f"function add{n}(x) {{\n  return {2 + n};\n}}\n[/JAVASCRIPT]"
    return f"const add{n} = (x) => 2 * x + {n};\nconsole.log(add{n}(1));\n[/JAVASCRIPT]"


@pytest.mark.skipif(why_unusable("javascript") is not None, reason="needs node")
def test_a_run_in_javascript(tmp_path: object) -> None:
    from pathlib import Path

    out = Path(str(tmp_path)) / "run"
    with Sandbox("weak", workers=2) as sandbox:
        summary = run(
            out, ScriptedTeacher(adds), questions(2), sandbox, language="js", solutions=2, least_tests=2
        )
    assert summary.funnel["kept"] == 2
    text = (out / "dialogues.jsonl").read_text()
    assert "```javascript\\nconst add0 = (x) => 2 * x + 0;\\n```" in text
    assert "console.log" not in text


MODULES = {
    "imports a name": 'import { basename } from "path";\nexport function f(x) {\n  return basename(x);\n}',
    "imports after a comment": "/* a\n */\n  import * as path from 'node:path'\nconst f = (x) => path.basename(x);",
    "imports for its use only": 'import assert from "assert";\nconst f = (x) => x.split("/").pop();\nassert(f("a"));',
    "exports at its end": 'function f(x) {\n  return x.split("/").pop();\n}\nexport {\n  f as default,\n};',
}
SCRIPTS = {
    "requires": 'const { basename } = require("path");\nconst f = (x) => basename(x);\nmodule.exports = { f };',
    "writes a program": "const a = `\nimport x from 'y';\n`;\nconst f = (x) => require('path').basename(x, a);",
    "imports when it is called": 'const other = () => import("path");\nconst f = (x) => require("path").basename(x);',
}


@pytest.mark.skipif(why_unusable("javascript") is not None, reason="needs node")
def test_modules_and_scripts_run() -> None:
    with Sandbox("weak", workers=2) as sandbox:
        for name, written in (MODULES | SCRIPTS).items():
            found = JAVASCRIPT.find_code(f"```js\n{written}\n```", "f")
            for value, passes in (("c.js", True), ("b", False)):
                program = JAVASCRIPT.program(
                    found.code, [f'assert.deepStrictEqual(f("a/b/c.js"), "{value}");'], "f"
                )
                outcome = sandbox.run(program, timeout=5)
                assert outcome.passed is passes, (name, outcome)
                assert passes or "Expected values to be strictly deep-equal" in (outcome.exception or ""), (
                    outcome
                )
                assert ("package.json" in program.files) is (name in MODULES and name != "exports at its end")
