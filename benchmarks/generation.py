"""Generation speed beside transformers: the same weights, prompts, precision and numbers of tokens, alternating.

    python benchmarks/generation.py                      # three kinds of work; some minutes on two quiet cores
    python benchmarks/generation.py --work completion --rounds 2

Both take all prompts of a workload as one batch, decode greedily, and write the same number of tokens to each prompt.
codecascade is called as evaluation calls it; transformers' ``generate`` gets prompts padded on the left. The time
with one new token is that of the prefill; the rest is decoding. The weights are those of SmolLM2-135M (``make
quickstart`` installs them); if they are missing, random ones of the same shape. Compare the ratios of one run, never
the seconds of two runs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
import transformers
from rich.console import Console
from rich.table import Table
from transformers import AutoModelForCausalLM

from codecascade.generation.engine.generator import LocalGenerator, load_generator
from codecascade.generation.requests import Request, SamplingParams
from codecascade.ground.errors import UserError
from codecascade.model.folder import save_folder
from codecascade.model.precision import choose_precision
from codecascade.model.presets import PRESETS, build, initialise
from codecascade.model.sources import load
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

BASE = "smollm2-135m-instruct"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
Prompts = list[tuple[int, ...]]
# Takes prompts and the number of tokens to write to each.
Peer = Callable[[Prompts, int], None]


@dataclass(frozen=True)
class Workload:
    """``prompts`` prompts of ``shortest`` to ``longest`` tokens, each continued by ``new`` tokens."""

    prompts: int
    shortest: int
    longest: int
    new: int


WORK = {
    # HumanEval's prompts have these lengths.
    "completion": Workload(16, 60, 300, 96),
    "infilling": Workload(32, 150, 350, 16),
    "long": Workload(4, 1900, 2000, 24),
}


def make_prompts(work: Workload, tokens: Sequence[int]) -> Prompts:
    """Prompts of evenly spaced lengths, each from another part of a text."""
    span = (work.longest - work.shortest) / max(1, work.prompts - 1)
    lengths = [work.shortest + round(index * span) for index in range(work.prompts)]
    return [
        tuple(tokens[index * work.longest : index * work.longest + length])
        for index, length in enumerate(lengths)
    ]


def ours(generator: LocalGenerator) -> Peer:
    def run(prompts: Prompts, new: int) -> None:
        # each round reads its prompts, as the peer does
        generator.engine.forget_prefixes()
        requests = [Request(ids, SamplingParams(new), stop_ids=frozenset()) for ids in prompts]
        assert all(len(completion.ids) == new for completion in generator.generate(requests))

    return run


def theirs(folder: Path, dtype: torch.dtype) -> Peer:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).to(DEVICE).eval()

    def run(prompts: Prompts, new: int) -> None:
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(prompt)) + list(prompt) for prompt in prompts], device=DEVICE)
        real = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts], device=DEVICE)
        with torch.inference_mode():
            found = model.generate(
                ids,
                attention_mask=real,
                max_new_tokens=new,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
        assert found.shape[1] == width + new

    return run


def python_text() -> str:
    folder = Path(sysconfig.get_paths()["stdlib"])
    return "\n".join(file.read_text(errors="replace") for file in sorted(folder.glob("*.py"))[:30])


def save_model(folder: Path, text: str) -> Tokenizer:
    """Save a model folder that both can load, and return its tokenizer."""
    try:
        loaded = load(BASE, dtype=torch.float32, device=torch.device("cpu"))
        model, tokenizer = loaded.model, loaded.tokenizer
    except UserError as error:
        print(f"random weights: {error}")
        tokenizer = train_tokenizer([text], 4096, kind="bytes")
        model = build(PRESETS["smollm2-135m"], torch.device("cpu"))
        initialise(model, seed=0)
    save_folder(folder, model, model.config, tokenizer)
    return tokenizer


def timed(peer: Peer, prompts: Prompts, new: int) -> float:
    synchronize()
    start = time.perf_counter()
    peer(prompts, new)
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def measure(kind: str, peers: dict[str, Peer], tokens: Sequence[int], rounds: int) -> dict[str, Any]:
    work = WORK[kind]
    prompts = make_prompts(work, tokens)
    read, written = sum(map(len, prompts)), work.prompts * work.new
    first: dict[str, list[float]] = {name: [] for name in peers}
    whole: dict[str, list[float]] = {name: [] for name in peers}
    for peer in peers.values():
        # The first call warms up.
        peer(prompts, 2)
    for turn in range(rounds):
        for name in list(peers) if turn % 2 == 0 else list(peers)[::-1]:
            first[name].append(timed(peers[name], prompts, 1))
            whole[name].append(timed(peers[name], prompts, work.new))
    decoding = {name: statistics.median(whole[name]) - statistics.median(first[name]) for name in peers}
    mine, other = (whole[name] for name in peers)
    return {
        "work": kind,
        "prompts": work.prompts,
        "prompt_tokens": read,
        "new_tokens": written,
        "tokens_per_second": {
            name: {
                "prefill": read / statistics.median(first[name]),
                "decode": (written - work.prompts) / max(decoding[name], 1e-3),
                "end_to_end": (read + written) / statistics.median(whole[name]),
            }
            for name in peers
        },
        "ratio_end_to_end": [slow / fast for fast, slow in zip(mine, other, strict=True)],
    }


def show(result: dict[str, Any], title: str, console: Console) -> None:
    ratios = result["ratio_end_to_end"]
    table = Table(
        title=f"{result['work']}: {result['prompts']} prompts, {result['prompt_tokens']:,} tokens, "
        f"{result['new_tokens']:,} new\n{title}",
        caption=f"codecascade / transformers, end to end: median {statistics.median(ratios):.2f} "
        f"({min(ratios):.2f} to {max(ratios):.2f})",
    )
    for column in ("tokens/s (median of the rounds)", "prefill", "decode", "end to end"):
        table.add_column(column, justify="left" if column.startswith("tokens") else "right")
    for name, speeds in result["tokens_per_second"].items():
        table.add_row(name, *(f"{speed:,.0f}" for speed in speeds.values()))
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", nargs="+", choices=WORK, default=list(WORK))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    console = Console(width=max(110, Console().width))
    precision = choose_precision(DEVICE, arguments.precision)
    text = python_text()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        tokenizer = save_model(folder, text)
        wanted = max(work.prompts * work.longest for work in WORK.values())
        ids = tokenizer.encode(text[: 20 * wanted])
        tokens = list(chain.from_iterable([ids] * (1 + wanted // len(ids))))
        peers = {
            "codecascade": ours(load_generator(str(folder), precision=arguments.precision)),
            "transformers generate": theirs(folder, precision.dtype),
        }
        for kind in arguments.work:
            results.append(measure(kind, peers, tokens, arguments.rounds))
            show(results[-1], f"{precision}, {torch.get_num_threads()} threads", console)
    if arguments.json:
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        with open(arguments.json, "w") as file:
            json.dump({"versions": versions, "results": results}, file, indent=2)


if __name__ == "__main__":
    main()
