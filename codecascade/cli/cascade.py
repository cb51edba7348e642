"""``run``, ``plan`` and ``convert``: a model is made."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from codecascade.cli.app import Model, app, stderr, stdout
from codecascade.ground.signals import stopped_at_once


class SandboxMode(StrEnum):
    """``--sandbox``."""

    strict = "strict"
    weak = "weak"


class WeightType(StrEnum):
    """``--dtype``."""

    f32 = "f32"
    bf16 = "bf16"


RecipeFile = Annotated[Path, typer.Argument(help="A recipe (TOML).", show_default=False)]
Changes = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="base=..., corpus=..., stage.code.tokens=100000 (repeatable)"
    ),
]


@app.command()
def run(
    recipe: RecipeFile,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The run's folder; default runs/<name>.")
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Stop after this stage.")] = None,
    changes: Changes = None,
    sandbox: Annotated[
        SandboxMode | None, typer.Option(help="weak: run programs even where they can't be confined.")
    ] = None,
) -> None:
    """Run a recipe's stages, measure each, write a report. Goes on where an earlier run stopped."""
    extra = [f"sandbox={sandbox.value}"] if sandbox else []
    # from the first moment on: to import PyTorch and to look at the inputs takes seconds
    with stopped_at_once():
        from codecascade.recipe import read_recipe

        settings = read_recipe(recipe, [*(changes or []), *extra])
        from codecascade.cascade.run import run_cascade

        folder = output or Path("runs") / settings.name
        run_cascade(settings, folder, until=until, console=stderr(), file=recipe)


@app.command()
def plan(
    recipe: RecipeFile,
    devices: Annotated[int, typer.Option(min=1, help="Devices to share the work.")] = 1,
    memory: Annotated[str | None, typer.Option(metavar="80GB", help="Of one device.")] = None,
    tflops: Annotated[
        float | None, typer.Option(min=0.0, help="Of one device, in products; default: this one's, timed.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    changes: Changes = None,
) -> None:
    """What a recipe will cost: tokens, steps, FLOPs, memory, time. Needs neither weights nor corpus."""
    from codecascade.recipe import read_recipe

    settings = read_recipe(recipe, changes or [])
    from codecascade.plan.plan import make_plan, plan_json, plan_table, this_device_flops

    flops = tflops * 1e12 if tflops else None if as_json else this_device_flops()
    made = make_plan(settings, devices=devices, memory=memory, device_flops=flops, file=recipe)
    if as_json:
        print(plan_json(made))
    else:
        stdout().print(plan_table(made))


@app.command()
def convert(
    model: Model,
    out: Annotated[Path, typer.Argument(help="A new folder.", show_default=False)],
    to: Annotated[str, typer.Option(help="hf: a Hugging Face folder.")] = "hf",
    dtype: Annotated[WeightType | None, typer.Option(help="Of the weights; default: as they are.")] = None,
) -> None:
    """One form of a model into another."""
    from codecascade.model.convert import convert as convert_model

    made = convert_model(model, out, to=to, dtype=dtype)
    stderr().print(f"{out}: {made.config.num_parameters():,} parameters")
