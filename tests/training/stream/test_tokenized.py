"""Tokenised shards change no batch, and are made anew where they are missing, damaged or of another tokenizer."""

from __future__ import annotations

import logging
import os
import random
import shutil
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from weakref import WeakSet

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import unfinished_tokens
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stream_fakes import ALPHABET, make_document, make_stream, tiny_tokenizer
from thread_ranks import ranks
from warm_process import WarmProcess

from codecascade.corpus.corpus import DocumentTable
from codecascade.corpus.documents import SCHEMA, Document, batch_from_documents
from codecascade.ground.errors import UserError
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.parallel.ranks import World
from codecascade.training.stream.settings import InfillingSettings
from codecascade.training.stream.stream_sources import StreamSource
from codecascade.training.stream.tokenized import cache as cache_module
from codecascade.training.stream.tokenized.cache import TokenCache, TokenizedDocuments
from codecascade.training.stream.tokenized.shard import TokenizedGroup, TokenizedShard, damage, write_tokens

ALONE = World(0, 1, torch.device("cpu"), None)
KINDS = ("code", "natural_language")


def write_shards(folder: Path, shards: Sequence[Sequence[Sequence[Document]]]) -> list[Path]:
    """Shards of row groups of documents."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for number, groups in enumerate(shards):
        files.append(folder / f"{number:05}.parquet")
        with pq.ParquetWriter(files[-1], SCHEMA) as writer:
            for group in groups or [[]]:
                writer.write_table(pa.Table.from_batches([batch_from_documents([*group])], SCHEMA))
    return files


def random_shards(lengths: Sequence[Sequence[Sequence[int]]]) -> list[list[list[Document]]]:
    """Documents of so many characters, of both kinds in turn."""
    rng = random.Random(0)
    number = 0

    def one(length: int) -> Document:
        nonlocal number
        number += 1
        text = "".join(rng.choices(ALPHABET, k=length))
        return make_document(text, f"d{number}")._replace(kind=KINDS[number % 2])  # type: ignore[arg-type]

    return [[[one(length) for length in group] for group in groups] for groups in lengths]


def table_of(files: Sequence[Path], kind: str = "code") -> DocumentTable:
    return DocumentTable(files, "kind", kind, total_bytes=1, fingerprint=kind)


def tokenized(
    folder: Path, *tables: DocumentTable, tokenizer: Tokenizer | None = None
) -> list[TokenizedDocuments]:
    return TokenCache(folder, ALONE).tokenized(
        tables, tokenizer or tiny_tokenizer(), lambda name, done, total: None
    )


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


FEW = [[[9, 0, 30], [5]], [[], [70, 12]], [[40, 8, 8, 8]]]


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    return write_shards(tmp_path / "corpus", random_shards(FEW))


# ---------------------------------------------------------------- the same batches


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    lengths=st.lists(
        st.lists(st.lists(st.integers(0, 120), max_size=4), max_size=3), min_size=1, max_size=3
    ).filter(lambda shards: sum(len(group) for shard in shards for group in shard) > 1),
    kind=st.sampled_from(["llama", "bytes"]),
    rate=st.sampled_from([None, 0.0, 0.5, 0.9, 1.0]),
    more=st.sampled_from([{}, {"too_long": "window"}, {"neighbour_share": 0.4, "too_long": "window"}]),
    bounds=st.sampled_from([{}, {"min_characters": 5}, {"max_characters": 60}]),
    rows=st.integers(1, 3),
    masks=st.booleans(),
)
def test_batches_are_the_same_with_tokenised_shards(
    tmp_path_factory: pytest.TempPathFactory,
    lengths: list[list[list[int]]],
    kind: str,
    rate: float | None,
    more: dict[str, Any],
    bounds: dict[str, int],
    rows: int,
    masks: bool,
) -> None:
    folder = tmp_path_factory.mktemp("tokens")
    files = write_shards(folder / "corpus", random_shards(lengths))
    tables = [table for table in (table_of(files, name) for name in KINDS) if len(table)]
    known = tokenized(folder / "tokens", *tables, tokenizer=tiny_tokenizer(kind))
    streams = [
        make_stream(
            *(
                StreamSource(f"s{number}", number + 1, table, tokenized=tokens, **bounds)
                for number, (table, tokens) in enumerate(zip(tables, chosen, strict=True))
            ),
            tokenizer=tiny_tokenizer(kind),
            rows=rows,
            document_masks=masks,
            infilling=None if rate is None else InfillingSettings(rate=rate, **more),
        )
        for chosen in ([None] * len(tables), known)
    ]
    assert streams[0].fingerprint() == streams[1].fingerprint()
    try:
        # several epochs
        expected = [streams[0].batch(range(rows)) for _ in range(6)]
    except UserError:
        with pytest.raises(UserError):
            streams[1].batch(range(rows))
        return
    for one in expected:
        other = streams[1].batch(range(rows))
        assert torch.equal(one.tokens, other.tokens)
        assert torch.equal(one.weights, other.weights)
        assert torch.equal(one.document_ids, other.document_ids)
        assert (one.documents, one.counts) == (other.documents, other.counts)
    assert streams[0].state_dict(range(rows)) == streams[1].state_dict(range(rows))


def test_texts_are_read_only_to_be_split(shards: list[Path], tmp_path: Path) -> None:
    table = table_of(shards)
    (known,) = tokenized(tmp_path / "tokens", table)
    texts = {document.id: document.text for document in table}
    assert {known[row].id: len(known[row].ids) for row in range(len(table))} == {
        name: len(tiny_tokenizer().encode(text)) for name, text in texts.items()
    }
    for shard in shards:
        shard.unlink()
    plain = make_stream(StreamSource("s", 1, table, tokenized=known), infilling=None)
    assert plain.batch(range(1)).counts["documents"]
    infilled = make_stream(
        StreamSource("s", 1, table_without_memory(table), tokenized=known),
        infilling=InfillingSettings(rate=1.0),
    )
    with pytest.raises(UserError, match="is a broken shard"):
        infilled.batch(range(1))


def table_without_memory(table: DocumentTable) -> DocumentTable:
    other = DocumentTable.__new__(DocumentTable)
    other.__setstate__(table.__getstate__())
    return other


def test_few_row_groups_are_kept_open_however_many_shards_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive = WeakSet[TokenizedGroup]()

    def opened(shard: TokenizedShard, number: int) -> TokenizedGroup:
        alive.add(found := read(shard, number))
        return found

    read = TokenizedShard.group
    monkeypatch.setattr(TokenizedShard, "group", opened)
    monkeypatch.setattr(cache_module, "_GROUPS", 3)
    files = write_shards(tmp_path / "corpus", random_shards([[[5, 6], [7, 8], [9, 9]]] * 4))
    tables = [table_of(files, kind) for kind in KINDS]
    for table, known in zip(tables, tokenized(tmp_path / "tokens", *tables), strict=True):
        for row in range(len(table)):
            assert known[row].characters == len(table[row].text)
            assert len(alive) <= 3


# ---------------------------------------------------------------- files


def test_a_shard_is_made_once(shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def write(source: Path, *arguments: Any) -> None:
        made.append(source.name)
        write_tokens(source, *arguments)

    monkeypatch.setattr(cache_module, "write_tokens", write)
    folder = tmp_path / "tokens"
    tokenized(folder, table_of(shards), table_of(shards, "natural_language"))
    assert sorted(made) == [shard.name for shard in shards]
    before = {file: file.read_bytes() for file in files_in(folder)}
    # what is put around a text is no reason, nor is another place of the corpus
    elsewhere = write_shards(tmp_path / "copy", random_shards(FEW))
    tokenized(folder, table_of(elsewhere), tokenizer=tiny_tokenizer().without_chat_template())
    assert sorted(made) == [shard.name for shard in shards]
    assert {file: file.read_bytes() for file in files_in(folder)} == before
    # another tokenizer is one, and so is another text
    tokenized(folder, table_of(shards), tokenizer=tiny_tokenizer("bytes"))
    assert len(made) == 2 * len(shards)
    write_shards(tmp_path / "corpus", random_shards([[[10]], *FEW[1:]]))
    tokenized(folder, table_of(shards), table_of(shards, "natural_language"))
    assert len(made) == 2 * len(shards) + 3


@pytest.mark.parametrize("way", ["a byte", "cut", "empty", "of the checksum"])
def test_a_damaged_shard_is_made_anew(
    way: str, shards: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tokenized(tmp_path, table_of(shards))
    file = max((tmp_path / "x").parent.glob("*/*.arrow"), key=lambda path: path.stat().st_size)
    whole = file.read_bytes()
    at = {"a byte": len(whole) // 2, "of the checksum": len(whole) - 1}.get(way, 0)
    changed = {"cut": whole[:-30], "empty": b""}.get(
        way, whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :]
    )
    file.write_bytes(changed)
    assert damage(file) is not None
    with caplog.at_level(logging.WARNING):
        tokenized(tmp_path, table_of(shards))
    assert "is damaged" in caplog.text and file.name in caplog.text
    assert file.read_bytes() == whole and damage(file) is None


def test_any_flipped_byte_is_found(shards: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "tokens.arrow"
    write_tokens(shards[0], file, tiny_tokenizer(), lambda documents: None)
    whole = bytearray(file.read_bytes())
    for at in random.Random(0).sample(range(len(whole)), 40):
        whole[at] ^= 8
        file.write_bytes(whole)
        assert damage(file) is not None, at
        whole[at] ^= 8


def test_a_killed_process_leaves_nothing_that_looks_whole(shards: list[Path], tmp_path: Path) -> None:
    file = tmp_path / "tokens" / "x.arrow"
    with WarmProcess(unfinished_tokens.__file__, [shards[0], file], tmp_path / "streams") as process:
        while "documents" not in process.stdout:
            assert process.poll() is None, process.stderr
            time.sleep(0.05)
        # what another process is writing stays
        write_tokens(shards[0], file, tiny_tokenizer(), lambda documents: None)
        assert len(files_in(file.parent)) == 2
        file.unlink()
    (left,) = files_in(file.parent)
    assert left != file
    write_tokens(shards[0], file, tiny_tokenizer(), lambda documents: None)
    assert files_in(file.parent) == [file]
    assert TokenizedShard(file).group(1).document(0).characters == 5


def test_ranks_share_out_the_shards(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, int]] = []

    def write(source: Path, *arguments: Any) -> None:
        made.append((source.name, threading.get_ident()))
        write_tokens(source, *arguments)

    monkeypatch.setattr(cache_module, "write_tokens", write)
    table = table_of(shards)

    def work(world: World) -> list[tuple[str, int]]:
        (known,) = TokenCache(tmp_path / "tokens", world).tokenized(
            [table], tiny_tokenizer(), lambda name, done, total: None
        )
        return [(known[row].id, len(known[row].ids)) for row in range(len(table))]

    with ThreadPoolExecutor(2) as threads:
        first, second = threads.map(work, ranks(2))
    expected = [(document.id, len(tiny_tokenizer().encode(document.text))) for document in table]
    assert first == second == expected
    assert sorted(name for name, _ in made) == [shard.name for shard in shards]
    assert len({thread for _, thread in made}) == 2


def test_a_folder_that_machines_do_not_share_is_named_with_its_key(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "listdir", lambda folder: ["what another machine has there"])

    def work(world: World) -> str:
        with pytest.raises(UserError) as error:
            TokenCache(tmp_path / "tokens", world).tokenized(
                [table_of(shards)], tiny_tokenizer(), lambda name, done, total: None
            )
        return str(error.value)

    with ThreadPoolExecutor(2) as threads:
        for message in threads.map(work, ranks(2)):
            assert "not seen by every rank" in message
            assert "run.token_cache chooses another" in message


def test_several_runs_at_once_end_with_whole_files(shards: list[Path], tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = [*threads.map(lambda _: tokenized(tmp_path / "tokens", table_of(shards)), range(4))]
    table = table_of(shards)
    for (known,) in found:
        assert [known[row].id for row in range(len(table))] == [document.id for document in table]
    files = files_in(tmp_path / "tokens")
    assert len(files) == len(shards) and not any(damage(file) for file in files)


# ---------------------------------------------------------------- bad input


def test_a_folder_that_can_not_be_used(
    shards: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="is no folder"):
        tokenized(tmp_path / "file" / "tokens", table_of(shards))
    usage = type("usage", (), {"free": 10})
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match=r"run.token_cache: the corpus takes about .*, and 10 bytes are free"):
        tokenized(tmp_path / "tokens", table_of(shards))
    assert not [*tmp_path.glob("tokens/*/*")]


def test_a_broken_shard_is_named(shards: list[Path], tmp_path: Path) -> None:
    table = table_of(shards)
    shards[1].write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"00001.parquet: is a broken shard"):
        tokenized(tmp_path / "tokens", table)
    assert all(damage(file) is None for file in files_in(tmp_path / "tokens"))
