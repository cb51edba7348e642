"""The application that all commands belong to, and what they share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

import codecascade

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

invocation: list[str] = []
"""The arguments of the command that runs."""

app = typer.Typer(
    name="codecascade",
    help="Make a code model of a Llama-architecture model: train it, measure it, use it.",
    epilog="Each command shows examples: codecascade run --help",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version, and end.")] = False,
) -> None:
    if version:
        print(codecascade.__version__)
        raise typer.Exit


def stderr() -> Console:
    """Where progress and messages go. Square brackets, ``:names:`` and escapes are text: paths may hold some."""
    from codecascade.reports.terminal import PrintableConsole

    return PrintableConsole(stderr=True, markup=False, emoji=False)


def loading(model: str) -> Status:
    """A context in which the terminal shows that a model is being loaded."""
    from rich.text import Text

    return stderr().status(Text(f"loading {model}"))


def stdout() -> Console:
    """Where tables go. Text is treated as in :func:`stderr`."""
    from codecascade.reports.terminal import PrintableConsole

    return PrintableConsole(markup=False, emoji=False)
