"""Which blocks of the cache belong to whom, and which hold a prefix that another request can go on from.

Full blocks are known by what they hold: the digest of all tokens before them, and their own tokens (chained hashes,
as vLLM's). Equal digests alone are never believed: the tokens are compared. A block that nobody uses any more keeps
what it holds until its memory is wanted; the one that was not used for longest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from hashlib import blake2b

# The digest of the tokens before a block, and the tokens in it.
BlockKey = tuple[bytes, tuple[int, ...]]


class CacheFull(Exception):
    """No block is free."""


class BlockManager:
    """Reference counts of ``count`` blocks, and an index of those that hold a known prefix.

    Args:
        block_size: tokens of a block.
    """

    def __init__(self, count: int, block_size: int) -> None:
        self.count, self.block_size = count, block_size
        self._users = [0] * count
        # in the order in which they are taken: first those that hold nothing
        self._free = OrderedDict[int, None].fromkeys(range(count))
        self._keys: dict[int, BlockKey] = {}
        self._blocks: dict[BlockKey, int] = {}

    @property
    def free(self) -> int:
        """Blocks that can be had, those that hold an unused prefix among them."""
        return len(self._free)

    @property
    def used(self) -> int:
        """Blocks that somebody uses."""
        return self.count - len(self._free)

    def blocks_for(self, tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return -(-tokens // self.block_size)

    def allocate(self, after: int | None = None) -> int:
        """A block for one user; the neighbour of ``after`` if it holds nothing, because neighbours are read fastest.

        Raises:
            CacheFull: all are in use.
        """
        if not self._free:
            raise CacheFull
        neighbour = -1 if after is None else after + 1
        if neighbour in self._free and neighbour not in self._keys:
            block = neighbour
            del self._free[block]
        else:
            block, _ = self._free.popitem(last=False)
            self._forget(block)
        self._users[block] = 1
        return block

    def share(self, blocks: Iterable[int]) -> None:
        """One more user of each."""
        for block in blocks:
            if self._users[block] == 0:
                del self._free[block]
            self._users[block] += 1

    def release(self, blocks: Sequence[int], *, forget: bool = False) -> list[int]:
        """One user less of each; the last of a row become free first, so that its beginning is kept for longest.

        Args:
            forget: what they hold is of no use to anybody.

        Returns:
            Those that nobody uses any more.
        """
        released = []
        for block in reversed(blocks):
            self._users[block] -= 1
            if self._users[block]:
                continue
            released.append(block)
            if forget:
                self._forget(block)
            self._free[block] = None
            if block not in self._keys:
                self._free.move_to_end(block, last=False)
        return released

    # ---------------------------------------------------------------- prefixes

    def key(self, before: BlockKey | None, tokens: Sequence[int]) -> BlockKey:
        """Of a full block with ``tokens``, after the block whose key is ``before``."""
        return (b"" if before is None else digest(before), tuple(tokens))

    def find(self, key: BlockKey) -> int | None:
        """The block that holds this."""
        return self._blocks.get(key)

    def register(self, block: int, key: BlockKey) -> None:
        """Say what ``block`` holds, or is about to hold; where another block holds the same, that one stays known."""
        if key not in self._blocks and block not in self._keys:
            self._blocks[key], self._keys[block] = block, key

    def forget(self, blocks: Iterable[int]) -> None:
        """These do not hold what was said of them."""
        for block in blocks:
            self._forget(block)

    def clear(self) -> None:
        """Forget all prefixes."""
        self._keys.clear()
        self._blocks.clear()

    def _forget(self, block: int) -> None:
        key = self._keys.pop(block, None)
        if key is not None:
            del self._blocks[key]


def digest(key: BlockKey) -> bytes:
    """Of all tokens up to the end of a block."""
    before, tokens = key
    return blake2b(
        before + b"".join(token.to_bytes(8, "little") for token in tokens), digest_size=16
    ).digest()
