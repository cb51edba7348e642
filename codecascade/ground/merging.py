"""Several asynchronous iterators read at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")


@dataclass(frozen=True)
class _End:
    """A source has no more items, or failed."""

    error: Exception | None


async def merged(sources: Sequence[AsyncIterator[Item]]) -> AsyncGenerator[tuple[int, Item], None]:
    """``(index of the source, item)`` as the items come; one that fails ends all.

    Closing it closes all sources, also those that wait for their next item.
    """
    if len(sources) == 1:
        async with aclosing(_closable(sources[0])) as only:
            async for item in only:
                yield 0, item
        return
    # Of size one, so that a source waits for whoever reads.
    queue: asyncio.Queue[tuple[int, Item | _End]] = asyncio.Queue(1)

    async def read(index: int) -> None:
        error = None
        try:
            async with aclosing(_closable(sources[index])) as source:
                async for item in source:
                    await queue.put((index, item))
        except Exception as raised:
            error = raised
        await queue.put((index, _End(error)))

    readers = [asyncio.create_task(read(index)) for index in range(len(sources))]
    left = len(sources)
    try:
        while left:
            index, found = await queue.get()
            if not isinstance(found, _End):
                yield index, found
            elif found.error is not None:
                raise found.error
            else:
                left -= 1
    finally:
        for reader in readers:
            reader.cancel()
        await asyncio.gather(*readers, return_exceptions=True)


def _closable(source: AsyncIterator[Item]) -> AsyncGenerator[Item, None]:
    """An iterator that can be closed; one without ``aclose`` is wrapped."""
    if hasattr(source, "aclose"):
        return source  # type: ignore[return-value]

    async def wrapped() -> AsyncGenerator[Item, None]:
        async for item in source:
            yield item

    return wrapped()
