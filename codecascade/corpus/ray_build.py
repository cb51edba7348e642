"""A build's work on a Ray cluster: parts and shards as tasks, near-duplicates by shuffles (:mod:`.engine_ray`).

The work folder and the sources must lie where every machine of the cluster sees them, as a shared file system gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from codecascade.corpus.engine_ray import remove_near_duplicates_on_ray
from codecascade.corpus.engines import Job, renumbered
from codecascade.corpus.near import REMOVED
from codecascade.corpus.parts import Parts


class RayEngine:
    """The cluster that this process is connected to (:func:`codecascade.corpus.engine_ray.connect`)."""

    def run(self, job: Job, work: Path, numbers: Sequence[int]) -> Iterator[int]:
        import ray

        task = ray.remote(job)
        waiting = [task.remote(str(work), number) for number in numbers]
        while waiting:
            done, waiting = ray.wait(waiting)
            yield from ray.get(done)

    def near_duplicates(
        self,
        parts: Parts,
        numbers: NDArray[np.int64],
        ranks: NDArray[np.int64],
        threshold: float,
        work: Path,
    ) -> pa.Table:
        import ray.data

        if not len(numbers):
            return REMOVED.empty_table()
        documents = ray.data.from_arrow(
            [
                pa.table({"number": place, "rank": ranks[place], "text": texts})
                for place, texts in _numbered(parts, numbers)
            ]
        )
        return renumbered(remove_near_duplicates_on_ray(documents, threshold=threshold), numbers)

    def close(self) -> None:
        """Nothing: the cluster isn't this object's."""


def _numbered(
    parts: Parts, numbers: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], pa.ChunkedArray]]:
    """The texts of these numbers, part by part, and their places among them."""
    done = 0
    for start, table in parts.tables():
        inside = numbers[(numbers >= start) & (numbers < start + len(table))] - start
        if len(inside):
            yield np.arange(done, done + len(inside)), table["text"].take(inside)
        done += len(inside)
