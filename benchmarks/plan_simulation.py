"""The estimate of ``codecascade plan`` beside a simulated step: memory and bytes sent of a device, on several meshes.

    python benchmarks/plan_simulation.py                 # a few layers of the paper's sizes: minutes
    python benchmarks/plan_simulation.py --layers 0      # all layers: an hour or more

A step is simulated on tensors without data, on one CPU core. A few layers show whether the estimate is right, because
layers are alike; ``codecascade plan RECIPE --devices N --simulate`` takes all of them.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, replace
from typing import Any

from codecascade.ground.format import show_bytes
from codecascade.model.sources import config_of
from codecascade.plan.memory.step import step_memory
from codecascade.plan.simulation.step import simulate_step
from codecascade.plan.traffic import traffic
from codecascade.recipe import make_recipe
from codecascade.recipe.settings import Stage

MEMORY = 80 * 10**9


@dataclass(frozen=True)
class Case:
    """A step: of which model, with rows of which length, on which mesh; ``rows`` of each group of devices."""

    model: str
    length: int
    mesh: dict[str, int]
    rows: int = 1
    settings: tuple[tuple[str, Any], ...] = ()

    def stage(self) -> Stage:
        groups = self.mesh.get("data_replicate", 1) * self.mesh["data_shard"]
        one = {
            "name": "code",
            "kind": "code",
            "parent": "base",
            "steps": 1,
            "sequence_length": self.length,
            "batch_tokens": self.rows * groups * self.length,
            "parallel": self.mesh,
            **dict(self.settings),
        }
        return make_recipe({"name": "x", "base": "tiny", "corpus": "stdlib", "stage": [one]}).stage[0]


_AGAIN = (("activation_checkpointing", "full"),)
CASES = (
    Case("llama-2-70b", 4096, {"data_shard": 64}, settings=_AGAIN),
    Case("llama-2-70b", 4096, {"data_replicate": 4, "data_shard": 2, "tensor": 8}, settings=_AGAIN),
    Case("code-llama-34b", 16_384, {"data_shard": 64, "context": 2}, settings=_AGAIN),
    Case("llama-2-7b", 4096, {"data_replicate": 8, "data_shard": 8}, rows=2),
    Case("llama-2-7b", 4096, {"data_shard": 8}, settings=(("train", "lora"),)),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=3, help="of each model; 0: all")
    options = parser.parse_args()
    print("| model | row | mesh | simulated | estimate | sent, simulated | sent, estimate | s |", flush=True)
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for case in CASES:
        config = config_of(case.model)
        assert config is not None
        config = replace(config, num_hidden_layers=options.layers or config.num_hidden_layers)
        stage = case.stage()
        devices = 1
        for count in case.mesh.values():
            devices *= count
        mesh = stage.sharing.shape(devices)
        start = time.monotonic()
        simulated = simulate_step(config, stage, devices, memory=MEMORY)
        estimate, sent = step_memory(config, stage, mesh, MEMORY), traffic(config, stage, mesh, MEMORY)
        print(
            f"| {case.model} | {case.length:,} | {', '.join(f'{key} {value}' for key, value in case.mesh.items())} "
            f"| {show_bytes(simulated.total)} | {estimate.total / simulated.total - 1:+.1%} "
            f"| {show_bytes(sum(simulated.sent.values()))} | {sent.total / sum(simulated.sent.values()) - 1:+.1%} "
            f"| {time.monotonic() - start:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
