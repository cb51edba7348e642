"""``run`` and ``convert``: the commands that make a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codecascade.cli import options
from codecascade.cli.app import app, invocation, stderr
from codecascade.cli.options import Model, RecipeFile
from codecascade.ground.choices import ConvertedWeightType, ModelFormat, SandboxMode
from codecascade.ground.format import shown_command
from codecascade.ground.signals import stopped_at_once


@app.command(
    rich_help_panel=options.MAKE,
    epilog=options.examples(
        "run quickstart",
        "run your-code --set base=MODEL --set corpus=FOLDER",
        "run mine.toml --until code --set stage.code.tokens=100000",
    ),
)
def run(
    recipe: RecipeFile,
    output: Annotated[Path | None, options.output("DIR", shown="runs/NAME, by the recipe's name")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="STAGE", help="Stop after this stage of the recipe.")
    ] = None,
    changes: Annotated[list[str] | None, options.changes()] = None,
    sandbox: Annotated[SandboxMode | None, options.sandbox(shown="the recipe's, else strict")] = None,
) -> None:
    """Run a recipe's stages, measure the model after each, and write a report.

    Ctrl-C stops it at any time. The same command continues where an earlier run stopped.
    """
    extra = [f"sandbox={sandbox}"] if sandbox else []
    # Signals are handled from here on, because importing PyTorch and looking at the inputs takes seconds.
    with stopped_at_once():
        from codecascade.recipe import read_recipe

        settings = read_recipe(recipe, [*(changes or []), *extra])
        from codecascade.cascade.run import run_cascade

        folder = output or Path("runs") / settings.name
        command = shown_command(invocation)
        run_cascade(settings, folder, until=until, console=stderr(), file=recipe, command=command)


@app.command(
    rich_help_panel=options.MAKE,
    epilog=options.examples(
        "convert model.gguf FOLDER --to hf --dtype bf16", "convert FOLDER model.gguf --to gguf --dtype q8_0"
    ),
)
def convert(
    model: Model,
    out: Annotated[Path, typer.Argument(help="The new folder or GGUF file.", show_default=False)],
    to: Annotated[
        ModelFormat, typer.Option(help="The form of the result: a Hugging Face folder or a GGUF file.")
    ] = "hf",
    dtype: Annotated[
        ConvertedWeightType | None,
        typer.Option(help="The number format of the written weights.", show_default="as they are"),
    ] = None,
) -> None:
    """Write a model in another form: as a Hugging Face folder, or as a GGUF file for llama.cpp.

    It is read from a Hugging Face folder, a GGUF file or a folder of Meta's files.
    """
    from codecascade.model.convert import convert as convert_model

    made = convert_model(model, out, to=to, dtype=dtype)
    stderr().print(f"{out}: {made.config.num_parameters():,} parameters")
