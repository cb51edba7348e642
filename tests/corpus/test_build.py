"""From folders to shards: what is kept, what is dropped and said, and that a folder is whole or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from source_trees import Build, MakeTree, module

from codecascade.corpus import build as build_module
from codecascade.corpus.build import build_corpus, request_fingerprint
from codecascade.corpus.documents import Document
from codecascade.corpus.settings import CorpusSettings
from codecascade.corpus.table import Corpus
from codecascade.errors import UserError

PROBLEM = '''def count_planted_things(basket, colour):
    """ Count the things in a basket which have got the given colour and that were planted before the summer. """
'''


def many(repositories: int = 4, files: int = 5) -> dict[str, str]:
    return {f"r{r}/src/m{n}.py": module(f"r{r}m{n}") for r in range(repositories) for n in range(files)}


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_columns_splits_and_manifest(tree: MakeTree, build: Build, tmp_path: Path) -> None:
    manifest, corpus = build(tree(many()))
    assert pq.read_table(next((tmp_path / "corpus/train").glob("*.parquet"))).column_names == [
        "text", "path", "repository", "language", "license", "id", "kind",
    ]  # fmt: skip
    train, heldout = corpus.documents("train"), corpus.documents("heldout")
    assert len(train) == 15 and len(heldout) == 5
    assert manifest.heldout_by == "repository" and {d.repository for d in heldout} == set(manifest.heldout)
    assert not {d.repository for d in train} & set(manifest.heldout)
    assert manifest.splits["train"].total.bytes == sum(len(d.text) for d in train) == train.total_bytes
    assert train[0].path == "src/m0.py" and train[0].license == "own"
    assert str(tmp_path) not in (tmp_path / "corpus/manifest.json").read_text()
    assert not list(tmp_path.glob(".*")), "no temporary folders stay"


def test_one_repository_is_split_by_file(tree: MakeTree, build: Build) -> None:
    manifest, corpus = build(tree({".git/HEAD": "", **{f"m{n}.py": module(f"m{n}") for n in range(30)}}))
    assert manifest.heldout_by == "path"
    assert [d.path for d in corpus.documents("heldout")] == manifest.heldout and len(manifest.heldout) == 1
    assert len(corpus.documents("train")) == 29


def test_duplicates_filters_and_benchmarks_are_dropped_and_counted(tree: MakeTree, build: Build) -> None:
    root = tree(
        {
            **many(),
            "r1/copy.py": module("r0m0").replace("\n", "\r\n").replace("    ", "\t"),
            "r2/long.py": "x = '" + "a " * 600 + "'\n",
            "r2/data.py": "[" + "!{}()" * 100 + "]\n" * 50,
            "r2/empty.py": "\n\n",
            "r2/binary.py": b"x = 1\0",
            "r2/latin.py": "x = 'ß'".encode("latin-1"),
            "r3/solved.py": module("solved") + PROBLEM.replace("    ", "\t") + "    return 0\n",
        }
    )
    manifest, corpus = build(root, benchmark_texts={"Planted/0": PROBLEM})
    assert manifest.dropped["exact duplicate"] == {"code": 1}
    assert manifest.dropped["filter"] == {
        "a line is too long": 1,
        "empty": 1,
        "too few letters and digits": 1,
    }
    assert manifest.dropped["read"] == {"binary": 1, "not UTF-8": 1}
    assert manifest.benchmark_matches == [
        {"path": "solved.py", "repository": "code/r3", "benchmark": "Planted/0"}
    ]
    assert len(corpus.documents("train")) + len(corpus.documents("heldout")) == 20


def test_natural_language_comes_along_and_stays_on_its_side(tree: MakeTree, build: Build) -> None:
    sentence = "People write whole sentences about their code, and so a model can learn to do that too. "
    files = {
        f"r{r}/m.py": f'"""About r{r}.\n\n{sentence * 4}Says r{r}.\n"""\n' + module(f"r{r}") for r in range(4)
    }
    files["r0/README.md"] = f"# R\n\n{sentence * 5}\n"
    _, corpus = build(tree(files))
    for split in ("train", "heldout"):
        repositories = {d.repository for d in corpus.documents(split)}
        for kind in ("natural_language_code", "natural_language"):
            assert {d.repository for d in corpus.documents(split, kind)} == repositories
    without, _ = build(tree(files), include_docstrings=False)
    assert set(without.splits["train"].kinds.get("natural_language_code", {})) <= {"markdown"}


def test_a_byte_limit_is_kept(tree: MakeTree, build: Build) -> None:
    root = tree(many(6, 40))
    manifest, _ = build(root, max_bytes=20_000)
    total = sum(split.total.bytes for split in manifest.splits.values())
    assert 15_000 < total <= 20_000
    assert manifest.chosen.documents < manifest.candidates.documents == 240


def test_the_same_input_gives_the_same_bytes_and_a_second_run_does_nothing(
    tree: MakeTree, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(many())
    first, _ = build(root)
    before = hashes(tmp_path / "corpus")
    steps: list[str] = []
    with monkeypatch.context() as patch:
        patch.setattr(build_module, "read", lambda *arguments: pytest.fail("read again"))
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


def test_request_fingerprint_is_of_the_question_alone(tree: MakeTree, build: Build) -> None:
    root = tree(many())
    manifest, _ = build(root, benchmark_texts=[PROBLEM], max_bytes=10_000)
    settings = CorpusSettings(max_bytes=10_000)
    assert manifest.request == request_fingerprint([str(root)], settings, [PROBLEM])
    assert manifest.request != request_fingerprint([str(root)], settings)
    assert manifest.request != request_fingerprint([str(root)], CorpusSettings(), [PROBLEM])
    assert manifest.request != request_fingerprint([str(root), "stdlib"], settings, [PROBLEM])


def test_several_sources(tree: MakeTree, build: Build, tmp_path: Path) -> None:
    rows = tmp_path / "prose.jsonl"
    rows.write_text(
        '{"text": "It was a long story, and nobody had the time to tell it.", "license": "CC0-1.0"}\n'
    )
    _, corpus = build(tree(many(4, 20)), rows)
    assert [d.text[:6] for d in corpus.documents("train", "natural_language")] == ["It was"]
    assert len(corpus.documents("train")) + len(corpus.documents("heldout")) == 80


def test_what_a_user_can_mistake(tree: MakeTree, build: Build, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such source"):
        build(tmp_path / "nowhere")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(UserError, match="nothing here can become a document"):
        build(empty)
    with pytest.raises(UserError, match=r"nothing here can become a document .*not a known language"):
        build(tree({"a/data.csv": "1"}))
    assert not list(tmp_path.glob("corpus")) and not list(tmp_path.glob(".*"))
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus/precious.txt").write_text("mine")
    with pytest.raises(UserError, match="something else than a corpus"):
        build(tree(many()))
    assert (tmp_path / "corpus/precious.txt").read_text() == "mine"


def test_a_full_disk_leaves_the_old_corpus(
    tree: MakeTree, build: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(many())
    build(root)
    before = hashes(tmp_path / "corpus")
    (root / "r0/new.py").write_text(module("new"))

    def full(self: object, document: Document) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("codecascade.corpus.writing.SplitWriter.add", full)
        with pytest.raises(UserError, match="disk is full"):
            build(root)
    assert hashes(tmp_path / "corpus") == before
    build(root)
    assert len(hashes(tmp_path / "corpus")) == 3


def test_killed_in_the_middle_and_run_again(tree: MakeTree, tmp_path: Path) -> None:
    root = tree(many())
    program = f"""
import os, signal
from pathlib import Path
from codecascade.corpus.build import build_corpus
from codecascade.corpus.settings import CorpusSettings
def progress(step, done, total):
    if step == "write" and done > total / 2:
        os.kill(os.getpid(), signal.SIGKILL)
build_corpus([{str(root)!r}], Path({str(tmp_path / "corpus")!r}), CorpusSettings(), progress=progress)
"""
    killed = subprocess.run([sys.executable, "-c", program], env={**os.environ}, check=False)
    assert killed.returncode == -signal.SIGKILL and not (tmp_path / "corpus").exists()
    build_corpus([str(root)], tmp_path / "corpus", CorpusSettings())
    assert len(Corpus.open(tmp_path / "corpus").documents()) == 15
    assert sorted(path.name for path in tmp_path.iterdir()) == ["code", "corpus"]
