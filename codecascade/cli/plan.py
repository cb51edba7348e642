"""``plan``: what a recipe will cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli import options
from codecascade.cli.app import app, stderr, stdout
from codecascade.cli.options import AsJson, RecipeFile
from codecascade.ground.errors import UserError

if TYPE_CHECKING:
    from codecascade.plan.devices import Device


@app.command(
    rich_help_panel=options.MAKE,
    epilog=options.examples(
        "plan code-llama-7b --devices 64 --device h100",
        "plan code-llama-70b --devices 128 --device a100-80gb --simulate --stage code",
        "plan quickstart --json",
    ),
)
def plan(
    recipe: RecipeFile,
    devices: Annotated[int, typer.Option(metavar="N", min=1, help="Divide the work between N devices.")] = 1,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What each device is: a100-80gb, h100, h200, b200 ...; here is this machine's own.",
            show_default="here, where there is one device",
        ),
    ] = None,
    memory: Annotated[str | None, options.memory("80GB", shown="the device's")] = None,
    tflops: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            min=0.0,
            help="The speed of one device in matrix products, in TFLOP/s.",
            show_default="the device's",
        ),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option(
            "--simulate",
            help="Take a step of each stage on tensors without data, and count a device's memory and traffic.",
        ),
    ] = False,
    stage: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="With --simulate: this stage alone.", show_default="all"),
    ] = None,
    as_json: AsJson = False,
    changes: Annotated[list[str] | None, options.changes()] = None,
) -> None:
    """Tell what a recipe will cost: tokens, steps, FLOPs, memory, time, and how the devices share the work.

    This needs neither the weights nor the corpus.
    """
    if stage is not None and not simulate:
        raise UserError("is used with --simulate only", key="--stage")
    from codecascade.recipe import read_recipe

    settings = read_recipe(recipe, changes or [])
    from codecascade.plan.display import plan_json, plan_tables
    from codecascade.plan.plan import make_plan

    made = make_plan(
        settings,
        devices=devices,
        device=_device(device, devices, timed=not as_json and not tflops),
        memory=memory,
        device_flops=tflops * 1e12 if tflops else None,
        file=recipe,
    )
    simulated = None
    if simulate:
        from codecascade.plan.simulation.stages import simulate_stages

        simulated = simulate_stages(settings, made, only=stage, progress=lambda text: stderr().print(text))
    if as_json:
        print(plan_json(made, simulated))
    else:
        stdout().print(plan_tables(made, simulated))


def _device(name: str | None, devices: int, *, timed: bool) -> Device | None:
    """The device of that name. One device that is not named is this machine's; of several nothing is known."""
    from codecascade.plan.devices import HERE, device_named

    if name is None and devices > 1:
        return None
    return device_named(name or HERE, timed=timed)
