"""Takes training steps in a process of its own. benchmarks/training.py starts one for each peer.

    python benchmarks/training_peers.py PEER TASK.json

Reads numbers of steps from standard input, a line each, and answers each with a line: the seconds of the steps. What
one peer sets for its process (codecascade keeps freed memory and chooses how threads wait) does not reach the others;
codecascade is imported for its own steps only. LoRA's peers need the package peft.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Takes a number of steps, and returns the seconds of each.
Peer = Callable[[int], list[float]]
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RATE, RANK, ALPHA = 1e-4, 32, 64


def ours(task: dict[str, Any]) -> Peer:
    # before torch, whose threads wait as it says
    import codecascade  # noqa: F401, I001
    import torch

    from codecascade.ground.allocator import kept_memory
    from codecascade.model.config import LlamaConfig
    from codecascade.model.presets import build
    from codecascade.model.stored.weights import RandomWeights
    from codecascade.training.learner import Learner
    from codecascade.training.parallel.ranks import World
    from codecascade.training.settings import TrainingSettings
    from codecascade.training.stream.stream import Batch

    config = LlamaConfig(**task["ours"])
    rows, length = task["rows"], task["length"]
    settings = TrainingSettings(
        steps=1000,
        learning_rate=RATE,
        sequence_length=length,
        batch_tokens=rows * length,
        micro_batch_rows=task["micro_batch_rows"],
        precision="bf16" if task["bf16"] else "fp32",
        train=task["train"],
        lora_rank=RANK,
        lora_alpha=ALPHA,
    )
    world = World(0, 1, torch.device(task["device"]), None)
    learner = Learner(build(config, "meta"), settings, 1000, world, weights=RandomWeights(config))
    ids = torch.zeros(rows, length, dtype=torch.int32)
    batch = Batch(tokens_of(task), torch.ones(rows, length), ids, [[]] * rows, {})

    def run(steps: int) -> list[float]:
        with kept_memory():
            # the first step warms up
            return [timed(lambda: learner.step(batch, 1)) for _ in range(steps + 1)][1:]

    return run


def plain_loop(task: dict[str, Any]) -> Peer:
    import torch

    model, kind = peer_model(task), task["device"]
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, fused=True)
    parts = torch.split(tokens_of(task)[:, :-1].to(kind), task["micro_batch_rows"])

    def step() -> None:
        for part in parts:
            with torch.autocast(kind, torch.bfloat16, enabled=task["bf16"]):
                loss = model(input_ids=part, labels=part).loss / len(parts)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return lambda steps: [timed(step) for _ in range(steps + 1)][1:]


def trainer(task: dict[str, Any]) -> Peer:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class StepClock(TrainerCallback):  # type: ignore[misc]
        """Records the seconds of each step, without Trainer's set-up."""

        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._start = 0.0

        def on_step_begin(self, *_: Any, **__: Any) -> None:
            self._start = now()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            self.seconds.append(now() - self._start)

    model = peer_model(task)
    examples = [{"input_ids": row, "labels": row} for row in tokens_of(task)[:, :-1]]

    def run(steps: int) -> list[float]:
        clock = StepClock()
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                output_dir=folder,
                max_steps=steps + 1,
                per_device_train_batch_size=task["micro_batch_rows"],
                gradient_accumulation_steps=task["rows"] // task["micro_batch_rows"],
                learning_rate=RATE,
                optim="adamw_torch_fused",
                bf16=task["bf16"],
                use_cpu=task["device"] == "cpu",
                max_grad_norm=1.0,
                logging_strategy="no",
                save_strategy="no",
                report_to=[],
                disable_tqdm=True,
                dataloader_pin_memory=False,
            )
            Trainer(model=model, args=arguments, train_dataset=examples, callbacks=[clock]).train()
        return clock.seconds[1:]

    return run


PEERS: dict[str, Callable[[dict[str, Any]], Peer]] = {
    "codecascade": ours,
    "transformers loop": plain_loop,
    "transformers Trainer": trainer,
}


def peer_model(task: dict[str, Any]) -> Any:
    """transformers' model; with LoRA peft's, whose frozen weights are in the format of the products, as ours are."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**task["theirs"])).to(task["device"]).train()
    if task["train"] == "all":
        return model
    from peft import LoraConfig, get_peft_model

    if task["bf16"]:
        model = model.to(torch.bfloat16)
    return get_peft_model(model, LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=PROJECTIONS))


def tokens_of(task: dict[str, Any]) -> Any:
    """(rows, length + 1) random tokens, the same for all peers."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shape = task["rows"], task["length"] + 1
    return torch.randint(task["ours"]["vocab_size"], shape, generator=generator)


def timed(step: Callable[[], object]) -> float:
    start = now()
    step()
    return now() - start


def now() -> float:
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def main() -> None:
    peer, path = sys.argv[1:]
    # what libraries print goes to the errors, so that the answers are alone
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    logging.getLogger("transformers").setLevel(logging.ERROR)
    run = PEERS[peer](json.loads(Path(path).read_text()))
    for line in sys.stdin:
        print(json.dumps(run(int(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
