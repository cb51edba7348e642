"""Weights read and written by several ranks: ``rank_weights.py CASE MODEL OUT [CASE MODEL OUT ...]`` in each.

``layouts`` fills the model of the folder MODEL in every layout, and writes it again; ``memory`` measures what one
layout takes; ``mistakes`` makes what goes wrong on one rank go wrong; ``die`` kills a rank while it writes.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tiny_run import tiny_settings
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard
from torch.distributed.tensor import empty as empty_dtensor

from codecascade.ground.errors import UserError
from codecascade.model.llama import Llama
from codecascade.model.presets import build
from codecascade.model.sources import open_model
from codecascade.model.stored.weights import RandomWeights
from codecascade.training.learner import Learner
from codecascade.training.lora import add_lora
from codecascade.training.lora_weights import LoRAWeights
from codecascade.training.parallel import shared_folder as shared_folder_module
from codecascade.training.parallel.ranks import World, join_world
from codecascade.training.parallel.shared_folder import check_shared, shared_folder
from codecascade.training.parallel.weights_in import LocalSlice, fill
from codecascade.training.parallel.weights_out import WeightsFile, write_model

NEW_TOKENS = (3, 90, 91, 318)
SHARD_BYTES = 40_000.0
LAYOUTS: dict[str, tuple[Placement, ...]] = {
    "rows, in the order of two parallelisms": (Shard(0), Shard(0)),
    "rows and columns": (Shard(0), Shard(1)),
    "columns, twice the same": (Replicate(), Shard(1)),
}
CASES: dict[bool, tuple[tuple[str, str | None], ...]] = {
    True: (
        ("all", None),
        ("lora", None),
        ("all", "rows, in the order of two parallelisms"),
        ("lora", "rows and columns"),
        ("all", "columns, twice the same"),
    ),
    False: (("all", None), ("lora", "rows, in the order of two parallelisms"), ("all", "rows and columns")),
}
"""What is trained and how it is laid out, for a tied model and for one with a head of its own."""


def settings(train: str) -> Any:
    return tiny_settings(train=train, lora_rank=4, precision="fp32", batch_tokens=24 * 4)


def loaded(model: str, train: str, world: World, layout: str | None) -> Llama:
    """The model of a folder; its tensors are laid out so, and None is what a :class:`Learner` makes."""
    stored = open_model(model)
    llama = build(stored.config, "meta")
    if layout is None:
        return Learner(llama, settings(train), 1, world, NEW_TOKENS, stored.weights).model
    weights: Any = stored.weights
    if train == "lora":
        add_lora(llama, rank=4, alpha=32, dtype=torch.float32, new_token_ids=NEW_TOKENS)
        weights = LoRAWeights(stored.weights, rank=4, seed=0, new_token_ids=NEW_TOKENS)
    mesh = init_device_mesh("cpu", (2, 2))
    for module in llama.modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            placements = [
                Replicate() if isinstance(one, Shard) and one.dim >= parameter.ndim else one
                for one in LAYOUTS[layout]
            ]
            tensor = empty_dtensor(parameter.shape, device_mesh=mesh, placements=placements)
            module.register_parameter(name, nn.Parameter(tensor, requires_grad=parameter.requires_grad))
    fill(llama, weights, world)
    return llama


def change(model: nn.Module) -> None:
    """Make the second matrices of LoRA another value than 0: one that only depends on the place in the tensor."""
    for name, tensor in model.state_dict().items():
        if name.endswith("lora_b"):
            part = LocalSlice.of(tensor)
            rows, columns = (torch.arange(one.start, one.stop) for one in part.part)
            part.values.copy_(torch.sin(rows[:, None] * 7.0 + columns))


def whole(model: nn.Module) -> dict[str, Tensor]:
    return {
        name: tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
        for name, tensor in model.state_dict().items()
    }


def layouts(model: str, out: Path, world: World) -> None:
    for train, layout in CASES[open_model(model).config.tie_word_embeddings]:
        llama = loaded(model, train, world, layout)
        values = whole(llama)
        change(llama)
        name = f"{train}, {layout}"
        with shared_folder(out / name, world) as folder:
            write_model(folder, llama, settings(train), world, dtype=torch.bfloat16, shard_bytes=SHARD_BYTES)
        if world.first:
            torch.save(values, out / f"{name}.pt")


def memory(model: str, out: Path, world: World) -> None:
    """Write how much memory reading and writing took at most beside what was there, and how large the slices are."""
    stored = open_model(model)
    # what torch imports and makes at the first use is not what is measured
    few = replace(stored.config, vocab_size=64)
    small = Learner(build(few, "meta"), settings("all"), 1, world, (), RandomWeights(few))
    with shared_folder(out / "small", world) as folder:
        write_model(folder, small.model, settings("all"), world, dtype=torch.bfloat16)
    del small
    gc.collect()
    before = _reset_peak()
    learner = Learner(build(stored.config, "meta"), settings("all"), 1, world, (), stored.weights)
    reading = _peak() - before
    own = sum(LocalSlice.of(tensor).values.nbytes for tensor in learner.model.state_dict().values())
    before = _reset_peak()
    with shared_folder(out / "big", world) as folder:
        write_model(folder, learner.model, settings("all"), world, dtype=torch.bfloat16)
    writing = _peak() - before
    figures = {"own": own, "reading": reading, "writing": writing}
    (out / f"memory-{world.rank}.json").write_text(json.dumps(figures))


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{key}:"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _peak() -> int:
    return _status("VmHWM")


def _reset_peak() -> int:
    """What the process has now, from which on the peak is counted."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def mistakes(model: str, out: Path, world: World) -> None:
    """Write what each rank says of what goes wrong on one of them."""
    said: dict[str, str] = {}

    def note(name: str, work: Callable[[], object]) -> None:
        try:
            work()
        except UserError as error:
            said[name] = str(error)

    elsewhere = model if world.rank != 1 else f"{model}-of-another-machine"
    note("a folder that one rank does not see", lambda: world.on_all(lambda: open_model(elsewhere)))
    note("a folder that no rank sees", lambda: world.on_all(lambda: open_model(f"{model}-of-nobody")))

    llama = loaded(model, "all", world, None)
    real = WeightsFile.write

    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def write() -> None:
        with shared_folder(out / "written", world) as folder:
            write_model(folder, llama, settings("all"), world, dtype=torch.bfloat16, shard_bytes=SHARD_BYTES)

    if world.rank == 1:
        WeightsFile.write = full  # type: ignore[method-assign]
    note("a full disk", write)

    def gone(*arguments: Any) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    if world.rank == 1:
        WeightsFile.write = gone  # type: ignore[method-assign]
    note("a disk that is gone", write)
    WeightsFile.write = real  # type: ignore[method-assign]

    see = os.listdir
    if world.rank == 2:
        # a folder of the same name, on a disk of its own
        shared_folder_module.os.listdir = lambda path: ["recipe.toml"]
    note("a folder that is not shared", write)
    note("a run's folder that is not shared", lambda: check_shared(out, world))
    os.listdir = see
    (out / f"said-{world.rank}.json").write_text(json.dumps(said))


def die(model: str, out: Path, world: World) -> None:
    llama = loaded(model, "all", world, None)

    def killed(*arguments: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    # the rank that has the folder, and would remove it otherwise
    if world.first:
        WeightsFile.write = killed  # type: ignore[method-assign]
    with shared_folder(out / "written", world) as folder:
        write_model(folder, llama, settings("all"), world, dtype=torch.bfloat16, shard_bytes=SHARD_BYTES)


def main() -> None:
    torch.set_num_threads(1)
    world, cases = join_world(), {one.__name__: one for one in (layouts, memory, mistakes, die)}
    for case, model, out in zip(*[iter(sys.argv[1:])] * 3, strict=True):
        Path(out).mkdir(exist_ok=True)
        cases[case](model, Path(out), world)
        world.wait_for_all()


if __name__ == "__main__":
    main()
