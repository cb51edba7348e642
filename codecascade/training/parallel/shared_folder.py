"""Folders that all ranks write to, on a file system that their machines share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile

from codecascade.ground.errors import UserError
from codecascade.ground.files.atomic import atomic_folder, disk_errors
from codecascade.training.parallel.ranks import World

_OUTPUT = "-o"
"""The option that chooses a run's folder."""


@contextmanager
def shared_folder(path: Path, world: World) -> Iterator[Path]:
    """A new folder that becomes ``path`` once all ranks have ended the block; see :func:`atomic_folder`.

    What may fail on one rank alone must be done by :meth:`World.on_all`, or the others would wait for that rank.

    Raises:
        UserError: it can't be written, or some ranks do not see what another has written. Every rank raises it.
    """
    with ExitStack() as stack:
        new = world.from_first(lambda: stack.enter_context(atomic_folder(path)))
        world.on_all(lambda: _check_seen(new, new.parent, _OUTPUT))
        try:
            yield new
        except UserError as error:
            # the user knows nothing of the folder's temporary name
            file = (error.file or "").replace(str(new), str(path)) or None
            raise UserError(error.message, file=file, key=error.key) from None
        # on the first rank alone there is something to close
        world.from_first(stack.pop_all().close)


def check_shared(folder: Path, world: World, *, named_by: str = _OUTPUT) -> None:
    """See that all ranks have the same ``folder``, which is there on the first rank. All ranks must call this.

    Args:
        named_by: the option or the recipe's key that chooses another folder, for the message.

    Raises:
        UserError: some rank does not see what the first has written. Every rank raises it.
    """
    if world.size == 1:
        return
    with ExitStack() as stack:
        mark = world.from_first(lambda: stack.enter_context(_mark(folder)))
        world.on_all(lambda: _check_seen(mark, folder, named_by))


@contextmanager
def _mark(folder: Path) -> Iterator[Path]:
    """A file with a name that no other folder has."""
    with disk_errors(folder), NamedTemporaryFile(prefix=".seen-by-all-ranks-", dir=folder) as file:
        yield Path(file.name)


def _check_seen(mark: Path, folder: Path, named_by: str) -> None:
    # to list a folder makes a network file system look again
    if not folder.is_dir() or mark.name not in os.listdir(folder):
        raise UserError(
            "is not seen by every rank as the first one has it; all machines need the same folder, on a file system "
            f"that they share ({named_by} chooses another)",
            file=folder,
        )
