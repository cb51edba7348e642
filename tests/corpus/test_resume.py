"""A build that is stopped, meets a full disk or was made before: its folder is whole or absent, and the same."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from source_trees import FILES, PROBLEM, Build, MakeTree, hashes, many, module

from codecascade.corpus import build as build_module
from codecascade.corpus.build import build_corpus
from codecascade.corpus.engines import parts as parts_module
from codecascade.corpus.engines.local import LocalEngine
from codecascade.corpus.fingerprints import request_fingerprint
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.steps.decontamination import BenchmarkTexts
from codecascade.ground.errors import UserError

KILL_POINTS = {
    "parts": ("engines/parts.py", "write_arrow(base.with_suffix"),
    "a part's end": ("engines/parts.py", "atomic_write(done"),
    "duplicates": ("engines/duplicates.py", "write_arrow(work / _NEAR"),
    "shards": ("build.py", "left_out = pa.concat_tables"),
    "a shard": ("output/shards.py", "writer.write_table(group)"),
    "the manifest": ("build.py", "write_json(folder / NAME"),
    "the end": ("build.py", "publish_folder(work"),
    "clearing up": ("build.py", "shutil.rmtree(work)\n    return manifest"),
}
"""Where a build is killed: before the line that begins so."""


def test_the_same_input_gives_the_same_bytes_and_a_second_run_does_nothing(
    tree: MakeTree, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(many())
    first, _ = build(root)
    before = hashes(tmp_path / "corpus")
    steps: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(build_module, "make_part", lambda *arguments: pytest.fail("read again"))
        again = build_corpus(
            [str(root)], tmp_path / "corpus", CorpusSettings(), progress=lambda step, *_: steps.append(step)
        )
    assert again == first and steps[-1] == "nothing to do"
    other = build_corpus([str(root)], tmp_path / "other", CorpusSettings())
    assert other == first and hashes(tmp_path / "other") == before
    (root / "r0/src/new.py").write_text(module("new"))
    changed, corpus = build(root)
    assert changed.inputs != first.inputs and changed.request == first.request
    assert sum(s.total.documents for s in changed.splits.values()) == 21
    assert "def work_new" in "".join(d.text for s in ("train", "heldout") for d in corpus.documents(s))


def test_a_corpus_inside_of_its_source_is_not_read(tree: MakeTree) -> None:
    root = tree(many())
    first = build_corpus([str(root)], root / "corpus", CorpusSettings())
    steps: list[str] = []
    again = build_corpus(
        [str(root)], root / "corpus", CorpusSettings(), progress=lambda step, *_: steps.append(step)
    )
    assert again == first and steps[-1] == "nothing to do"


def test_request_fingerprint_is_of_the_question_alone(tree: MakeTree, build: Build) -> None:
    root = tree(many())
    manifest, _ = build(root, benchmarks=BenchmarkTexts({"0": PROBLEM}), max_bytes=10_000)
    settings = CorpusSettings(max_bytes=10_000)
    assert manifest.request == request_fingerprint([str(root)], settings)
    assert manifest.request != request_fingerprint([str(root)], CorpusSettings())
    assert manifest.request != request_fingerprint([str(root), "stdlib"], settings)
    other, _ = build(root, max_bytes=10_000)
    assert other.request == manifest.request and other.inputs != manifest.inputs


def test_a_full_disk_leaves_the_old_corpus(
    tree: MakeTree, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(many())
    build(root)
    before = hashes(tmp_path / "corpus")
    (root / "r0/new.py").write_text(module("new"))

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("codecascade.corpus.output.shards.pq.ParquetWriter.write_table", full)
        with pytest.raises(UserError, match="disk is full"):
            build(root)
    assert hashes(tmp_path / "corpus") == before
    build(root)
    assert set(hashes(tmp_path / "corpus")) == FILES


@pytest.mark.parametrize("point", KILL_POINTS)
def test_killed_anywhere_and_run_again(tree: MakeTree, tmp_path: Path, point: str) -> None:
    """The result is byte for byte that of a build that was never interrupted."""
    root = tree(many() | {"r0/copy.py": module("r1m1") + "# and one more line\n"})
    name, statement = KILL_POINTS[point]
    source = Path(build_module.__file__).parent / name
    line = source.read_text()[: source.read_text().index(statement)].count("\n") + 1
    program = f"""
import os, signal, sys
from pathlib import Path
from codecascade.corpus.engines import parts
from codecascade.corpus.build import build_corpus
from codecascade.corpus.settings import CorpusSettings
parts.BATCH_BYTES = 2000
def lines(frame, event, argument):
    if event == "line" and frame.f_lineno == {line}:
        os.kill(os.getpid(), signal.SIGKILL)
    return lines
def calls(frame, event, argument):
    return lines if frame.f_code.co_filename == {str(source)!r} else None
sys.settrace(calls)
build_corpus([{str(root)!r}], Path({str(tmp_path / "corpus")!r}), CorpusSettings())
"""
    killed = subprocess.run([sys.executable, "-c", program], env={**os.environ}, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "corpus").exists() == (point == "clearing up")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts_module, "BATCH_BYTES", 2000)
        build_corpus([str(root)], tmp_path / "corpus", CorpusSettings())
        build_corpus([str(root)], tmp_path / "other", CorpusSettings())
    assert hashes(tmp_path / "corpus") == hashes(tmp_path / "other")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code", "corpus", "other"]


def test_what_was_done_is_not_done_again(
    tree: MakeTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(many(8, 10))
    monkeypatch.setattr(parts_module, "BATCH_BYTES", 2000)
    made: list[int] = []

    class Dying(LocalEngine):
        def run(self, job, work, numbers):  # type: ignore[no-untyped-def]
            for count, size in enumerate(super().run(job, work, numbers)):
                made.append(size)
                if count == 5:
                    raise KeyboardInterrupt
                yield size

    with pytest.raises(KeyboardInterrupt):
        build_corpus([str(root)], tmp_path / "corpus", CorpusSettings(), engine=Dying())
    read: list[str] = []
    original = parts_module.read_documents
    monkeypatch.setattr(
        parts_module,
        "read_documents",
        lambda candidates, *rest: read.extend(candidates["path"].to_pylist()) or original(candidates, *rest),
    )
    manifest = build_corpus([str(root)], tmp_path / "corpus", CorpusSettings())
    assert 0 < len(read) < 80 and manifest.chosen.documents == 80
