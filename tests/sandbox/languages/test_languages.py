"""Programs of every language whose toolchain is here, right, wrong and hostile, through the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from codecascade.ground.errors import UserError
from codecascade.sandbox.check import best_confinement
from codecascade.sandbox.host.running_command import RunningCommand
from codecascade.sandbox.languages import builds, table
from codecascade.sandbox.languages.run import LanguageRunner
from codecascade.sandbox.languages.table import (
    LANGUAGES,
    canonical_name,
    language_named,
    language_of_file,
    toolchains,
    why_unusable,
)
from codecascade.sandbox.outcome import Limits, Outcome
from codecascade.sandbox.program import Command, Program
from codecascade.sandbox.sandbox import Sandbox

from .programs import EXPECTED, SAMPLES

confined = pytest.mark.skipif(best_confinement() == "none", reason="this machine can't confine programs")


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2) as box:
        yield box


def needs(language: str) -> None:
    """Skip where the toolchain is missing."""
    if reason := why_unusable(language):
        pytest.skip(reason)


def run(sandbox: Sandbox, text: str, language: str, **settings: object) -> Outcome:
    return sandbox.run(Program(text, language, **settings), timeout=5)  # type: ignore[arg-type]


@confined
@pytest.mark.parametrize("language", SAMPLES)
def test_every_language_tells_right_from_wrong(sandbox: Sandbox, language: str) -> None:
    needs(language)
    sample = SAMPLES[language]
    kinds = ("right", "wrong", "leaves", "broken", "endless")
    programs = [
        Program(sample.program(kind), language, timeout=0.3 if kind == "endless" else 5) for kind in kinds
    ]
    outcomes = dict(zip(kinds, sandbox.run_many(programs), strict=True))
    assert {kind: outcome.outcome for kind, outcome in outcomes.items()} == {
        kind: EXPECTED[kind] for kind in kinds
    }, outcomes
    assert outcomes["leaves"].exception is not None
    for outcome in outcomes.values():
        assert (outcome.exception is None) == outcome.passed


@confined
@pytest.mark.parametrize("language", SAMPLES)
def test_memory_is_limited(sandbox: Sandbox, language: str) -> None:
    needs(language)
    outcome = sandbox.run(Program(SAMPLES[language].program("hungry"), language), timeout=10, memory_mb=256)
    assert outcome.outcome == "out_of_memory", outcome


@confined
@pytest.mark.parametrize("language", ["cpp", "java", "bash"])
def test_endless_output_is_cut(sandbox: Sandbox, language: str) -> None:
    needs(language)
    outcome = sandbox.run(Program(SAMPLES[language].program("flood"), language), timeout=0.4)
    assert outcome.outcome == "timed_out", outcome.exception
    assert 10_000 < max(len(outcome.stdout), len(outcome.stderr)) <= 1_000_000


@confined
@pytest.mark.parametrize(
    ("language", "kind", "gist"),
    [
        ("cpp", "wrong", "candidate((0), (1)) == (1)"),
        ("cpp", "broken", "compile: program.cpp:5:16: error"),
        ("cpp", "leaves", "left before its end"),
        ("java", "wrong", "java.lang.AssertionError"),
        ("java", "broken", "compile: line 6: cannot find symbol"),
        ("typescript", "broken", "compile: line 3: TS2322"),
        ("javascript", "wrong", "AssertionError"),
        ("javascript", "broken", "SyntaxError"),
        ("csharp", "wrong", "Debug.Assert"),
        ("csharp", "broken", "CS0103"),
        ("php", "wrong", "Uncaught Exception: Test failed!"),
        ("php", "broken", "Parse error"),
        ("bash", "wrong", "exit status 1"),
        ("rust", "wrong", "left == right"),
        ("ruby", "wrong", "Failure: test_add(TestHumanEval)"),
        ("ruby", "broken", "syntax error"),
        ("lua", "wrong", "expected: 1, actual: -1"),
        ("lua", "broken", "unexpected symbol near ')'"),
    ],
)
def test_the_exception_says_what_went_wrong(sandbox: Sandbox, language: str, kind: str, gist: str) -> None:
    needs(language)
    outcome = run(sandbox, SAMPLES[language].program(kind), language)
    assert gist in (outcome.exception or "")


@confined
@pytest.mark.parametrize(
    ("language", "swallow"),
    [
        ("php", "return 1; } ?>"),
        ("bash", ":\n}\ncat <<THE_END"),
        ("perl", "return 1 }\n__END__"),
        ("ruby", "1\nend\n__END__"),
        ("lua", "return 1 end --[["),
        ("javascript", "} process.stdout.write(require('fs').readFileSync(__filename)); process.exit(0); {"),
    ],
)
def test_text_that_swallows_the_tests_does_not_print_its_way_to_a_pass(
    sandbox: Sandbox, language: str, swallow: str
) -> None:
    needs(language)
    outcome = run(sandbox, SAMPLES[language].text.replace("BODY", swallow), language)
    assert outcome.outcome == "failed", outcome


@confined
def test_no_answer_makes_itself_one_that_could_not_start(sandbox: Sandbox) -> None:
    """Those are not counted."""
    needs("java")
    name = "A" * 300
    for text in (
        f"class Problem {{ static class {name} {{}} public static void main(String[] a) {{}} }}",
        f"package {'.'.join('a' * 3000)};\npublic class P {{ public static void main(String[] a) {{}} }}",
    ):
        assert run(sandbox, text, "java").outcome == "failed"


INTERPRETER = {
    "cpp": """#include <cassert>
