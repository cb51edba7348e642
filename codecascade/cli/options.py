"""Options that several commands have, with the same name and help in each.

Each function makes one option. Its arguments are what differs between commands: the group in the help, and the
default as the help shows it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

MAKE, USE, MEASURE, CONFINE = "Make a model", "Use a model", "Measure a model", "Run programs"
"""The groups of the commands."""
Shown = str | bool
"""The default as the help shows it: a text, or whether to show the value itself."""

MODEL = "A model folder, a GGUF file or the name of a model on the hub."
"""The help of the argument MODEL."""
Model = Annotated[str, typer.Argument(help=MODEL, show_default=False)]
RecipeFile = Annotated[
    Path,
    typer.Argument(
        help="A recipe: a TOML file, or the name of a recipe that comes with codecascade, such as quickstart.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for programs, in place of a table.")]


def output(metavar: str, shown: Shown = False, panel: str | None = None) -> Any:
    """``-o``, ``--output``. ``metavar`` shows whether it is a folder or a file."""
    return typer.Option(
        "-o",
        "--output",
        metavar=metavar,
        help="Write the result to this file or folder.",
        show_default=shown,
        rich_help_panel=panel,
    )


def changes(panel: str | None = None) -> Any:
    """``--set``."""
    return typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting; the command's page in docs/ names the keys (repeatable).",
        rich_help_panel=panel,
    )


def benchmark(metavar: str, shown: Shown = False, panel: str | None = None) -> Any:
    """``--benchmark``."""
    return typer.Option(
        "--benchmark",
        metavar=metavar,
        help="Take these benchmarks; `codecascade eval --list` shows their names.",
        show_default=shown,
        rich_help_panel=panel,
    )


def sandbox(shown: Shown = True, panel: str | None = None) -> Any:
    """``--sandbox``."""
    return typer.Option(
        "--sandbox",
        metavar="strict|weak",
        help="Refuse to run programs where they can't be confined (strict), or run them even so (weak).",
        show_default=shown,
        rich_help_panel=panel,
    )


def temperature(metavar: str = "T", shown: Shown = True, panel: str | None = None, **limits: float) -> Any:
    """``--temperature``."""
    return typer.Option(
        "--temperature",
        metavar=metavar,
        help="Draw tokens at this temperature; 0 takes the likeliest token each time.",
        show_default=shown,
        rich_help_panel=panel,
        **limits,  # type: ignore[arg-type]
    )


def top_p(shown: Shown = True, panel: str | None = None, **limits: float) -> Any:
    """``--top-p``."""
    return typer.Option(
        "--top-p",
        metavar="P",
        help="Draw from the likeliest tokens only, whose probabilities add up to this.",
        show_default=shown,
        rich_help_panel=panel,
        **limits,  # type: ignore[arg-type]
    )


def seed(panel: str | None = None) -> Any:
    """``--seed``."""
    return typer.Option(
        "--seed", metavar="N", help="Start every random draw from this number.", rich_help_panel=panel
    )


def weights(panel: str | None = None, *names: str) -> Any:
    """``--weights``, and other ``names`` for it."""
    return typer.Option(
        "--weights",
        *names,
        help="Hold the weights in this type. int8 and int4 are smaller and less exact; auto takes what is fastest "
        "here: bf16 or fp32, or, in serve, int8.",
        rich_help_panel=panel,
    )


def backend(panel: str | None = None) -> Any:
    """``--backend``."""
    return typer.Option(
        "--backend", help="Compute with this; llama.cpp reads GGUF files.", rich_help_panel=panel
    )


def heal(panel: str | None = None) -> Any:
    """``--heal``, ``--no-heal``."""
    return typer.Option(
        "--heal/--no-heal",
        help="Let a prompt end inside a token, as it may at a cursor (token healing).",
        rich_help_panel=panel,
    )


def context(shown: Shown, panel: str | None = None) -> Any:
    """``--context``."""
    return typer.Option(
        "--context",
        metavar="N",
        min=1,
        help="Read and write so many tokens at most, even if the model was made for fewer.",
        show_default=shown,
        rich_help_panel=panel,
    )


def line(panel: str | None = None) -> Any:
    """``--line``."""
    return typer.Option(
        "--line",
        metavar="N",
        min=1,
        help="The line of the file, from 1: the cursor's, or where a dialogue begins.",
        rich_help_panel=panel,
    )


def language(shown: Shown) -> Any:
    """``--language``."""
    return typer.Option(
        "--language", metavar="NAME", help="The language, such as python.", show_default=shown
    )


def memory(metavar: str, shown: Shown = True, panel: str | None = None) -> Any:
    """``--memory``."""
    return typer.Option(
        "--memory",
        metavar=metavar,
        help="The memory available to one device or one program.",
        show_default=shown,
        rich_help_panel=panel,
    )


def device(metavar: str, shown: Shown = True, panel: str | None = None) -> Any:
    """``--device``."""
    return typer.Option(
        "--device",
        metavar=metavar,
        help="The kind of device that computes.",
        show_default=shown,
        rich_help_panel=panel,
    )


def examples(*commands: str) -> str:
    """The end of a command's help: example calls, a line each."""
    heading = "Example:" if len(commands) == 1 else "Examples:"
    # Square brackets would be read as markup.
    return "\n".join([heading, *(f"  codecascade {command}".replace("[", "\\[") for command in commands)])
