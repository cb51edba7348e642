"""Runs one tool on one Parquet file. benchmarks/corpus.py starts it in a process of its own.

    python benchmarks/peers.py TOOL TEXTS.parquet NUMBERS.json

Reads ``number`` and ``text``, and writes the numbers of the texts that the tool removes. All tools use the bands of
codecascade, 42 with 6 rows each, so that each finds a pair of similarity J with the same probability. They have the
settings that make them fast. Tools that take shingles from Python get those of codecascade. Some libraries decide
themselves which copy to keep. With the others (datasketch, rensa), a text is removed if its estimated similarity to a
kept text is 0.7 or more, as in their documentation. codecascade is imported for its own measurement only, so peers
may be in another environment.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

BANDS, ROWS = 42, 6
THRESHOLD = 0.7
WORD = re.compile(r"[A-Za-z0-9_\x80-\u07ff]+|[\u0800-\U0010ffff]")


def codecascade(file: Path) -> list[int]:
    from codecascade.corpus.steps.near import remove_near_duplicates

    removed: list[int] = remove_near_duplicates(_chunks(file))["removed"].to_pylist()
    return removed


def codecascade_file(file: Path) -> list[int]:
    """With the shingles in a temporary file: memory grows by about 600 bytes for each text."""
    from codecascade.corpus.steps.near import remove_near_duplicates

    removed: list[int] = remove_near_duplicates(_chunks(file), folder=file.parent)["removed"].to_pylist()
    return removed


def codecascade_exact(file: Path) -> list[int]:
    from codecascade.corpus.steps.near import remove_near_duplicates

    removed: list[int] = remove_near_duplicates(_chunks(file), mode="exact")["removed"].to_pylist()
    return removed


def rensa(file: Path) -> list[int]:
    from rensa import RMinHash, RMinHashLSH

    def sketch(shingles: list[str]) -> Any:
        made = RMinHash(num_perm=BANDS * ROWS, seed=42)
        made.update(shingles)
        return made

    return _checked(file, sketch, RMinHashLSH(threshold=THRESHOLD, num_perm=BANDS * ROWS, num_bands=BANDS))


def datasketch(file: Path) -> list[int]:
    import xxhash
    from datasketch import MinHash, MinHashLSH

    def sketch(shingles: list[str]) -> Any:
        made = MinHash(num_perm=BANDS * ROWS, hashfunc=xxhash.xxh32_intdigest)
        made.update_batch([shingle.encode() for shingle in shingles])
        return made

    return _checked(file, sketch, MinHashLSH(params=(BANDS, ROWS), num_perm=BANDS * ROWS))


def _checked(file: Path, sketch: Callable[[list[str]], Any], index: Any) -> list[int]:
    """The texts whose estimated similarity to a kept text reaches the threshold."""
    stay: dict[int, Any] = {}
    removed = []
    for number, shingles in _shingles(file):
        mine = sketch(shingles)
        if any(mine.jaccard(stay[other]) >= THRESHOLD for other in index.query(mine)):
            removed.append(number)
        else:
            stay[number] = mine
            index.insert(number, mine)
    return removed


def datatrove(file: Path) -> list[int]:
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import JsonlWriter

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        reader = ParquetReader(str(file.parent), glob_pattern=file.name, id_key="number")
        _datatrove_minhash(reader, JsonlWriter(str(work / "out"), compression=None), work)
        # datatrove does not write an id of 0.
        stay = {int(json.loads(line).get("id", 0)) for line in _lines(work / "out")}
    return [number for number in _numbers(file) if number not in stay]


def _datatrove_minhash(reader: Any, writer: Any, work: Path) -> None:
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.dedup import MinhashDedupSignature
    from datatrove.pipeline.dedup.minhash import (
        MinhashConfig,
        MinhashDedupBuckets,
        MinhashDedupCluster,
        MinhashDedupFilter,
    )

    config = MinhashConfig(n_grams=5, num_buckets=BANDS, hashes_per_bucket=ROWS)
    names = {name: str(work / name) for name in ("signatures", "buckets", "removed", "logs")}
    stages: list[tuple[int, list[Any]]] = [
        (1, [reader, MinhashDedupSignature(names["signatures"], config=config)]),
        (BANDS, [MinhashDedupBuckets(names["signatures"], names["buckets"], config=config)]),
        (1, [MinhashDedupCluster(names["buckets"], names["removed"], config=config)]),
        (1, [reader, MinhashDedupFilter(names["removed"]), writer]),
    ]
    for number, (tasks, pipeline) in enumerate(stages):
        LocalPipelineExecutor(pipeline, tasks=tasks, workers=1, logging_dir=f"{names['logs']}/{number}").run()


def codecascade_build(file: Path) -> list[int]:
    """A complete ``corpus build``: filters, licences, redaction, docstrings, duplicates, hold-out, shards, page."""
    from codecascade.corpus.build import build_corpus
    from codecascade.corpus.settings import CorpusSettings

    with tempfile.TemporaryDirectory() as folder:
        build_corpus([str(file)], Path(folder, "corpus"), CorpusSettings())
    return []


def datatrove_build(file: Path) -> list[int]:
    """The most similar pipeline: line lengths and letters, e-mail and IP addresses, near-duplicates, Parquet."""
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.filters import LambdaFilter
    from datatrove.pipeline.formatters import PIIFormatter
    from datatrove.pipeline.readers import ParquetReader
    from datatrove.pipeline.writers import ParquetWriter

    def good(document: Any) -> bool:
        lengths = [len(line) for line in document.text.splitlines()] or [0]
        alphanumeric = sum(map(str.isalnum, document.text))
        usual = max(lengths) <= 1000 and sum(lengths) <= 100 * len(lengths)
        return usual and alphanumeric >= 0.25 * len(document.text)

    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        reader = ParquetReader(str(file.parent), glob_pattern=file.name)
        first = [reader, LambdaFilter(good), PIIFormatter(), ParquetWriter(str(work / "filtered"))]
        LocalPipelineExecutor(first, workers=1, logging_dir=str(work / "logs" / "filter")).run()
        _datatrove_minhash(ParquetReader(str(work / "filtered")), ParquetWriter(str(work / "out")), work)
    return []


def text_dedup(file: Path) -> list[int]:
    from datasets import load_from_disk

    with tempfile.TemporaryDirectory() as folder:
        bands = [
            "--num_perm",
            BANDS * ROWS,
            "--b",
            BANDS,
            "--r",
            ROWS,
            "--ngram",
            5,
            "--threshold",
            THRESHOLD,
        ]
        hashes = ["--hash_func", "xxh3", "--hash_bits", 32, "--num_proc", 1, "--batch_size", 10_000]
        data = ["--path", "parquet", "--data_files", file, "--split", "train", "--column", "text"]
        output = ["--cache_dir", f"{folder}/cache", "--output", f"{folder}/out"]
        words = [str(word) for word in (*bands, *hashes, *data, *output)]
        subprocess.run(
            [sys.executable, "-m", "text_dedup.minhash", *words], check=True, stdout=subprocess.DEVNULL
        )
        stay = set(load_from_disk(f"{folder}/out")["number"])
    return [number for number in _numbers(file) if number not in stay]


TOOLS: dict[str, Callable[[Path], list[int]]] = {
    "codecascade": codecascade,
    "codecascade-file": codecascade_file,
    "codecascade-exact": codecascade_exact,
    "codecascade-build": codecascade_build,
    "rensa": rensa,
    "datasketch": datasketch,
    "datatrove": datatrove,
    "datatrove-build": datatrove_build,
    "text-dedup": text_dedup,
}


def _chunks(file: Path) -> Iterator[object]:
    with pq.ParquetFile(file) as table:
        for group in range(table.num_row_groups):
            yield from table.read_row_group(group, ["text"]).column("text").chunks


def _shingles(file: Path) -> Iterator[tuple[int, list[str]]]:
    with pq.ParquetFile(file) as table:
        for batch in table.iter_batches(1000, columns=["number", "text"]):
            for number, text in zip(batch["number"].to_pylist(), batch["text"].to_pylist(), strict=True):
                words = WORD.findall(text)
                runs = zip(*(words[start:] for start in range(5)), strict=False)
                yield number, list({" ".join(run) for run in runs} or {text})


def _numbers(file: Path) -> list[int]:
    numbers: list[int] = pq.read_table(file, columns=["number"])["number"].to_pylist()
    return numbers


def _lines(folder: Path) -> Iterator[str]:
    for file in sorted(folder.glob("*.jsonl")):
        with file.open() as stream:
            yield from stream


if __name__ == "__main__":
    Path(sys.argv[3]).write_text(json.dumps(TOOLS[sys.argv[1]](Path(sys.argv[2]))))
