"""Tokenised shards in a folder: made once, by all ranks together, and read by every later epoch, stage and run.

The text stays the truth. A tokenised shard is named by the content of the shard that it was made of and by everything
in the tokenizer that decides what a text becomes, so it is never out of date. The folder can be deleted at any time.

Only what a whole text becomes can be kept. A document that is infilled is split within tokens, at other places
in each epoch, and tokenised after that, so its text is read and its ids are not.

Several runs may use a folder at once: files appear whole, and all write the same. Each makes the shards in an order
of its own and leaves out those that have appeared meanwhile, so that they share the work.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import tokenizers

from codecascade.corpus.corpus import DocumentTable, opened_shard
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import disk_errors
from codecascade.ground.files.paths import expanded
from codecascade.ground.format import show_bytes
from codecascade.tokens.tokenizer import Tokenizer
from codecascade.training.checksums import checksums
from codecascade.training.parallel.ranks import World
from codecascade.training.parallel.shared_folder import check_shared
from codecascade.training.stream.stream_sources import StreamSource
from codecascade.training.stream.tokenized.shard import (
    BYTES_PER_TOKEN,
    TokenizedDocument,
    TokenizedGroup,
    TokenizedShard,
    damage,
    id_bytes,
    write_tokens,
)

logger = logging.getLogger(__name__)

_FORMAT = 1
"""Another one for files that are laid out otherwise."""
_NOT_OF_TEXTS = ("post_processor", "decoder", "truncation", "padding")
"""Parts of a ``tokenizer.json`` that do not decide what a text becomes."""
_KEY = "run.token_cache"
_GROUPS = 4096
"""Row groups of all shards that are kept open, about 20 MB: a terabyte of text has a million of them."""
Progress = Callable[[str, int, int], None]
"""Gets a description, what is done, and all there is to do."""


class TokenizedDocuments:
    """The documents of a table, as ids: index ``i`` is document ``i`` of the table.

    Args:
        group: opens a row group of a tokenised shard.
    """

    def __init__(
        self,
        table: DocumentTable,
        shards: Mapping[Path, TokenizedShard],
        group: Callable[[TokenizedShard, int], TokenizedGroup],
    ) -> None:
        self._table, self._shards, self._group = table, shards, group

    def __getitem__(self, index: int, /) -> TokenizedDocument:
        shard, number, position = self._table.locate(index)
        return self._group(self._shards[shard], number).document(position)


class TokenCache:
    """The tokenised shards in ``folder``, which must be on a file system that all ranks share."""

    def __init__(self, folder: Path, world: World) -> None:
        self._folder, self._world = folder, world
        self._contents: dict[Path, str] = {}
        self._open: dict[Path, TokenizedShard] = {}
        self._group = lru_cache(_GROUPS)(TokenizedShard.group)

    def tokenized(
        self, tables: Sequence[DocumentTable], tokenizer: Tokenizer, progress: Progress
    ) -> list[TokenizedDocuments]:
        """Each table's documents as ids. Shards that are missing or damaged are made. All ranks must call this.

        Args:
            progress: gets what this rank has done of its part.

        Raises:
            UserError: a shard is broken, the folder can't be written or has no room, or some ranks do not see it.
        """
        world = self._world
        shards = list(dict.fromkeys(shard for table in tables for shard in table.shards))
        folder = self._folder / _encoding_of(tokenizer)
        world.from_first(lambda: _make(folder))
        check_shared(folder, world, named_by=_KEY)
        self._learn_contents(shards)
        files = {shard: folder / f"{self._contents[shard]}.arrow" for shard in shards}
        own = [shard for shard in shards if files[shard] not in self._open][world.rank :: world.size]
        missing = world.on_all(lambda: [shard for shard in own if not _is_whole(files[shard])])
        needed = sum(world.gather(world.on_all(lambda: _size(missing, tokenizer))))
        world.from_first(lambda: _check_room(folder, needed))
        world.on_all(lambda: _make_all(missing, files, tokenizer, progress))
        world.on_all(lambda: self._open_all(files.values()))
        opened = {shard: self._open[file] for shard, file in files.items()}
        return [TokenizedDocuments(table, opened, self._group) for table in tables]

    def with_tokens(
        self, sources: Sequence[StreamSource], tokenizer: Tokenizer, progress: Progress
    ) -> list[StreamSource]:
        """``sources``, with the tokens of those that are read by whole documents. See :meth:`tokenized`."""
        tables = {
            source.name: source.table
            for source in sources
            if isinstance(source.table, DocumentTable) and source.granularity == "document"
        }
        known = dict(zip(tables, self.tokenized([*tables.values()], tokenizer, progress), strict=True))
        return [replace(source, tokenized=known.get(source.name)) for source in sources]

    def _learn_contents(self, shards: Sequence[Path]) -> None:
        """Hash the shards that are new here; each rank reads a part of them."""
        own = [shard for shard in shards if shard not in self._contents][self._world.rank :: self._world.size]
        found = self._world.on_all(lambda: {shard: _content_of(shard) for shard in own})
        for contents in self._world.gather(found):
            self._contents |= contents

    def _open_all(self, files: Iterable[Path]) -> None:
        for file in files:
            if file not in self._open:
                self._open[file] = TokenizedShard(file)


def open_token_cache(folder: str | None, world: World) -> TokenCache | None:
    """The cache in the folder that a recipe names, which may begin with ``~``; None if it names none."""
    return None if folder is None else TokenCache(expanded(folder), world)


def _encoding_of(tokenizer: Tokenizer) -> str:
    """A hash of everything that decides which ids a text becomes. What is put before and after it does not count."""
    spec = {key: value for key, value in tokenizer.spec.items() if key not in _NOT_OF_TEXTS}
    parts = [_FORMAT, tokenizers.__version__, spec, sorted(tokenizer.special_ids)]
    return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=8).hexdigest()


def _content_of(shard: Path) -> str:
    return str(checksums(shard.parent, [shard.name])[shard.name]["blake2b"])


def _make(folder: Path) -> None:
    with disk_errors(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise UserError(
                "is no folder, and none can be made there; name another one", file=folder, key=_KEY
            ) from None


def _is_whole(file: Path) -> bool:
    if not file.exists():
        return False
    problem = damage(file)
    if problem is not None:
        logger.warning("%s: this tokenised shard is damaged (%s); it is made anew", file, problem)
    return problem is None


def _size(shards: Sequence[Path], tokenizer: Tokenizer) -> int:
    """Bytes that the shards take when they are tokenised, about."""
    return round(sum(map(_text_bytes, shards)) / BYTES_PER_TOKEN * id_bytes(tokenizer.vocab_size))


def _text_bytes(shard: Path) -> int:
    with opened_shard(shard) as file:
        groups = map(file.metadata.row_group, range(file.num_row_groups))
        return sum(group.total_byte_size for group in groups)


def _check_room(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"the corpus takes about {show_bytes(needed)} as tokens, and {show_bytes(free)} are free; make room, "
            "name another folder, or leave it out: texts are then tokenised while the training goes on",
            file=folder,
            key=_KEY,
        )


def _make_all(
    shards: Sequence[Path], files: Mapping[Path, Path], tokenizer: Tokenizer, progress: Progress
) -> None:
    """Make the files that are not there, beginning somewhere else than other processes do."""
    sizes = {shard: _documents(shard) for shard in shards}
    total, done = sum(sizes.values()), 0

    def made(documents: int) -> None:
        nonlocal done
        done += documents
        progress("documents", done, total)

    first = os.getpid() % max(1, len(shards))
    for shard in [*shards[first:], *shards[:first]]:
        # another run may have made it since this one has looked
        if files[shard].exists() and damage(files[shard]) is None:
            made(sizes[shard])
        else:
            write_tokens(shard, files[shard], tokenizer, made)


def _documents(shard: Path) -> int:
    with opened_shard(shard) as file:
        return int(file.metadata.num_rows)
