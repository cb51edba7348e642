"""Blocks, their users, and what they are known to hold."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codecascade.generation.engine import blocks as module
from codecascade.generation.engine.blocks import BlockKey, BlockManager, CacheFull


def fill(manager: BlockManager, tokens: list[int]) -> tuple[list[int], list[BlockKey]]:
    """A row of full blocks."""
    taken: list[int] = []
    keys: list[BlockKey] = []
    for start in range(0, len(tokens), manager.block_size):
        taken.append(manager.allocate(taken[-1] if taken else None))
        keys.append(manager.key(keys[-1] if keys else None, tokens[start : start + manager.block_size]))
        manager.register(taken[-1], keys[-1])
    return taken, keys


def test_a_row_gets_neighbours() -> None:
    manager = BlockManager(8, 4)
    first, _ = fill(manager, list(range(12)))
    assert first == [first[0] + index for index in range(3)]


def test_what_a_block_holds_is_known_until_its_memory_is_wanted() -> None:
    manager = BlockManager(4, 2)
    old, old_keys = fill(manager, [1, 2, 3, 4])
    new, new_keys = fill(manager, [5, 6])
    manager.release(old)
    manager.release(new)
    assert manager.free == 4 and manager.used == 0
    assert [manager.find(key) for key in (*old_keys, *new_keys)] == [*old, *new]
    # an empty block first, then the end of the row that was given back first
    taken = [manager.allocate() for _ in range(2)]
    assert taken == [3, old[1]]
    assert [manager.find(key) for key in (*old_keys, *new_keys)] == [old[0], None, new[0]]
    manager.share([old[0]])
    assert manager.allocate() == new[0] and manager.find(new_keys[0]) is None
    with pytest.raises(CacheFull):
        manager.allocate()


def test_equal_digests_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "digest", lambda key: b"the same for all")
    manager = BlockManager(4, 2)
    (block,), (key,) = fill(manager, [1, 2])
    assert manager.find(manager.key(None, [1, 2])) == block
    assert manager.find(manager.key(None, [1, 3])) is None
    # tokens that are the same after others are not the same prefix
    monkeypatch.undo()
    assert manager.key(key, [1, 2]) != manager.key(None, [1, 2])


@settings(max_examples=200, deadline=None)
@given(data=st.data(), count=st.integers(1, 8))
def test_no_block_is_lost_or_given_twice(data: st.DataObject, count: int) -> None:
    manager = BlockManager(count, 2)
    rows: list[list[int]] = []
    contents: dict[int, BlockKey] = {}
    for _ in range(data.draw(st.integers(1, 40))):
        action = data.draw(st.sampled_from(["allocate", "share", "release", "find"]))
        used = {block for row in rows for block in row}
        if action == "allocate":
            if len(used) == count:
                with pytest.raises(CacheFull):
                    manager.allocate()
                continue
            block = manager.allocate(data.draw(st.none() | st.integers(0, count)))
            assert block not in used
            contents.pop(block, None)
            rows.append([block])
            if data.draw(st.booleans()):
                key = manager.key(None, data.draw(st.tuples(st.integers(0, 3), st.integers(0, 3))))
                if manager.find(key) is None:
                    contents[block] = key
                manager.register(block, key)
        elif action == "share" and rows:
            row = list(data.draw(st.sampled_from(rows)))
            manager.share(row)
            rows.append(row)
        elif action == "release" and rows:
            row = rows.pop(data.draw(st.integers(0, len(rows) - 1)))
            forget = data.draw(st.booleans())
            users = Counter(block for other in rows for block in other)
            released = manager.release(row, forget=forget)
            assert released == [block for block in row[::-1] if not users[block]]
            if forget:
                for block in released:
                    contents.pop(block, None)
        elif action == "find" and contents:
            block = data.draw(st.sampled_from(sorted(contents)))
            assert manager.find(contents[block]) == block
            if block not in used:
                manager.share([block])
                rows.append([block])
        used = {block for row in rows for block in row}
        assert (manager.used, manager.free) == (len(used), count - len(used))
