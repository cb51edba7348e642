"""``plan``: what a recipe will cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

from codecascade.cli import options
from codecascade.cli.app import app, stderr, stdout
from codecascade.cli.options import AsJson, RecipeFile
from codecascade.ground.errors import UserError

if TYPE_CHECKING:
    from codecascade.plan.devices import Device

_DEVICES = "Devices"
_MOST_DEVICES = 2**20
"""No cluster has more, and the meshes of many more would take long to look through."""
LEAST_TFLOPS = 1e-9
"""A thousand products a second: whoever names less has mistaken the unit."""


@app.command(
    rich_help_panel=options.MAKE,
    epilog=options.examples(
        "plan code-llama-7b --devices 64 --device h100",
        "plan code-llama-70b --devices 128 --device a100-80gb --simulate --only code",
        "plan quickstart --json",
    ),
)
def plan(
    recipe: RecipeFile,
    devices: Annotated[
        int,
        typer.Option(
            metavar="N",
            min=1,
            max=_MOST_DEVICES,
            help="Divide the work between N devices.",
            rich_help_panel=_DEVICES,
        ),
    ] = 1,
    device: Annotated[
        str | None, options.device("h100|...", shown="here, where there is one", panel=_DEVICES)
    ] = None,
    memory: Annotated[str | None, options.memory("80GB", shown="the device's", panel=_DEVICES)] = None,
    tflops: Annotated[
        float | None,
        typer.Option(
            metavar="N",
            help="The speed of one device in matrix products, in TFLOP/s.",
            show_default="the device's",
            rich_help_panel=_DEVICES,
        ),
    ] = None,
    simulate: Annotated[
        bool,
        typer.Option(
            "--simulate",
            help="Take a step of each stage on tensors without data, and count a device's memory and traffic.",
        ),
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(
            "--only", metavar="STAGE", help="With --simulate: this stage alone.", show_default="all"
        ),
    ] = None,
    as_json: AsJson = False,
    changes: Annotated[list[str] | None, options.changes()] = None,
) -> None:
    """Tell what a recipe will cost: tokens, steps, FLOPs, memory, time, and how the devices share the work.

    This needs neither the weights nor the corpus.

    Devices: a100-40gb, a100-80gb, a100-40gb-pcie, a100-80gb-pcie, h100, h100-pcie, h200, b200, l40s, l4.

    And: rtx-4090, mi300x, and here (this machine's).
    """
    if only is not None and not simulate:
        raise UserError("is used with --simulate only", key="--only")
    if tflops is not None and not LEAST_TFLOPS <= tflops < math.inf:
        raise UserError(
            f"must be a finite number, and at least {LEAST_TFLOPS:g} (got {tflops:g})", key="--tflops"
        )
    from codecascade.recipe import read_recipe

    settings = read_recipe(recipe, changes or [])
    from codecascade.plan.display import plan_json, plan_tables
    from codecascade.plan.plan import make_plan

    made = make_plan(
        settings,
        devices=devices,
        device=_device(device, devices, timed=not as_json and tflops is None),
        memory=memory,
        device_flops=None if tflops is None else tflops * 1e12,
        file=recipe,
    )
    simulated = None
    if simulate:
        from codecascade.plan.simulation.stages import simulate_stages

        simulated = simulate_stages(settings, made, only=only, progress=lambda text: stderr().print(text))
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
