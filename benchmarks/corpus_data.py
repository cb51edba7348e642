"""The data of benchmarks/corpus.py: real files, synthetic files, and which pairs of them are near-duplicates."""

from __future__ import annotations

import random
import sysconfig
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from codecascade.corpus.steps.near.leaders import jaccard
from codecascade.corpus.steps.near.local import ShingleStore, prefix_buckets, sketched
from codecascade.corpus.steps.near.shingles import blocks

GROUP_ROWS = 1000
SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        *((name, pa.string()) for name in ("text", "path", "repository", "language", "license")),
    ]
)
Pairs = set[tuple[int, int]]


def real_files(count: int) -> list[str]:
    """Python files of 300 bytes to 60 kB of the standard library and the installed packages, chosen by a hash."""
    folders = {Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")}
    files = {file for folder in folders for file in folder.rglob("*.py")}
    texts: list[str] = []
    for file in sorted(files, key=lambda file: blake2b(str(file).encode(), digest_size=8).digest()):
        if len(texts) == count:
            break
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        if 300 <= len(text.encode()) <= 60_000:
            texts.append(text)
    return texts


def synthetic_files(count: int, seed: int = 0) -> Iterator[str]:
    """Texts of 5 kB on average. A quarter are copies of earlier ones, with up to 30 % of the lines changed."""
    draw = random.Random(seed)
    names = [
        f"{draw.choice('abcdefgh')}{draw.getrandbits(40):x}"[: draw.randint(2, 11)] for _ in range(30_000)
    ]

    # Squaring the random number makes some names much more frequent than others.
    def line() -> str:
        used = [names[int(len(names) * draw.random() ** 2)] for _ in range(draw.randint(2, 7))]
        return "    " * draw.randint(0, 3) + " ".join(used)

    lines = [line() for _ in range(200_000)]
    recent: list[list[str]] = []
    for _ in range(count):
        if recent and draw.random() < 0.25:
            share = draw.random() * 0.3
            text = [draw.choice(lines) if draw.random() < share else kept for kept in draw.choice(recent)]
        else:
            text = draw.choices(lines, k=draw.randint(20, 240))
            recent.append(text)
            if len(recent) > 2000:
                recent.pop(draw.randrange(2000))
        yield "\n".join(text)


def write_real_files(count: int, file: Path) -> tuple[int, int]:
    """Write :func:`real_files` as Parquet. Returns the number of files and their bytes."""
    return write_texts(real_files(count), file)


def write_synthetic_files(count: int, file: Path) -> tuple[int, int]:
    """Write :func:`synthetic_files` as Parquet. Returns the number of files and their bytes."""
    return write_texts(synthetic_files(count), file)


def write_texts(texts: Iterable[str], file: Path) -> tuple[int, int]:
    """Write texts as rows with all fields that a build needs. Returns the number of texts and their bytes."""
    done = size = 0
    waiting: list[dict[str, int | str]] = []
    with pq.ParquetWriter(file, SCHEMA, compression="zstd") as writer:
        for text in texts:
            origin = {"path": f"file_{done}.py", "repository": f"repository_{done % 50}"}
            waiting.append({"number": done, "text": text, "language": "python", "license": "MIT", **origin})
            done, size = done + 1, size + len(text.encode())
            if len(waiting) == GROUP_ROWS:
                writer.write_table(pa.Table.from_pylist(waiting, SCHEMA))
                waiting.clear()
        writer.write_table(pa.Table.from_pylist(waiting, SCHEMA))
    return done, size


def near_pairs(texts: Sequence[str], threshold: float) -> Pairs:
    """All pairs (i, j), i < j, with at least this Jaccard similarity, by an exact search."""
    store, sizes = ShingleStore(None), []
    for block in blocks(pa.array(texts, pa.large_string())):
        sets, sketch = sketched(*block)
        store.add(sets)
        sizes.append(sketch.sizes)
    store.finish()
    size = np.concatenate(sizes)
    items = np.flatnonzero(size)
    table = prefix_buckets(store, items, size[items], threshold)
    members: dict[int, list[int]] = {}
    pairs: Pairs = set()
    for index, item in enumerate(items.tolist()):
        mine = table.numbers[table.offsets[index] : table.offsets[index + 1]].tolist()
        for other in {earlier for bucket in mine for earlier in members.get(bucket, ())}:
            alike = min(size[item], size[other]) >= threshold * max(size[item], size[other])
            if alike and jaccard(store[item], store[other]) >= threshold:
                pairs.add((other, item))
        for bucket in mine:
            members.setdefault(bucket, []).append(item)
    return pairs


def quality(removed: Sequence[int], pairs: Pairs) -> tuple[int, int]:
    """Two counts of mistakes: removed documents without a near-duplicate that is kept, and kept ones with an earlier
    near-duplicate that is kept."""
    gone = set(removed)
    with_twin, left = set(), set()
    for one, other in pairs:
        if one in gone and other not in gone:
            with_twin.add(one)
        elif other in gone and one not in gone:
            with_twin.add(other)
        elif one not in gone:
            left.add(other)
    return len(gone - with_twin), len(left)
