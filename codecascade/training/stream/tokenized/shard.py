"""A tokenised shard: the ids of all documents of one shard of a corpus, in a file.

The file is in Arrow's IPC format, a batch for each row group of the shard, in the same order, and ends with a
checksum of everything before. It is written beside its name and then renamed, so that it is whole or not there. It is
mapped into memory, and reading a document copies nothing but its ids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from codecascade.corpus.corpus import opened_shard
from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_file, remove_abandoned
from codecascade.tokens.tokenizer import Tokenizer

BYTES_PER_TOKEN = 3.5
"""Of a text in UTF-8, about."""
_SUM_BYTES = 16
_READ_AHEAD = 8 << 20
_MOST_SMALL = 2**16


def id_bytes(vocabulary: int) -> int:
    """Bytes that an id takes in a tokenised shard."""
    return 2 if vocabulary <= _MOST_SMALL else 4


def write_tokens(source: Path, file: Path, tokenizer: Tokenizer, done: Callable[[int], None]) -> None:
    """Tokenise all documents of the shard ``source`` into ``file``.

    Args:
        done: called after each row group with its number of documents.

    Raises:
        UserError: the shard is broken, a text can't be encoded, or the disk is full.
    """
    numbers = pa.uint16() if id_bytes(tokenizer.vocab_size) == 2 else pa.int32()
    schema = pa.schema([("id", pa.string()), ("characters", pa.int32()), ("ids", pa.large_list(numbers))])
    with opened_shard(source) as shard:
        rows = [shard.metadata.row_group(number).num_rows for number in range(shard.num_row_groups)]
    remove_abandoned(file)
    with atomic_file(file) as temporary, open(temporary, "wb") as opened:
        summed = _Summed(opened)
        with pa.ipc.new_file(pa.PythonFile(summed, "w"), schema) as writer:
            for number, count in enumerate(rows):
                # opened for each, so that an error of writing is not taken for a broken shard
                with opened_shard(source) as shard:
                    texts = shard.read_row_group(number, columns=["id", "text"]).combine_chunks()
                writer.write_batch(_tokenized(texts, tokenizer, schema))
                done(count)
        opened.write(summed.digest())


def _tokenized(texts: pa.Table, tokenizer: Tokenizer, schema: pa.Schema) -> pa.RecordBatch:
    encoded = tokenizer.encode_batch(texts["text"].to_pylist())
    ends = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    column = schema.field("ids").type
    values = np.fromiter(chain.from_iterable(encoded), column.value_type.to_pandas_dtype(), int(ends[-1]))
    return pa.record_batch(
        [
            _whole(texts["id"]),
            _whole(pc.utf8_length(texts["text"])),
            pa.LargeListArray.from_arrays(ends, pa.array(values, column.value_type), type=column),
        ],
        schema=schema,
    )


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


class _Summed:
    """A file for writing that hashes what goes through it."""

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._hash = file, blake2b(digest_size=_SUM_BYTES)

    def write(self, data: Any) -> int:
        self._hash.update(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()

    def tell(self) -> int:
        return self._file.tell()

    def close(self) -> None:
        """Nothing: the checksum comes after the library's last byte."""

    def digest(self) -> bytes:
        return self._hash.digest()


def damage(file: Path) -> str | None:
    """What is wrong with a tokenised shard; None if it is whole. All of it is read.

    Raises:
        OSError: it can't be read.
    """
    left = file.stat().st_size - _SUM_BYTES
    if left <= 0:
        return "it is too short"
    state = blake2b(digest_size=_SUM_BYTES)
    with open(file, "rb") as opened:
        while left:
            piece = opened.read(min(left, _READ_AHEAD))
            if not piece:
                return "it is too short"
            state.update(piece)
            left -= len(piece)
        return None if opened.read() == state.digest() else "its checksum differs"


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedDocument:
    """A document as ids, without BOS and end of document; ``characters`` is the length of its text."""

    id: str
    characters: int
    ids: NDArray[Any]


@dataclass(frozen=True, eq=False)
class TokenizedGroup:
    """The documents of a row group of a shard. The arrays are views of the mapped file."""

    ids: pa.Array
    characters: NDArray[Any]
    ends: NDArray[Any]
    tokens: NDArray[Any]

    def document(self, position: int) -> TokenizedDocument:
        """The document at ``position``."""
        return TokenizedDocument(
            self.ids[position].as_py(),
            int(self.characters[position]),
            self.tokens[self.ends[position] : self.ends[position + 1]],
        )


class TokenizedShard:
    """A file of :func:`write_tokens`. It can be shared between threads.

    Raises:
        UserError: it can't be read.
    """

    def __init__(self, file: Path) -> None:
        try:
            content = pa.memory_map(str(file)).read_buffer()
            self._reader = pa.ipc.open_file(content.slice(0, content.size - _SUM_BYTES))
        except (pa.ArrowInvalid, OSError, IndexError) as error:
            raise UserError(f"can't be read ({error})", file=file) from None

    def group(self, number: int) -> TokenizedGroup:
        """A row group, which takes a few kilobytes as long as it is kept."""
        ids, characters, tokens = self._reader.get_batch(number).columns
        return TokenizedGroup(ids, characters.to_numpy(), tokens.offsets.to_numpy(), tokens.values.to_numpy())
