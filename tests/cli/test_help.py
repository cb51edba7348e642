"""What ``--help`` shows: whole sentences, an example a command, one wording for one option."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from codecascade.cli import app
from codecascade.cli.options import CONFINE, MAKE, MEASURE, USE


def commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every command that does something, with the words that call it."""
    if hasattr(command, "commands"):
        for name, inner in command.commands.items():
            yield from commands(inner, (*path, name))
    else:
        yield path, command


COMMANDS = dict(commands(typer.main.get_command(app)))
each_command = pytest.mark.parametrize("path", COMMANDS, ids=" ".join)


def test_there_are_commands() -> None:
    assert {("run",), ("eval",), ("corpus", "build"), ("sandbox", "run")} <= COMMANDS.keys()


@each_command
def test_a_command_says_what_it_does_in_sentences(path: tuple[str, ...]) -> None:
    paragraphs = (COMMANDS[path].help or "").strip().split("\n\n")
    for paragraph in paragraphs:
        assert paragraph[0].isupper() and paragraph.endswith("."), paragraph
        # Typer keeps a line's end, so a paragraph of two lines is broken wherever the terminal is wider or narrower.
        assert "\n" not in paragraph, paragraph


@each_command
def test_a_command_has_an_example_that_can_be_read(path: tuple[str, ...]) -> None:
    lines = (COMMANDS[path].epilog or "").replace("\\[", "[").split("\n")
    assert lines[0] in ("Example:", "Examples:")
    assert len(lines) > 1
    for line in lines[1:]:
        words = shlex.split(line.partition(" < ")[0])
        assert words[: 1 + len(path)] == ["codecascade", *path]
        # Parsing reads the options and their values, and runs nothing.
        COMMANDS[path].make_context("codecascade", words[1 + len(path) :], resilient_parsing=False)


@each_command
def test_every_parameter_is_explained_in_a_sentence(path: tuple[str, ...]) -> None:
    for parameter in COMMANDS[path].params:
        text = parameter.help or ""
        assert (text.endswith((".", ")")) and text[0].isupper()) or text.endswith("."), (parameter.name, text)
        # Typer reads square brackets as markup and drops them.
        assert "[" not in text, (parameter.name, text)


def test_an_option_has_the_same_words_in_every_command() -> None:
    texts: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for path, command in COMMANDS.items():
        for parameter in command.params:
            if parameter.opts[0].startswith("-"):
                name = next(opt for opt in parameter.opts if opt.startswith("--"))
                texts[name][parameter.help].append(" ".join(path))
    different = {name: dict(by_text) for name, by_text in texts.items() if len(by_text) > 1}
    assert not different
    assert len(texts["--output"].popitem()[1]) > 5, "the search finds no shared options any more"


@each_command
def test_many_options_stand_in_groups(path: tuple[str, ...]) -> None:
    groups: dict[str | None, list[str]] = defaultdict(list)
    for parameter in COMMANDS[path].params:
        if parameter.opts[0].startswith("-"):
            groups[parameter.rich_help_panel].append(parameter.name)
    assert all(len(names) <= 7 for names in groups.values()), dict(groups)


@each_command
def test_help_fits_a_terminal_of_80_columns(path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*path, "--help"]).output
    assert all(len(line) <= 80 for line in shown.splitlines())
    options = [
        name for parameter in COMMANDS[path].params for name in parameter.opts if name.startswith("--")
    ]
    assert "…" not in shown
    assert [option for option in options if option not in shown] == []


def test_the_commands_stand_in_groups() -> None:
    shown = CliRunner().invoke(app, ["--help"]).output
    assert all(f" {group} " in shown for group in (MAKE, USE, MEASURE, CONFINE))
    assert " Commands " not in shown, "a command without a group"
