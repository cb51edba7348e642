"""From tokens to text, one token at a time: healing, whole characters, stop strings."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from codecascade.tokens.tokenizer import Tokenizer


class TextBuilder:
    """The text of one completion.

    :meth:`push` returns what became certain: never half a character, never the bytes that healing required, and
    never text that may yet turn out to be the beginning of a stop string.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        required: bytes = b"",
        stop: Sequence[str] = (),
        stop_after_text: bool = False,
        continuation: bool = True,
    ) -> None:
        self.text = ""
        self.stopped_by: str | None = None
        self.generated = b""  # grows only while bytes are still required
        self._tokenizer = tokenizer
        self._required = required
        self._stop = tuple(stop)
        self._stop_after_text = stop_after_text
        self._held = ""
        self._drops_space = not continuation and tokenizer.encode("a") != tokenizer.encode_continuation("a")
        self._characters = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def constrained(self) -> bool:
        """Whether required bytes are still missing."""
        return len(self.generated) < len(self._required)

    @property
    def empty(self) -> bool:
        """Whether no text has come yet beyond the required bytes."""
        return not self.text and not self._held and len(self.generated) <= len(self._required)

    def push(self, token: int) -> str:
        """Add a token; sets ``stopped_by`` if it completes a stop string."""
        return self.push_bytes(self._tokenizer.token_bytes(token))

    def push_bytes(self, data: bytes) -> str:
        """The same with the bytes of a token, or of any other piece of text."""
        if self.constrained:
            self.generated += data
            data = self.generated[len(self._required) :]
        new = self._characters.decode(data)
        if self._drops_space and new:
            new, self._drops_space = new.removeprefix(" "), False
        self._held += new
        return self._release(len(self._held) - self._possible_stop())

    def finish(self) -> str:
        """What was held back, once no more tokens come; a character that stayed half is dropped."""
        return self._release(len(self._held))

    def _release(self, length: int) -> str:
        """Move ``length`` characters, fewer if a stop string begins there, from the held text to the certain."""
        if self.stopped_by is not None:
            return ""
        first = 0
        if self._stop_after_text and not self.text.strip():
            first = len(self._held) - len(self._held.lstrip())
        ends = [
            (at + len(stop), at, stop) for stop in self._stop if (at := self._held.find(stop, first)) >= 0
        ]
        if ends:  # the stop that was complete first, as if the text had come letter by letter
            _, length, self.stopped_by = min(ends)
        certain, self._held = self._held[:length], self._held[length:]
        self.text += certain
        return certain

    def _possible_stop(self) -> int:
        """The length of the longest end of the held text with which a stop string begins."""
        longest = max(map(len, self._stop), default=1) - 1
        for length in range(min(longest, len(self._held)), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stop):
                return length
        return 0
