"""Runs a build on a Ray cluster: the same tasks over the same parts, as Ray Data datasets.

All machines must see the sources and the work folder under the same paths (a network file system). Tasks write
their results to the work folder. Only numbers, band keys and the texts of possible near-duplicates are sent through
Ray.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codecascade.corpus.engines.local import BuildTask
from codecascade.corpus.engines.parts import BuildParts, read_arrow
from codecascade.corpus.steps.near import REMOVED
from codecascade.corpus.steps.near.distributed import remove_near_duplicates_on_ray
from codecascade.ground.errors import RunFailed, UserError

_TASKS_PER_CPU = 10
"""Tasks are grouped into at most this many Ray tasks per CPU, because each Ray task costs some milliseconds."""


class RayEngine:
    """Ray Data on the cluster at ``address`` (``auto``, ``HOST:6379``) or ``RAY_ADDRESS``, else on this machine.

    If this process is already connected to a cluster, that one is used.

    Args:
        workers: CPUs of this machine to use; None: all. Not allowed with an existing cluster.
        workers: processors of this machine to use; none: all. A cluster has its own.

    Raises:
        UserError: Ray is not installed, or no cluster answers.
    """

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        try:
            import ray
            import ray.data
        except ImportError:
            raise UserError("needs Ray: pip install 'codecascade[cluster]'", key="engine") from None
        address = address or os.environ.get("RAY_ADDRESS") or None
        if workers is not None and (address or ray.is_initialized()):
            raise UserError("a Ray cluster has its own processors; leave it out", key="--workers")
        self._started = not ray.is_initialized()
        if self._started:
            _see_that_it_answers(address)
            try:
                ray.init(
                    address=address,
                    num_cpus=workers,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level="warning",
                )
            except (ConnectionError, ValueError) as error:
                raise UserError(f"no Ray cluster answers ({error})", key="engine") from None
        context = ray.data.DataContext.get_current()
        context.enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        # Silences "progress bars disabled".
        logging.getLogger("ray.data._internal.progress").setLevel(logging.ERROR)
        self._ray = ray

    def run(self, job: BuildTask, work: Path, numbers: Sequence[int]) -> Iterator[int]:
        """Run ``job(work, number)`` for all numbers, and yield each return value."""
        if not len(numbers):
            return
        jobs = self._data_set(pa.table({"number": pa.array(numbers, pa.int64())}))
        done = jobs.map_batches(
            partial(_do, job=job, work=str(work.resolve())), batch_format="pyarrow", batch_size=1
        )
        with _run_fails(self._ray):
            for row in done.iter_rows():
                if row["error"]:
                    raise pickle.loads(row["error"])
                yield row["bytes"]

    def near_duplicates(
        self,
        parts: BuildParts,
        numbers: NDArray[np.int64],
        ranks: NDArray[np.int64],
        threshold: float,
        work: Path,
    ) -> pa.Table:
        """:func:`codecascade.corpus.steps.near.remove_near_duplicates` of the documents ``numbers`` (ascending)."""
        # Ray spills to a folder of its own.
        del work
        rows = []
        start = 0
        for file, count in zip(parts.files, parts.rows.tolist(), strict=True):
            first, last = np.searchsorted(numbers, (start, start + count))
            if first < last:
                mine = numbers[first:last]
                rows.append((str(file.resolve()), mine, mine - start, ranks[first:last]))
            start += count
        if not rows:
            return REMOVED.empty_table()
        names = ("file", "numbers", "rows", "ranks")
        texts = self._data_set(pa.table(dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))))
        documents = texts.map_batches(_texts, batch_format="pyarrow", batch_size=1)
        with _run_fails(self._ray):
            return remove_near_duplicates_on_ray(documents, threshold=threshold)

    def close(self) -> None:
        """Disconnect from the cluster, if this engine connected to it or started it."""
        if self._started:
            self._ray.shutdown()

    def _data_set(self, table: pa.Table) -> Any:
        tasks = max(1, int(self._ray.cluster_resources().get("CPU", 1) * _TASKS_PER_CPU))
        rows = -(-len(table) // tasks)
        return self._ray.data.from_arrow([table.slice(start, rows) for start in range(0, len(table), rows)])


def _see_that_it_answers(address: str | None) -> None:
    """Fail early if nothing listens at ``address``: Ray itself would try for minutes."""
    host, colon, port = (address or "").removeprefix("ray://").rpartition(":")
    if colon and port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except OSError as error:
            raise UserError(f"no Ray cluster answers at {address} ({error})", key="engine") from None


def _do(batch: pa.Table, job: BuildTask, work: str) -> pa.Table:
    sizes: list[int] = []
    errors: list[bytes | None] = []
    for number in batch["number"].to_pylist():
        try:
            sizes.append(job(work, number))
            errors.append(None)
        except (
            UserError,
            RunFailed,
            OSError,
            # As data: Ray would make text of it, with a traceback.
        ) as error:
            sizes.append(0)
            errors.append(pickle.dumps(error))
    return pa.table({"bytes": sizes, "error": pa.array(errors, pa.binary())})


def _texts(batch: pa.Table) -> pa.Table:
    """The texts of some rows of parts, as a table of ``number``, ``rank`` and ``text``."""
    tables = []
    for row in batch.to_batches():
        for file, numbers, positions, ranks in zip(*(column for column in row.columns), strict=True):
            text = read_arrow(Path(file.as_py()))["text"].take(positions.values)
            tables.append(pa.table({"number": numbers.values, "rank": ranks.values, "text": text}))
    return pa.concat_tables(tables)


@contextmanager
def _run_fails(ray: Any) -> Iterator[None]:
    try:
        yield
    except ray.exceptions.RayError as error:
        lines = [line for line in str(error).splitlines() if "Error: " in line] or [str(error)]
        raise RunFailed(f"a worker of the Ray cluster failed ({lines[0].strip()})") from error
