"""The rows of a Parquet file, in bounded memory. Columns of any type are read; what a value must be is said later."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import IO

import pyarrow.parquet as pq

from codecascade.corpus.sources.tables.limits import TableLimits, file_size
from codecascade.corpus.sources.tables.parquet_pages import check_group
from codecascade.ground.errors import UserError
from codecascade.ground.files.values import first_words, short
from codecascade.instruct.dialogues.row import Row


def parquet_rows(file: IO[bytes], address: str) -> Iterator[Row]:
    """Each row as an object of its columns.

    Raises:
        UserError: two columns have one name.
        BombError: the file claims to unpack to far more than its size.
        ValueError, OSError, pyarrow.ArrowException: it is damaged.
    """
    limits = TableLimits(file_size(file))
    table = pq.ParquetFile(file)
    names = table.schema_arrow.names
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise UserError(f"has two columns called {short(twice[0])}; rename one of them", file=address)
    number = 0
    for group in range(table.num_row_groups):
        at_once = check_group(file, table.metadata, group, names, limits.content)
        for batch in table.iter_batches(batch_size=at_once, row_groups=[group], columns=names):
            for index in range(len(batch)):
                number += 1
                limits.row()
                location = f"{address}, row {number}"
                try:
                    (value,) = batch.slice(index, 1).to_pylist()
                # A text that is not UTF-8, or a type that Python has no value for.
                except (ValueError, NotImplementedError, OverflowError) as error:
                    reason = f"holds a value that can't be read ({first_words(error)}); leave its column out"
                    yield Row(location, number, error=UserError(reason, file=location))
                else:
                    yield Row(location, number, value)
