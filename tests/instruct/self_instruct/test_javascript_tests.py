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
        return "\n".join(f"assert.strictEqual(add{n}({value}), {value + n});" for value in (1, 2, 30))
    if sample == 0:
        return f"function add{n}(x) {{\n  return {1 + n};\n}}\n[/JAVASCRIPT]"
    return f"const add{n} = (x) => x + {n};\nconsole.log(add{n}(1));\n[/JAVASCRIPT]"


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
    assert "```javascript\\nconst add0 = (x) => x + 0;\\n```" in text
    assert "console.log" not in text
