"""What files and models hold can't change a terminal."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from evaluations import sample, write_evaluation
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Group
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from codecascade.cli import main
from codecascade.cli.measure.evaluation_display import results_table
from codecascade.evaluation.metrics import rate
from codecascade.evaluation.running.result import BenchmarkResult
from codecascade.ground.errors import printable
from codecascade.reports.terminal import PrintableConsole

HOSTILE = "\x1b[31mred\x1b]0;title\x07\x1b[2J\u202eback\x9b1m"


def shown(*what: object, terminal: bool = False) -> str:
    written = io.StringIO()
    console = PrintableConsole(
        file=written, width=200, markup=False, emoji=False, force_terminal=terminal, color_system=None
    )
    for each in what:
        console.print(each)
    return written.getvalue()


@given(st.text())
def test_whatever_is_printed_is_printable(text: str) -> None:
    table = Table(text, title=text, caption=text)
    table.add_row(text)
    table.add_row(Text(text, style="bold"))
    written = shown(text, Text(text), Text.assemble((text, "red"), "end"), table, Group(Panel(text), text))
    assert printable(written) == written


def test_an_escape_is_seen_in_whole_and_colours_of_ours_stay() -> None:
    assert shown(HOSTILE) == printable(HOSTILE) + "\n"
    assert shown(Text(HOSTILE)) == printable(HOSTILE.replace("\x07", "")) + "\n"
    written = io.StringIO()
    console = PrintableConsole(file=written, force_terminal=True, color_system="standard", width=200)
    console.print(Text("a", style="red"))
    assert written.getvalue() == "\x1b[31ma\x1b[0m\n"
    with console.status("waiting"):
        pass
    assert "\x1b[" in written.getvalue().replace("\x1b[31ma\x1b[0m\n", "")


def test_names_of_other_peoples_folders_reach_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, passed in (("a", False), ("b", True)):
        rows = [sample(f"HumanEval/{n}{HOSTILE}", passed) for n in range(8)]
        about = {
            "humaneval": {"conditions": {"source": name + HOSTILE}, "title": HOSTILE, "notes": [HOSTILE]}
        }
        write_evaluation(tmp_path / name, {"humaneval": rows}, model=name + HOSTILE, about=about)
    with pytest.raises(SystemExit) as ended:
        main(["compare", str(tmp_path / "a"), str(tmp_path / "b")])
    assert ended.value.code == 0
    out, err = capsys.readouterr()
    assert "\\x1b[31mred" in out and "8 gained" in out
    assert printable(out + err) == out + err


def test_the_name_of_a_model_is_the_title_of_a_table() -> None:
    table = results_table(HOSTILE, {"humaneval": BenchmarkResult("humaneval", {"pass@1": rate([True])})})
    assert printable(HOSTILE) in shown(table) and "\x1b" not in shown(table)
