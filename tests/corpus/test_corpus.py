"""Reading a corpus."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from source_trees import Build, MakeTree, module

from codecascade.corpus import corpus as table_module
from codecascade.corpus.corpus import Corpus, is_corpus
from codecascade.corpus.output import shards as writing
from codecascade.ground.errors import UserError


@pytest.fixture
def corpus(tree: MakeTree, build: Build, monkeypatch: pytest.MonkeyPatch) -> Corpus:
    """Of many small row groups in several shards, so that all that is lazy has something to do."""
    monkeypatch.setattr(writing, "GROUP_BYTES", 2_000)
    monkeypatch.setattr(table_module, "CACHED_GROUPS", 3)
    files = {f"r{r}/m{n}.py": module(f"r{r}m{n}") for r in range(5) for n in range(12)}
    files |= {f"r{r}/lib.rs": f'fn main_{r}() {{ println!("{r}"); }}\n' for r in range(5)}
    return build(tree(files), shard_bytes=8_000)[1]


def test_tables_by_kind_and_language(corpus: Corpus) -> None:
    assert len(list((corpus.path / "train").glob("*.parquet"))) > 1
    code, python, rust = (corpus.documents("train", name) for name in ("code", "python", "rust"))
    assert len(code) == 52 and len(python) == 48 and len(rust) == 4
    assert {d.language for d in python} == {"python"} and all("fn main" in d.text for d in rust)
    assert sorted(d.id for d in code) == sorted([*(d.id for d in python), *(d.id for d in rust)])
    assert code.total_bytes == python.total_bytes + rust.total_bytes == sum(len(d.text) for d in code)
    assert len({t.fingerprint for t in (code, python, rust, corpus.documents("heldout", "python"))}) == 4
    assert corpus.documents("train", "python").fingerprint == python.fingerprint
    assert len(corpus.documents("train", "natural_language")) == 0
    assert corpus.languages() == ["python", "rust"]


def test_any_order_slices_and_ends(corpus: Corpus) -> None:
    table = corpus.documents("train", "python")
    forwards = list(table)
    assert [table[i] for i in reversed(range(len(table)))] == forwards[::-1]
    assert table[-1] == forwards[-1] and table[3:6] == forwards[3:6]
    for index in (len(table), -len(table) - 1):
        with pytest.raises(IndexError):
            table[index]


def test_threads_and_processes_share_a_table(corpus: Corpus) -> None:
    table = corpus.documents("train", "code")
    forwards = list(table)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(table.__getitem__, list(range(len(table))) * 5)) == forwards * 5
    copy = pickle.loads(pickle.dumps(table))
    assert list(copy) == forwards and copy.fingerprint == table.fingerprint


def test_what_is_no_corpus_or_not_in_it(corpus: Corpus, tmp_path: Path) -> None:
    assert is_corpus(corpus.path) and not is_corpus(tmp_path)
    with pytest.raises(UserError, match="is not a corpus"):
        Corpus.open(tmp_path)
    with pytest.raises(UserError, match=r"no documents of 'cobol'; it has .*python, rust"):
        corpus.documents("train", "cobol")
    (corpus.path / "manifest.json").write_text('{"format": 0}')
    with pytest.raises(UserError, match=r"manifest.json: .*build the corpus again"):
        Corpus.open(corpus.path)


def test_a_shard_cut_in_half(corpus: Corpus) -> None:
    shard = sorted((corpus.path / "train").glob("*.parquet"))[0]
    shard.write_bytes(shard.read_bytes()[: shard.stat().st_size // 2])
    with pytest.raises(UserError, match="broken shard"):
        corpus.documents()
