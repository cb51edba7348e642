"""Simulates one step of each stage of a planned recipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from codecascade.ground.errors import UserError
from codecascade.ground.nearest import nearest
from codecascade.model.config import LlamaConfig
from codecascade.plan.mesh import with_mesh
from codecascade.plan.plan import RecipePlan
from codecascade.plan.simulation.simulated import SimulatedStep
from codecascade.plan.simulation.step import simulate_step
from codecascade.recipe.settings import Recipe, Stage

_SILENCE = 10.0
"""Seconds after which the next layer is said."""
_DECIDING = (
    "parallel",
    "precision",
    "sequence_length",
    "batch_tokens",
    "micro_batch_rows",
    "activation_checkpointing",
    "loss_chunk_tokens",
    "train",
    "lora_rank",
)
"""The settings that decide what a step takes."""
_POSITIONS = ("rope_theta", "rope_scaling", "max_position_embeddings")
"""What of a model's shape does not."""


def simulate_stages(
    recipe: Recipe,
    plan: RecipePlan,
    *,
    only: str | None = None,
    progress: Callable[[str], None],
) -> Mapping[str, SimulatedStep]:
    """One step of each stage of ``plan``, by the stage's name. Stages whose steps are alike are simulated once.

    Args:
        only: the stage that is simulated; None: all.
        progress: gets a line at least every 15 seconds.

    Raises:
        UserError: there is no such stage, or the shape of its model is not known.
    """
    names = [stage.name for stage in recipe.stage]
    if only is not None and only not in names:
        raise UserError(f"there is no stage {only!r}; {nearest(only, names)}", key="--only")
    done: dict[str, tuple[str, SimulatedStep]] = {}
    found = {}
    for stage in recipe.stage:
        if only not in (None, stage.name):
            continue
        planned = plan[stage.name]
        if planned.config is None or planned.mesh is None:
            raise UserError(
                f"the shape of its model is not known ({recipe.base!r} is not here), so it can't be simulated",
                key=f"stage.{stage.name}",
            )
        settings = with_mesh(stage, planned.mesh)
        key = _key(planned.config, settings)
        if key in done:
            before, found[stage.name] = done[key]
            progress(f"{stage.name}: a step is like that of {before}")
            continue
        say = _Progress(stage.name, progress)
        found[stage.name] = simulate_step(
            planned.config, settings, plan.devices, memory=plan.device.memory, progress=say
        )
        say.end()
        done[key] = (stage.name, found[stage.name])
    return found


def _key(config: LlamaConfig, stage: Stage) -> str:
    shape = {key: value for key, value in vars(config).items() if key not in _POSITIONS}
    return repr((shape, [getattr(stage, name) for name in _DECIDING]))


class _Progress:
    """Says how far a simulation is, now and then."""

    def __init__(self, stage: str, say: Callable[[str], None]) -> None:
        self._stage, self._say = stage, say
        self._start = self._last = time.monotonic()
        say(f"{stage}: simulating two steps")

    def __call__(self, layers: int, total: int) -> None:
        now = time.monotonic()
        if now - self._last >= _SILENCE:
            self._last = now
            self._say(f"{self._stage}: {layers:,} of {total:,} layers passed")

    def end(self) -> None:
        self._say(f"{self._stage}: simulated in {time.monotonic() - self._start:,.0f} s")
