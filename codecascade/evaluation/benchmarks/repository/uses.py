"""What a language's reader finds in a repository: uses of names that another file defines, and these definitions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

LONGEST_PART = 40
"""Lines of a definition, at most, that are shown of another file."""


@dataclass(frozen=True)
class Definition:
    """Where a name is defined.

    Attributes:
        path: of the file.
        name: in that file.
        text: its source: whole, or the outline of a long class, or the beginning of what is long otherwise.
    """

    path: str
    name: str
    text: str


@dataclass(frozen=True)
class Use:
    """The first use of an imported name.

    Attributes:
        start: the character at which the use begins.
        end: the one after the last of its line's code.
        name: as it stands there.
        definition: of another file.
    """

    start: int
    end: int
    name: str
    definition: Definition


@dataclass(frozen=True)
class FileUses:
    """Of one file: the first uses, in text order, and the definitions of other files that it imports by name."""

    uses: tuple[Use, ...] = ()
    imported: tuple[Definition, ...] = ()

    def definitions(self, without: Use | None = None) -> list[Definition]:
        """What is imported by name, and what is used of imported modules (``module.name``).

        Args:
            without: a use whose line is not looked at from there on: where it is asked for, it may not tell what it
                uses.
        """
        hidden = range(0) if without is None else range(without.start, without.end)
        used = (use.definition for use in self.uses if use.start not in hidden)
        return list(dict.fromkeys((*self.imported, *used)))


class RepositoryReader(Protocol):
    """Reads the files of one language in one repository."""

    def uses(self, path: str) -> FileUses:
        """What the file ``path`` uses of others. Nothing for a file that can't be parsed."""
        ...


def first_lines(text: str) -> str:
    """The first :data:`LONGEST_PART` lines of a text, with a line break at the end."""
    lines = text.rstrip().splitlines()
    return "\n".join(lines[:LONGEST_PART]) + "\n"
