"""Log-probabilities of many tokens, held as numbers side by side."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import overload


@dataclass(frozen=True)
class TokenLogprobs:
    """A token that was chosen, and the likeliest ones in its stead.

    Attributes:
        token: its id.
        logprob: natural logarithm of the model's own probability of it (temperature 1, nothing ruled out).
        top: ``(id, logprob)`` of the likeliest tokens, likeliest first.
    """

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()


class LogprobTable(Sequence[TokenLogprobs]):
    """A list of :class:`TokenLogprobs` in about a twentieth of its memory: 16 bytes a token, and as many for each of
    its likeliest ones. Its entries are made when they are looked at."""

    def __init__(self, entries: Iterable[TokenLogprobs] = ()) -> None:
        self._tokens, self._logprobs = array("q"), array("d")
        self._ends = array("q")  # in the two below, of each token's likeliest
        self._top_tokens, self._top_logprobs = array("q"), array("d")
        self.extend(entries)

    def extend(self, entries: Iterable[TokenLogprobs]) -> None:
        """Append tokens."""
        for entry in entries:
            self._tokens.append(entry.token)
            self._logprobs.append(entry.logprob)
            for token, logprob in entry.top:
                self._top_tokens.append(token)
                self._top_logprobs.append(logprob)
            self._ends.append(len(self._top_tokens))

    def truncate(self, length: int) -> None:
        """Forget all tokens but the first ``length``."""
        if length >= len(self):
            return
        kept = self._begin(length)
        del self._tokens[length:], self._logprobs[length:], self._ends[length:]
        del self._top_tokens[kept:], self._top_logprobs[kept:]

    def __len__(self) -> int:
        return len(self._tokens)

    @overload
    def __getitem__(self, index: int) -> TokenLogprobs: ...
    @overload
    def __getitem__(self, index: slice) -> list[TokenLogprobs]: ...
    def __getitem__(self, index: int | slice) -> TokenLogprobs | list[TokenLogprobs]:
        """An entry, or a list of some."""
        if isinstance(index, slice):
            return [self._entry(each) for each in range(*index.indices(len(self)))]
        return self._entry(range(len(self))[index])

    def __iter__(self) -> Iterator[TokenLogprobs]:
        return map(self._entry, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    def _begin(self, index: int) -> int:
        return self._ends[index - 1] if index else 0

    def _entry(self, index: int) -> TokenLogprobs:
        begin, end = self._begin(index), self._ends[index]
        top = zip(self._top_tokens[begin:end], self._top_logprobs[begin:end], strict=True)
        return TokenLogprobs(self._tokens[index], self._logprobs[index], tuple(top))
