"""A dialogue to fine-tune on, and a table of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import overload

from codecascade.tokens.messages import Message


@dataclass(frozen=True)
class Dialogue:
    """A user and an assistant in turn, after at most one system message; the assistant has the last word.

    Attributes:
        id: hash of the messages, and of ``without_loss`` where there are any.
        without_loss: the indices of answers that are context only, as the file says (OpenAI's ``"weight": 0``).
        location: the file and line that it was read from, for messages.
    """

    id: str
    messages: tuple[Message, ...]
    without_loss: frozenset[int] = frozenset()
    location: str = field(default="", compare=False)

    @classmethod
    def of(
        cls, messages: Sequence[Message], without_loss: frozenset[int] = frozenset(), location: str = ""
    ) -> Dialogue:
        """The dialogue of these messages, with its hash."""
        digest = blake2b(digest_size=16)
        parts = [part for message in messages for part in (message.role, message.content)]
        for part in [*parts, *map(str, sorted(without_loss))]:
            digest.update(blake2b(part.encode(errors="surrogatepass")).digest())
        return cls(digest.hexdigest(), tuple(messages), without_loss, location)


class DialogueTable(Sequence[Dialogue]):
    """Dialogues in a fixed order; ``fingerprint`` is equal for tables of the same dialogues in the same order."""

    def __init__(self, dialogues: Sequence[Dialogue]) -> None:
        self._dialogues = tuple(dialogues)
        self.fingerprint = blake2b(
            "".join(dialogue.id for dialogue in self._dialogues).encode(), digest_size=16
        ).hexdigest()

    def __len__(self) -> int:
        return len(self._dialogues)

    @overload
    def __getitem__(self, index: int) -> Dialogue: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Dialogue, ...]: ...
    def __getitem__(self, index: int | slice) -> Dialogue | tuple[Dialogue, ...]:
        return self._dialogues[index]
