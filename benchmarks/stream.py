"""Speed of the data stream on one core: documents of the standard library in, batches out.

    python benchmarks/stream.py                        # under a minute
    python benchmarks/stream.py --corpus FOLDER --base MODEL --consumption 12000
    python benchmarks/stream.py --kept                 # each case also with the corpus kept as tokens (token_cache)

The stream should deliver at least 20 times what training consumes. Rates are per second of the process's CPU time,
which other processes do not change, and per second of wall-clock time. ``--consumption`` is the rate to compare with.
Its default is about the rate of training SmolLM2-135M on two quiet cores with bf16 instructions
(``benchmarks/training.py`` measures yours).
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from codecascade.corpus.build import build_corpus
from codecascade.corpus.corpus import Corpus
from codecascade.corpus.documents import KINDS
from codecascade.corpus.settings import CorpusSettings
from codecascade.ground.errors import UserError
from codecascade.ground.format import show_bytes
from codecascade.model.sources import load
from codecascade.tokens.infilling import add_infilling_tokens
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.parallel.ranks import World
from codecascade.training.stream.settings import InfillingSettings, MixtureItem
from codecascade.training.stream.stream import TokenStream
from codecascade.training.stream.stream_sources import StreamSource
from codecascade.training.stream.tokenized.cache import TokenCache

FUNCTIONS = MixtureItem(
    source="python", share=1, granularity="function", min_characters=80, max_characters=700
)
PAPER = (
    MixtureItem(source="code", share=0.85),
    MixtureItem(source="natural_language_code", share=0.08),
    MixtureItem(source="natural_language", share=0.07),
)
WHOLE_LINES = InfillingSettings(rate=1, whole_line_share=0.8, middle_weight=3, rest_weight=0.3)
CASES: dict[str, tuple[tuple[MixtureItem, ...], dict[str, Any]]] = {
    "the paper's mixture and infilling": (PAPER, {"sequence_length": 4096, "infilling": InfillingSettings()}),
    "the same, in rows of 2,048": (PAPER, {"sequence_length": 2048, "infilling": InfillingSettings()}),
    "the same, left to right": (PAPER, {"sequence_length": 4096, "infilling": None}),
    "functions, all infilled, masks": (
        (FUNCTIONS,),
        {"sequence_length": 512, "infilling": WHOLE_LINES, "document_masks": True},
    ),
}


def measure(stream: TokenStream, rows: int, tokens: int) -> dict[str, float]:
    """Measure about ``tokens`` tokens of a stream, after a first batch."""
    stream.batch(range(rows))
    counts: Counter[str] = Counter()
    made = 0
    clock, cpu = time.perf_counter(), time.process_time()
    while made < tokens:
        batch = stream.batch(range(rows))
        counts.update(batch.counts)
        made += batch.weights.numel()
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    states = stream.state_dict(range(rows))
    return {
        "tokens_per_cpu_second": made / cpu,
        "tokens_per_second": made / clock,
        "infilled": counts["infilled"] / counts["documents"],
        "infilled_of_fitting": counts["infilled"] / max(1, counts["fitting"]),
        "padding": counts["padding"] / made,
        "largest_state_bytes": max(len(json.dumps(state)) for state in states.values()),
    }


def kept_tokens(corpus: Corpus, tokenizer: Tokenizer, folder: Path) -> tuple[TokenCache, str]:
    """A cache with the tokens of a whole corpus, and what it took to make it."""
    cache = TokenCache(folder, World(0, 1, torch.device("cpu"), None))
    tables = [corpus.documents("train", kind) for kind in KINDS]
    cpu = time.process_time()
    cache.tokenized([table for table in tables if len(table)], tokenizer, lambda name, done, total: None)
    cpu = time.process_time() - cpu
    text = sum(table.total_bytes for table in tables)
    kept = sum(file.stat().st_size for file in folder.rglob("*.arrow"))
    return (
        cache,
        f"{show_bytes(text)} of text kept as {show_bytes(kept)} of tokens, in {cpu:.1f} s of CPU time",
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base", default="smollm2-135m-instruct", help="model whose tokenizer is used")
    parser.add_argument(
        "--corpus", type=Path, help="default: one of the standard library, made for the occasion"
    )
    parser.add_argument("--consumption", type=float, default=450, help="tokens a second that training takes")
    parser.add_argument("--tokens", type=int, default=400_000, help="in each case")
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--kept", action="store_true", help="measure with the corpus kept as tokens, too")
    parser.add_argument("--json", type=Path, help="write the figures here too")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    try:
        tokenizer = add_infilling_tokens(load(arguments.base).tokenizer)
        with tempfile.TemporaryDirectory() as temporary:
            folder = arguments.corpus or Path(temporary, "corpus")
            if arguments.corpus is None:
                build_corpus(["stdlib"], folder, CorpusSettings())
            corpus = Corpus.open(folder)
            figures = {}
            if arguments.kept:
                cache, made = kept_tokens(corpus, tokenizer, Path(temporary, "tokens"))
                print(made)
            for name, (mixture, options) in CASES.items():
                sources = [StreamSource.of(item, corpus.documents("train", item.source)) for item in mixture]
                ways = {name: sources}
                if arguments.kept and all(item.granularity == "document" for item in mixture):
                    ways[f"{name}; tokens kept"] = cache.with_tokens(
                        sources, tokenizer, lambda name, done, total: None
                    )
                for way, chosen in ways.items():
                    stream = TokenStream(chosen, tokenizer, rows=arguments.rows, seed=0, **options)
                    figures[way] = measure(stream, arguments.rows, arguments.tokens)
    except UserError as error:
        sys.exit(str(error))

    table = Table(title=f"The stream on one core; training consumes {arguments.consumption:,.0f} tokens/s")
    for column in (
        "",
        "tokens/CPU s",
        "tokens/s",
        "x training",
        "infilled",
        "of fitting",
        "padding",
        "state, B/row",
    ):
        table.add_column(column, justify="right" if column else "left")
    for name, row in figures.items():
        table.add_row(
            name,
            f"{row['tokens_per_cpu_second']:,.0f}",
            f"{row['tokens_per_second']:,.0f}",
            f"{row['tokens_per_cpu_second'] / arguments.consumption:,.0f}",
            f"{row['infilled']:.1%}",
            f"{row['infilled_of_fitting']:.1%}",
            f"{row['padding']:.2%}",
            f"{row['largest_state_bytes']:,.0f}",
        )
    Console().print(table)
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
