"""A build on a small local Ray: outside the default suite, ``pytest -m ray tests/corpus/engines/test_ray.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from source_trees import module

from codecascade.corpus.build import build_corpus
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.steps.near import remove_near_duplicates
from codecascade.ground.errors import RunFailed, UserError

pytestmark = pytest.mark.ray
ray = pytest.importorskip("ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        # Else it writes a token into the home folder.
        patch.setenv("RAY_AUTH_MODE", "disabled")
        ray.init(num_cpus=2, object_store_memory=80_000_000, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()


def test_a_cluster_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    from codecascade.corpus.engines.ray import RayEngine

    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "):
        RayEngine("127.0.0.1:1")
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(UserError, match="--workers: a Ray cluster has its own processors"):
        RayEngine(workers=2)


def test_a_build_is_byte_for_byte_the_local_one_and_the_cluster_stays(cluster: None, tmp_path: Path) -> None:
    from codecascade.corpus.engines.ray import RayEngine

    for repository in range(6):
        folder = tmp_path / "source" / f"repository_{repository}"
        folder.mkdir(parents=True)
        for number in range(30):
            text = (
                module(str(number)) + f"\n\ndef of_{repository if number % 3 else ''}() -> None:\n    pass\n"
            )
            (folder / f"file_{number}.py").write_text(text)
    settings = CorpusSettings(shard_bytes=20_000)
    local = build_corpus([str(tmp_path / "source")], tmp_path / "local", settings)
    engine = RayEngine()
    build_corpus([str(tmp_path / "source")], tmp_path / "ray", settings, engine=engine)
    engine.close()
    assert ray.is_initialized()
    assert local.dropped["near duplicate"]
    names = sorted(
        file.relative_to(tmp_path / "local") for file in tmp_path.glob("local/**/*") if file.is_file()
    )
    assert len(names) > 5
    for name in names:
        assert (tmp_path / "ray" / name).read_bytes() == (tmp_path / "local" / name).read_bytes(), name


def test_neither_blocks_nor_partitions_matter(cluster: None) -> None:
    from codecascade.corpus.steps.near.distributed import remove_near_duplicates_on_ray

    draw = np.random.default_rng(1)
    texts = []
    for family in range(60):
        words = [f"w{number}" for number in draw.integers(0, 10**6, 60)]
        texts += [" ".join([*words, f"copy_{family}_{copy}"]) for copy in range(1 + family % 4)]
    ranks = draw.integers(0, 20, len(texts))
    local = remove_near_duplicates([pa.array(texts)], pa.array(ranks))
    assert local.num_rows == 90
    table = pa.table({"number": range(len(texts)), "rank": ranks, "text": texts})
    table = table.take(draw.permutation(len(texts)))
    documents = ray.data.from_arrow([table.slice(start, 17) for start in range(0, len(texts), 17)])
    assert remove_near_duplicates_on_ray(documents, partitions=5).equals(local)


def test_a_workers_complaint_is_the_users(cluster: None, tmp_path: Path) -> None:
    from codecascade.corpus.engines.ray import RayEngine

    # In here: a worker doesn't know this module.
    def refuses(work: str, number: int) -> int:
        raise UserError("is wrong; mend it", file=f"{work}/{number}")

    def breaks(work: str, number: int) -> int:
        raise ZeroDivisionError(work)

    with pytest.raises(UserError, match="7: is wrong; mend it"):
        list(RayEngine().run(refuses, tmp_path, [7]))
    with pytest.raises(RunFailed, match="ZeroDivisionError"):
        list(RayEngine().run(breaks, tmp_path, [1]))
    assert list(RayEngine().run(refuses, tmp_path, [])) == []
