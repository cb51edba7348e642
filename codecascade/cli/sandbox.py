"""``sandbox check`` and ``sandbox run``: test how this machine confines programs, and run one program confined."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli import options
from codecascade.cli.app import app, stdout
from codecascade.cli.options import AsJson

if TYPE_CHECKING:
    from codecascade.sandbox.check import SandboxReport
    from codecascade.sandbox.languages.table import ToolchainReport

sandbox_app = typer.Typer(help="Run untrusted programs, confined.", no_args_is_help=True)
app.add_typer(sandbox_app, name="sandbox", rich_help_panel=options.CONFINE)


@sandbox_app.command(epilog=options.examples("sandbox check"))
def check(as_json: AsJson = False) -> None:
    """Attack each layer of the sandbox on this machine, tell which held, and which languages can be run."""
    from codecascade.sandbox.check import check_sandbox
    from codecascade.sandbox.languages.table import toolchains

    report = check_sandbox()
    languages = toolchains()
    if as_json:
        lines = {
            name: [vars(finding) for finding in findings]
            for name, findings in (("layers", report.layers), ("promises", report.promises))
        }
        lines["languages"] = [vars(toolchain) for toolchain in languages]
        print(json.dumps({"confinement": report.confinement, "strict": report.strict, **lines}, indent=2))
    else:
        _show(report)
        _show_languages(languages)


def _show(report: SandboxReport) -> None:
    from rich.table import Table
    from rich.text import Text

    console = stdout()
    for title, findings in (("layer, alone", report.layers), ("promise, all layers", report.promises)):
        table = Table(title, "attacked with", "", box=None, pad_edge=False)
        for finding in findings:
            failed = Text("FAILED", style="bold red")
            held = "not here" if finding.held is None else "held" if finding.held else failed
            table.add_row(finding.name, finding.attack, held)
        console.print(table)
        console.print()
    reasons: dict[str, list[str]] = {}
    for finding in report.layers:
        if finding.why is not None:
            reasons.setdefault(finding.why, []).append(finding.name)
    for why, names in reasons.items():
        console.print(f"Not here: {', '.join(names)}: {why}.", markup=False, highlight=False)
    notes = [f"{finding.name}: {finding.note}." for finding in report.layers if finding.note is not None]
    for note in notes:
        console.print(note, markup=False, highlight=False)
    if reasons or notes:
        console.print()
    if report.strict:
        console.print(f"Programs are confined by {report.confinement}; all four promises hold.")
    else:
        console.print("Not all promises hold: programs run here only with --sandbox=weak.")


def _show_languages(languages: list[ToolchainReport]) -> None:
    from rich.table import Table

    table = Table("language", "toolchain", box=None, pad_edge=False)
    for language in languages:
        found = f"not here: {language.install}" if language.version is None else language.version
        lacks = "".join(f"; lacks {each}" if language.version else f"; {each}" for each in language.lacks)
        table.add_row(language.title, found + lacks)
    console = stdout()
    console.print()
    console.print(table)


@sandbox_app.command(
    "run", epilog=options.examples("sandbox run program.py --timeout 5", "sandbox run program.rs --json")
)
def run_file(
    file: Annotated[Path, typer.Argument(help="The program's source file.", show_default=False)],
    language: Annotated[str | None, options.language(shown="by the file's suffix")] = None,
    timeout: Annotated[
        float, typer.Option(metavar="SECONDS", help="End the program after this much CPU time.")
    ] = 10.0,
    memory: Annotated[int, options.memory("MB")] = 2048,
    as_json: AsJson = False,
    mode: Annotated[str, options.sandbox()] = "strict",
) -> None:
    """Run one program, confined. The exit code is 0 whenever there is a verdict."""
    from codecascade.ground.errors import UserError, one_line
    from codecascade.sandbox.languages.table import canonical_name, language_of_file, why_unusable
    from codecascade.sandbox.program import Program
    from codecascade.sandbox.program_file import read_program
    from codecascade.sandbox.sandbox import Sandbox

    if mode not in ("strict", "weak"):
        raise UserError(f"must be strict or weak, not {mode!r}", key="--sandbox")
    if not timeout > 0:
        raise UserError(f"must be > 0 (got {timeout:g})", key="--timeout")
    if memory < 16:
        raise UserError(f"must be at least 16 (got {memory})", key="--memory")
    name = language_of_file(file) if language is None else canonical_name(language)
    source = read_program(file, name)
    if (missing := why_unusable(name)) is not None:
        raise UserError(missing)
    with Sandbox("weak" if mode == "weak" else "strict", workers=1) as sandbox:
        outcome = sandbox.run(Program(source, language=name), timeout=timeout, memory_mb=memory)
    if as_json:
        names = ("outcome", "exception", "stdout", "stderr", "cpu_seconds", "wall_seconds")
        print(json.dumps({name: getattr(outcome, name) for name in names}))
        return
    print(outcome.stdout, end="", flush=True)
    print(outcome.stderr, end="", file=sys.stderr)
    result = f"{outcome.outcome}: {outcome.exception}" if outcome.exception else outcome.outcome
    seconds = f"{outcome.cpu_seconds:.3f} s of CPU, {outcome.wall_seconds:.3f} s"
    print(one_line(f"{result} ({seconds})"), file=sys.stderr)
