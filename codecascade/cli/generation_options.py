"""Options of the commands that use a model, and what they say together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli import options
from codecascade.ground.choices import Backend, Weights
from codecascade.ground.errors import UserError
from codecascade.ground.files.reading import read_text

if TYPE_CHECKING:
    from codecascade.generation.editing.stops import EditorLines

TEXT = "The text"
WRITING = "How it is written"
AGAIN = "What is written again"
ENDING = "Where it ends"
MANY = "Many at once"
MODEL = "The model"

NewTokens = Annotated[
    int,
    typer.Option(
        "--max-new-tokens", metavar="N", min=1, help="Write at most N tokens.", rich_help_panel=ENDING
    ),
]
Temperature = Annotated[float, options.temperature(panel=WRITING, min=0.0)]
TopP = Annotated[float, options.top_p(panel=WRITING, min=0.0, max=1.0)]
Seed = Annotated[int, options.seed(WRITING)]
Stops = Annotated[
    list[str] | None,
    typer.Option("--stop", metavar="TEXT", help="End before this text (repeatable).", rich_help_panel=ENDING),
]
Heal = Annotated[bool, options.heal(TEXT)]
JsonLines = Annotated[
    Path | None,
    typer.Option(
        "--jsonl", metavar="FILE", help="Read many texts, one JSON object a line.", rich_help_panel=MANY
    ),
]
Output = Annotated[Path | None, options.output("FILE", panel=MANY)]
TopK = Annotated[
    int,
    typer.Option(
        "--top-k",
        metavar="N",
        min=0,
        help="Draw from the N likeliest tokens only; 0 means all.",
        rich_help_panel=WRITING,
    ),
]
MinP = Annotated[
    float,
    typer.Option(
        "--min-p",
        metavar="P",
        min=0.0,
        max=1.0,
        help="Draw only tokens that are at least P times as likely as the likeliest.",
        rich_help_panel=WRITING,
    ),
]
RepetitionPenalty = Annotated[
    float,
    typer.Option(
        "--repetition-penalty",
        metavar="X",
        help="Make tokens that the text already contains less likely by this factor.",
        rich_help_panel=AGAIN,
    ),
]
PresencePenalty = Annotated[
    float,
    typer.Option(
        "--presence-penalty",
        metavar="X",
        help="Subtract this from the logits of tokens that were written already.",
        rich_help_panel=AGAIN,
    ),
]
FrequencyPenalty = Annotated[
    float,
    typer.Option(
        "--frequency-penalty",
        metavar="X",
        help="The same, once for each time that the token was written.",
        rich_help_panel=AGAIN,
    ),
]
ContextFiles = Annotated[
    list[Path] | None,
    typer.Option(
        "--context-file",
        metavar="FILE",
        help="Show the model this file of the repository, too; the most important one last (repeatable).",
        rich_help_panel=TEXT,
    ),
]
HeldIn = Annotated[Weights, options.weights(MODEL)]
ComputedBy = Annotated[Backend, options.backend(MODEL)]
Context = Annotated[int | None, options.context("the model's own", panel=ENDING)]
SingleLine = Annotated[
    bool, typer.Option("--single-line", help="End with the cursor's line.", rich_help_panel=ENDING)
]
Block = Annotated[
    bool,
    typer.Option(
        "--block",
        help="End with the block that the cursor is in; this is the default.",
        rich_help_panel=ENDING,
    ),
]
NoEditorStops = Annotated[
    bool,
    typer.Option(
        "--no-editor-stops",
        help="End only where the model ends, even if it repeats the text after the gap.",
        rich_help_panel=ENDING,
    ),
]


def at_cursor(file: Path, line: int | None, column: int | None) -> tuple[str, str]:
    """The text before and after a cursor."""
    if line is None or column is None:
        raise UserError("--file needs --line and --column")
    lines = read_text(file).split("\n")
    if line > len(lines):
        raise UserError(f"has {len(lines)} lines (got {line})", file=file, key="--line")
    if column > len(lines[line - 1]) + 1:
        raise UserError(
            f"line {line} has {len(lines[line - 1])} characters, so the last column is "
            f"{len(lines[line - 1]) + 1} (got {column})",
            file=file,
            key="--column",
        )
    offset = sum(len(text) + 1 for text in lines[: line - 1]) + column - 1
    whole = "\n".join(lines)
    return whole[:offset], whole[offset:]


def editor_lines(*, single_line: bool, block: bool, no_editor_stops: bool) -> EditorLines | None:
    """How far a filling goes; None for as far as the model writes."""
    if single_line + block + no_editor_stops > 1:
        raise UserError("--single-line, --block and --no-editor-stops exclude each other")
    if no_editor_stops:
        return None
    return "single" if single_line else "block"


def language_of(file: Path | None) -> str | None:
    """The language of a file, by its name."""
    from codecascade.corpus.reading.languages import language_by_name

    return None if file is None else language_by_name(file.name)


def refuse(given: dict[str, object], *, with_: str) -> None:
    """Options that are given beside one that they exclude."""
    for name, value in given.items():
        if value is not None:
            raise UserError(f"{name} and {with_} exclude each other")