__attribute__((used, section(".interp"))) const char rubbish[] = {'x'};
int main() { assert(1 == 2); }""",
    "rust": """#[link_section = ".interp"] #[used] static RUBBISH: [u8; 13] = *b"/nonexistent\\0";
fn main() { assert_eq!(1, 2); }""",
}
LIBRARY = '#![crate_type = "lib"]\nfn main() { assert_eq!(1, 2); }'
HUGE = "char much[1l << 40]; int main() { return much[7]; }"


@confined
@pytest.mark.parametrize(
    ("language", "text"),
    [*INTERPRETER.items(), ("rust", LIBRARY), ("rust", LIBRARY.replace("lib", "staticlib")), ("cpp", HUGE)],
)
def test_a_program_that_spoils_its_own_binary_has_failed(sandbox: Sandbox, language: str, text: str) -> None:
    needs(language)
    outcome = run(sandbox, text, language)
    assert outcome.outcome in ("failed", "killed"), outcome
    assert text == HUGE or "can't be executed" in (outcome.exception or ""), outcome


def test_a_compiler_that_makes_nothing_fails_the_program(monkeypatch: pytest.MonkeyPatch) -> None:
    tools = table.Toolchain("1", {"rustc": "rustc"})
    monkeypatch.setattr(LanguageRunner, "_prepare", lambda self, language: tools)
    commands: list[Command] = []

    def silent(command: Command) -> Outcome:
        commands.append(command)
        return Outcome("passed")

    def start(command: Command) -> RunningCommand:
        raise AssertionError("rustc does not stay")

    outcome = LanguageRunner(silent, start, 1).run(Program("fn main() {}", "rust"), Limits())
    assert outcome.outcome == "failed" and "made no program" in (outcome.exception or ""), outcome
    assert len(commands) == 1


@confined
def test_the_token_does_not_show(sandbox: Sandbox) -> None:
    needs("bash")
    assert run(sandbox, "echo one\necho two", "sh").stdout == "one\ntwo\n"
    assert run(sandbox, "printf one", "sh").stdout == "one"


@confined
def test_an_input_is_compared_outside(sandbox: Sandbox) -> None:
    needs("bash")
    outcome = run(sandbox, "read x\necho $((x + 1))\nexit 0", "sh", stdin="41\n")
    assert (outcome.outcome, outcome.stdout) == ("passed", "42\n")
    assert run(sandbox, "read x\nexit 3", "sh", stdin="41\n").exception == "exit status 3"


@confined
def test_much_output_before_the_end_is_no_failure(sandbox: Sandbox) -> None:
    needs("bash")
    outcome = run(sandbox, "head -c 3000000 /dev/zero | tr '\\0' x", "sh")
    assert (outcome.outcome, len(outcome.stdout)) == ("passed", 1_000_000)


@confined
def test_main_may_return_or_come_first(sandbox: Sandbox) -> None:
    needs("cpp")
    main = 'int main() { if (f()) return 1; puts("x"); return 0; }'
    text = f"#include <cstdio>\nint f();\n{main}\nint f() {{ return 0; }}"
    outcome = run(sandbox, text, "c++")
    assert (outcome.outcome, outcome.stdout) == ("passed", "x\n"), outcome
    assert (
        run(sandbox, text.replace("return 0; }\nint", "return 3; }\nint"), "c++").exception == "exit status 3"
    )


@confined
@pytest.mark.parametrize(
    ("language", "first", "second"),
    [
        ("typescript", "interface Array<T> { extra: string }\nvar shared = 1;", "[].extra;"),
        ("typescript", "var shared = 1;", "shared;"),
        ("java", "class Problem { public static void main(String[] a) {} }\nclass Shared {}", None),
        ("csharp", "class Shared {}\nclass P { public static void Main() {} }", None),
    ],
)
def test_programs_do_not_see_each_other_in_a_warm_compiler(
    sandbox: Sandbox, language: str, first: str, second: str | None
) -> None:
    needs(language)
    second = second or first.replace("class Shared {}", "").replace("{} }", "{ new Shared(); } }")
    assert run(sandbox, first, language).passed
    assert (run(sandbox, second, language).exception or "").startswith("compile: ")
    assert run(sandbox, first, language).passed


@confined
def test_a_program_that_breaks_the_compiler_fails_alone(sandbox: Sandbox) -> None:
    needs("java")
    deep = "1" + "+1" * 60_000
    text = SAMPLES["java"].text.replace("BODY", f"long z = {deep}; return null;")
    outcome = run(sandbox, text, "java")
    assert outcome.outcome == "failed" and (outcome.exception or "").startswith("compile: ")
    assert run(sandbox, SAMPLES["java"].program("right"), "java").passed


def test_a_compiler_is_limited_too(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its limits are its own; running into them is no verdict on the text."""
    needs("cpp")
    monkeypatch.setattr(builds, "_cache", lambda: tmp_path)
    given: list[Command] = []

    def late(command: Command) -> Outcome:
        given.append(command)
        made = dict.fromkeys(command.outputs, b"") if "c++-header" in command.argv else {}
        return Outcome("passed" if made else "timed_out", "no end after 30 s of CPU time", files=made)

    def start(command: Command) -> RunningCommand:
        raise AssertionError("C++ has no compiler that stays")

    outcome = LanguageRunner(late, start, 1).run(Program("int main() {}", "cpp"), Limits(cpu_seconds=3))
    assert given[-1].limits.cpu_seconds == 30
    # The trial of the toolchain ran into it: no program is failed for that.
    assert outcome.outcome == "not_started"
    assert "a trial of the toolchain failed: compile: no end after 30 s" in (outcome.exception or "")


