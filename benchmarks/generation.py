"""Generation speed side by side with transformers and llama.cpp: the same weights, prompts, precision and tokens.

    python benchmarks/generation.py                      # all kinds of work, about ten minutes on two quiet cores
    python benchmarks/generation.py --work batch-8 keystrokes --rounds 5
    python benchmarks/generation.py --work humaneval --problems 4 --before CHECKOUT   # beside an earlier commit

Each engine runs in a process of its own and writes the same number of tokens to the same prompts, the likeliest ones
(``humaneval``: drawn ones). They take turns, in another order in each round, and the table shows medians over the
rounds. Read the ratios of one run, never the seconds of two. The weights are those of SmolLM2-135M (``make
quickstart`` installs them); if they are missing, random ones of the same shape. llama.cpp needs ``pip install
llama-cpp-python``; what can't be measured is named.

The floor is what no engine can beat that reads each weight once in a pass: bytes of the weights, divided by the
memory's bandwidth, which is measured in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sysconfig
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
import transformers
from generation_peers import Elsewhere, Prompts, Unavailable
from keystrokes import session
from rich.console import Console
from rich.table import Table

from codecascade.ground.errors import UserError
from codecascade.model.folder import save_folder
from codecascade.model.gguf.writing import GgufDtype, save_gguf
from codecascade.model.precision import choose_precision
from codecascade.model.presets import PRESETS, build, initialise
from codecascade.model.sources import load
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.tokens.training import train_tokenizer

BASE = "smollm2-135m-instruct"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


@dataclass(frozen=True)
class Work:
    """``prompts`` prompts of ``shortest`` to ``longest`` tokens, each continued by ``new`` tokens.

    Attributes:
        samples: texts that are drawn for each prompt; 1: the likeliest tokens.
        alike: tokens that all prompts begin with.
        layout: of the prompts of an editing session, which are asked one after another; None: all at a time.
        counts: what a speed is told of: all tokens, those read, those written, or requests.
    """

    prompts: int
    shortest: int
    longest: int
    new: int
    samples: int = 1
    alike: int = 0
    layout: str | None = None
    counts: Literal["all", "read", "written", "requests"] = "written"


WORK = {
    "batch-1": Work(1, 200, 200, 64),
    "batch-8": Work(8, 100, 300, 64),
    # as many texts as the engine runs at a time, which begin alike: a benchmark asked in chat
    "batch-256": Work(256, 60, 300, 64, alike=40),
    "prefill-1024": Work(1, 1024, 1024, 1, counts="read"),
    "keystrokes": Work(100, 0, 0, 16, layout="spm", counts="requests"),
    # with the prompts as llama.cpp's server lays them out
    "keystrokes-psm": Work(100, 0, 0, 16, layout="psm", counts="requests"),
    # HumanEval's prompts have these lengths, and these are as many samples as pass@10 needs
    "humaneval": Work(8, 60, 300, 64, samples=20, counts="all"),
    "completion": Work(16, 60, 300, 96, counts="all"),
    "infilling": Work(32, 150, 350, 16, counts="all"),
    "long": Work(4, 1900, 2000, 24, counts="all"),
}
_UNITS = {"all": "tokens/s", "read": "tokens/s", "written": "new tokens/s", "requests": "requests/s"}


def make_prompts(work: Work, tokens: Sequence[int], tokenizer: Tokenizer) -> Prompts:
    """Prompts of evenly spaced lengths, each from another part of a text; or those of an editing session."""
    if work.layout is not None:
        text = (Path(sysconfig.get_paths()["stdlib"]) / "textwrap.py").read_text()
        return session(text, tokenizer.encode, work.prompts, layout=work.layout)
    span = (work.longest - work.shortest) / max(1, work.prompts - 1)
    lengths = [work.shortest + round(index * span) for index in range(work.prompts)]
    beginning = tokens[: work.alike]
    return [
        (*beginning, *tokens[index * work.longest + work.alike : index * work.longest + length])
        for index, length in enumerate(lengths)
    ]


def python_text() -> str:
    folder = Path(sysconfig.get_paths()["stdlib"])
    return "\n".join(file.read_text(errors="replace") for file in sorted(folder.glob("*.py"))[:30])


def save_model(folder: Path, text: str, dtype: GgufDtype) -> tuple[Tokenizer, int]:
    """Save a model folder and a GGUF file beside it, which all can load.

    Returns:
        The tokenizer, and the weights that a pass reads: all, without an embedding that is no head.
    """
    try:
        loaded = load(BASE, dtype=torch.float32, device=torch.device("cpu"))
        model, tokenizer = loaded.model, loaded.tokenizer
    except UserError as error:
        print(f"random weights: {error}")
        tokenizer = train_tokenizer([text], 4096, kind="bytes")
        model = build(PRESETS["smollm2-135m"], torch.device("cpu"))
        initialise(model, seed=0)
    save_folder(folder, model, model.config, tokenizer)
    try:
        save_gguf(folder.with_suffix(".gguf"), model.state_dict(), model.config, tokenizer, dtype=dtype)
    except UserError as error:
        print(f"no file for llama.cpp: {error}")
    read = sum(parameter.numel() for parameter in model.parameters())
    if not model.config.tie_word_embeddings:
        read -= model.model.embed_tokens.weight.numel()
    return tokenizer, read


def bandwidth() -> float:
    """Bytes a second that all threads read together, from more memory than the caches hold."""
    memory = torch.ones(2**27, device=DEVICE)
    return memory.numel() * memory.itemsize / min(timed(lambda: float(memory.sum())) for _ in range(5))


def timed(do: Callable[[], object]) -> float:
    synchronize()
    start = time.perf_counter()
    do()
    synchronize()
    return time.perf_counter() - start


def synchronize() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


def measure(
    kind: str, work: Work, peers: dict[str, Elsewhere], prompts: Prompts, rounds: int
) -> dict[str, Any]:
    whole: dict[str, list[float]] = {name: [] for name in peers}
    first: dict[str, list[float]] = {name: [] for name in peers}

    def run(name: str, new: int, some: Prompts = prompts) -> None:
        if work.layout is None:
            peers[name].complete(some, new, work.samples)
        else:
            peers[name].replay(some, new)

    for name in peers:
        # the first call warms up
        run(name, min(2, work.new), prompts[:8])
    splits = work.layout is None and work.new > 1
    for turn in range(rounds):
        for name in list(peers) if turn % 2 == 0 else list(peers)[::-1]:
            if splits:
                first[name].append(timed(lambda name=name: run(name, 1)))  # type: ignore[misc]
            whole[name].append(timed(lambda name=name: run(name, work.new)))  # type: ignore[misc]
    read, written = sum(map(len, prompts)), len(prompts) * work.samples * work.new
    counted = {"all": read + written, "read": read, "written": written, "requests": len(prompts)}[work.counts]
    passes = work.new - 1
    return {
        "work": kind,
        "prompts": len(prompts),
        "prompt_tokens": read,
        "new_tokens": written,
        "unit": _UNITS[work.counts],
        "engines": {
            name: {
                "speed": counted / statistics.median(whole[name]),
                "seconds": whole[name],
                # of one pass that writes a token to each text
                "step": (statistics.median(whole[name]) - statistics.median(first[name])) / passes
                if splits
                else None,
            }
            for name in peers
        },
    }


def show(result: dict[str, Any], title: str, floor: float, missing: dict[str, str], console: Console) -> None:
    """A table; ``floor`` in seconds a pass."""
    table = Table(
        title=f"{result['work']}: {result['prompts']} prompts, {result['prompt_tokens']:,} tokens, "
        f"{result['new_tokens']:,} new\n{title}",
    )
    for column in ("", result["unit"], "codecascade is", "lowest", "highest", "ms a pass", "of the floor"):
        table.add_column(column, justify="right" if column else "left")
    engines = result["engines"]
    ours = next(iter(engines.values()))
    for name, found in engines.items():
        ratios = sorted(theirs / mine for theirs, mine in zip(found["seconds"], ours["seconds"], strict=True))
        step = found["step"]
        table.add_row(
            name,
            f"{found['speed']:,.1f}",
            f"{statistics.median(ratios):.2f} x",
            f"{ratios[0]:.2f}",
            f"{ratios[-1]:.2f}",
            "" if step is None else f"{1000 * step:.1f}",
            "" if step is None else f"{floor / step:.0%}",
        )
    for name, reason in missing.items():
        table.add_row(name, f"not measured: {reason}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = ["batch-1", "batch-8", "prefill-1024", "keystrokes", "keystrokes-psm", "humaneval"]
    parser.add_argument("--work", nargs="+", choices=WORK, default=kinds)
    parser.add_argument("--problems", type=int, help="prompts of humaneval, of which each gets 20 texts")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto")
    parser.add_argument("--before", type=Path, help="a working tree of an earlier commit, measured too")
    parser.add_argument("--without", nargs="+", choices=("transformers", "llama.cpp"), default=[])
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    if arguments.problems is not None and arguments.problems < 1:
        parser.error("--problems must be at least 1")
    console = Console(width=max(110, Console().width))
    precision = choose_precision(DEVICE, arguments.precision)
    kind: GgufDtype = "bf16" if precision.dtype == torch.bfloat16 else "f32"
    text, threads = python_text(), torch.get_num_threads()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        tokenizer, weights = save_model(folder, text, kind)
        wanted = max(work.prompts * work.longest for work in WORK.values())
        ids = tokenizer.encode(text[: 20 * wanted])
        tokens = list(chain.from_iterable([ids] * (1 + wanted // len(ids))))
        mine = ("codecascade", str(folder), arguments.precision)
        makers: dict[str, Callable[[], Elsewhere]] = {
            "codecascade": lambda: Elsewhere(*mine),
            "transformers": lambda: Elsewhere(
                "transformers", str(folder), str(precision.dtype).removeprefix("torch.")
            ),
            "llama.cpp": lambda: Elsewhere("llama.cpp", str(folder.with_suffix(".gguf")), threads, 2**15),
        }
        if arguments.before is not None:
            makers["earlier commit"] = lambda: Elsewhere(*mine, checkout=arguments.before)
        peers: dict[str, Elsewhere] = {}
        missing = dict.fromkeys(arguments.without, "left out")
        for name, make in makers.items():
            if name not in missing:
                try:
                    peers[name] = make()
                except Unavailable as reason:
                    missing[name] = str(reason)
        speed = bandwidth()
        nbytes = weights * precision.dtype.itemsize
        console.print(f"memory: {speed / 1e9:.1f} GB/s; weights: {nbytes / 1e6:,.0f} MB")
        for name in arguments.work:
            work = WORK[name]
            if name == "humaneval" and arguments.problems:
                work = replace(work, prompts=arguments.problems)
            prompts = make_prompts(work, tokens, tokenizer)
            results.append(measure(name, work, peers, prompts, arguments.rounds))
            show(results[-1], f"{precision}, {threads} threads", nbytes / speed, missing, console)
        for peer in peers.values():
            peer.close()
    if arguments.json:
        versions = {"torch": torch.__version__, "transformers": transformers.__version__}
        found = {"versions": versions, "bytes_per_second": speed, "weight_bytes": nbytes, "results": results}
        with open(arguments.json, "w") as file:
            json.dump(found | {"missing": missing}, file, indent=2)


if __name__ == "__main__":
    main()