@confined
def test_a_closed_sandbox_starts_its_compilers_anew() -> None:
    needs("csharp")
    with Sandbox(workers=1) as box:
        for _ in range(2):
            assert run(box, SAMPLES["csharp"].program("right"), "csharp").passed
            box.close()


@confined
def test_a_public_class_and_a_package(sandbox: Sandbox) -> None:
    needs("java")
    text = "package a.b;\npublic class Hello {\n  public static void main(String[] a) { System.out.print(1); }\n}"
    outcome = run(sandbox, text, "java")
    assert (outcome.outcome, outcome.stdout) == ("passed", "1"), outcome


@confined
def test_a_missing_toolchain_is_not_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    table.toolchain.cache_clear()
    try:
        with Sandbox() as box:
            outcome = box.run(Program("<?php echo 1;", "php"))
            reports = {report.language: report for report in toolchains()}
    finally:
        table.toolchain.cache_clear()
    assert outcome.outcome == "not_started"
    assert "apt install php-cli" in (outcome.exception or "")
    assert reports["java"].version is None and "openjdk" in reports["java"].install


def test_names_and_files() -> None:
    # MultiPL-E's.
    codes = {"cpp", "cs", "java", "js", "php", "pl", "r", "rs", "sh", "ts", "py"}
    assert len({canonical_name(code) for code in codes}) == len(codes)
    assert canonical_name("C#") == "csharp" and canonical_name("TypeScript") == "typescript"
    assert language_of_file(Path("a/b.cc")) == "cpp" and language_of_file(Path("x.py")) == "python"
    assert {language.name for language in LANGUAGES} == set(SAMPLES)
    with pytest.raises(UserError, match="there is no language 'cobol'; there are python, cpp"):
        language_named("cobol")
    with pytest.raises(UserError, match="give --language"):
        language_of_file(Path("program.xyz"))
